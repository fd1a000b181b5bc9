"""The all-in-focus picture: every pixel from the slices that are sharp there, without the light of blurred near things.

Where a near thing ends, the slice that is sharp behind it shows the thing's blur over what is behind: a stacker that
takes the sharpest slice draws a halo there. The layers are taken from near to far: what is nearer is known already,
sharp; blurred as the lens blurs it in a slice, its light is subtracted, and what shines past it is brought back to full
strength: (slice - near light) / (1 - near coverage). Close to the edge, where little shines past, that is no longer
worth much: there a slice that has the near thing in focus knows better what is beside it, if blurred.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from macrosplat.stack.blur import blurred, layers_of

# Coverage up to which a near thing's light is subtracted in full.
MOST = 0.9
# Layers by which a thing has to be nearer to hide anything: less is a slope of one surface, or a blur too small to see.
APART = 2
# What a slice is worth at a pixel: 1 / (loss by blur + loss by coverage)^PICKY. Blur is counted relative to the whole
# stack's, coverage as what errors are amplified by.
BY_COVERAGE = 0.5
OUTSIDE = 1e-9  # weight of what a slice does not show, beside what it does: only if nobody knows better
LEAST_LOSS = 0.03  # below it slices are as good as each other
PICKY = 4


def all_in_focus(
    slices: Sequence[NDArray[np.float32]],  # S of [H, W, 3] linear light, aligned, nearest focus first
    inside: Sequence[NDArray[np.bool_]],  # S of [H, W], where a slice's frame is
    place: NDArray[np.float32],  # [H, W] in which slice each pixel is sharp
    reach: NDArray[np.float64],  # [S] px of these slices, see `blur`
) -> NDArray[np.float32]:
    """[H, W, 3] linear light."""
    count = len(slices)
    at, shares = layers_of(place, count)
    where = np.interp(at, np.arange(count), reach)
    total = max(float(reach[-1] - reach[0]), 1e-6)
    out = np.zeros_like(slices[0])
    hiding = [np.zeros((*place.shape, 4), np.float32) for _ in slices]  # light and coverage of what is nearer
    layers: list[NDArray[np.float32]] = []
    for n, (y, share) in enumerate(zip(where, shares, strict=True)):
        if n >= APART:
            for k in range(count):  # also those before: they are what is left close to an edge
                hiding[k] += blurred(layers[n - APART], abs(reach[k] - where[n - APART]))
        light, weights = np.zeros_like(out), np.full((*place.shape, 1), 1e-20, np.float32)
        for k in range(count):
            blur = abs(reach[k] - y) / total
            coverage = np.clip(hiding[k][..., 3:], 0, 1)
            loss = LEAST_LOSS + blur + BY_COVERAGE * coverage / (1.001 - coverage)
            weight = loss**-PICKY * np.where(inside[k], 1, OUTSIDE)[..., None].astype(np.float32)
            light += weight * _past(slices[k], hiding[k])
            weights += weight
        sharp = light / weights
        out += share[..., None] * sharp
        layers.append(np.concatenate([sharp * share[..., None], share[..., None]], 2))
    return out


def fused(
    slices: Sequence[NDArray[np.float32]], inside: Sequence[NDArray[np.bool_]], place: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[H, W, 3] every pixel from the two slices around its place, as they are."""
    out, weights = np.zeros_like(slices[0]), np.full((*place.shape, 1), 1e-20, np.float32)
    for k, one in enumerate(slices):
        away = np.abs(place - k)
        weight = np.where(inside[k], np.maximum(0, 1 - away) + OUTSIDE * np.exp(-away), OUTSIDE * 1e-9)[..., None]
        out += weight * one
        weights += weight
    return out / weights


def _past(taken: NDArray[np.float32], hiding: NDArray[np.float32]) -> NDArray[np.float32]:
    """A slice without the light of what hides it in part."""
    # Layers of one surface share its pixels: their sum covers what the surface covers, or a little more.
    coverage = np.maximum(hiding[..., 3:], 1e-6)
    kept = np.minimum(coverage, MOST)
    past = np.maximum(taken - hiding[..., :3] * (kept / coverage), 0) / (1 - kept)
    return past.astype(np.float32)
