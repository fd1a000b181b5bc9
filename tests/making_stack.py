"""A stack whose picture through a pinhole is known: a disc before a sheet, taken focused from one to the other."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, shift

WIDTH, HEIGHT, COUNT = 180, 136, 4
WIDEST = 10.0  # px, radius of the circle of confusion of the one end at the other
POINTS = 32  # of the pupil, on a spiral: each stands for the same area


def texture(seed, colour):
    """[H, W, 3] linear light with fine detail everywhere."""
    random = np.random.default_rng(seed)
    light = sum(gaussian_filter(random.normal(size=(HEIGHT, WIDTH)), s) * s for s in (0.8, 2.0, 6.0))
    light = 0.5 + 0.2 * light / light.std()
    return np.clip(light[..., None] * np.array(colour), 0.01, 1).astype(np.float32)


def taken(near, far, alpha, focus):
    """A slice [H, W, 3] focused at place `focus` (0: on the near thing, COUNT - 1: on the far one)."""
    total = np.zeros((HEIGHT, WIDTH, 3))
    r_near, r_far = (WIDEST * (place - focus) / (COUNT - 1) for place in (0, COUNT - 1))
    for point in range(POINTS):
        turn, radius = 2.399963 * point, np.sqrt((point + 0.5) / POINTS)
        u = radius * np.array([np.sin(turn), np.cos(turn), 0])
        moved = [shift(one, r * u, order=1, mode="nearest") for one, r in ((near * alpha, r_near), (far, r_far))]
        covered = shift(alpha, r_near * u, order=1, mode="nearest")
        total += moved[0] + (1 - covered) * moved[1]
    return (total / POINTS).astype(np.float32)


def make_stack():
    """The picture through a pinhole [H, W, 3], COUNT slices, nearest first, and where the near thing is."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disc = (np.hypot(x - 90, y - 68) < 36).astype(np.float32)[..., None]
    alpha = np.clip(gaussian_filter(disc, (0.5, 0.5, 0)), 0, 1)
    near, far = texture(1, (0.15, 0.2, 0.5)), texture(2, (1.3, 1.2, 0.8))
    sharp = near * alpha + far * (1 - alpha)
    return sharp, [taken(near, far, alpha, k) for k in range(COUNT)], disc[..., 0] > 0
