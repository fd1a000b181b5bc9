"""Does the blur that the lens model claims show in the photos?

In: photos, and the radius that the model gives their circles of confusion. Out: how many times that radius the blur is
that they show, at most 1. A lens whose pupil came out too wide calls sharp photos blurred, draws their scene too sharp
and fits them all the same; but a photo that is blurred by a radius r has nothing left of the octaves finer than r,
whatever the scene is. So octave k is compared with octave k + 2 of the same pixels, which a blur weakens less, and that
with the same of what is in focus. The outline of what is in focus reaches into the octaves of what is blurred behind
it, which may have nothing else: a pixel counts as blurred as the least blurred of its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import j1
from torch import Tensor
from torch.nn.functional import max_pool2d

from macrosplat.output.detail.pyramid import halved, laplacian, levels_for

FOCUSED = 1.0  # px: what is said to be less blurred than that is what the rest is compared with
FROM = 3.0  # px: less blur than that is not told from grain
UNTOLD = 2.0  # px: between the two, of which nothing is asked
APART = 2  # octaves between the two that are compared
NATURAL = 0.5  # their ratio in photographs in focus (amplitudes); stands in where nothing is said to be in focus
NEIGHBOURS = 1  # samples of an octave to each side that its filter reaches (experiments: blur-shown)
FEWEST = 5000  # samples: from fewer, one texture would tell of all
# A claimed radius counts whole if the photos show so much of it, and not at all if less than that (experiments:
# blur-shown).
WHOLE, NONE = 0.4, 0.25


def believed(photos: Iterable[tuple[Tensor, Tensor]]) -> float:
    """By what the claimed radii have to be multiplied, 0 to 1.

    Args:
        photos: of each its grey [h, w] and the claimed radius [h, w], px.
    """
    found, weights = [], []
    energy, count = np.zeros((2, len(_levels()), _OCTAVES))
    for grey, radius in photos:
        more = energies(grey, radius)
        energy, count = energy + more[0], count + more[1]
    for j, level in enumerate(_levels()):
        if j == 0 or min(count[j, level], FEWEST * count[j, level + APART]) < FEWEST:
            continue
        known = min(count[0, level], FEWEST * count[0, level + APART]) >= FEWEST
        focused = _ratio(energy, count, 0, level) if known else NATURAL
        shown = _ratio(energy, count, j, level) / focused
        found.append(float(np.interp(-shown, -_weakening(), _RADII)) * 2**level / _centres()[j])
        weights.append(count[j, 0])
    if not found:
        return 1.0
    order = np.argsort(found)
    total = np.cumsum(np.array(weights)[order])
    median = float(np.array(found)[order][np.searchsorted(total, total[-1] / 2)])
    return float(np.clip((median - NONE) / (WHOLE - NONE), 0, 1))


def energies(grey: Tensor, radius: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[bins, octaves] the sum of squares of a photo's octaves by the radius claimed, and how many samples those are."""
    assert grey.shape == radius.shape and grey.ndim == 2, f"{tuple(grey.shape)}, {tuple(radius.shape)}"
    energy, count = np.zeros((2, len(_levels()), _OCTAVES))
    edges = torch.tensor([FOCUSED, *_edges()], device=grey.device)
    radius = radius[None]
    for k, band in enumerate(laplacian(grey[None], levels_for(grey.shape[0], grey.shape[1], _OCTAVES, 4))[:-1]):
        if k > 0:
            radius = halved(radius)
        # 0: in focus; 1: too little to tell; 2, 3, ...: the bins; the last: more than all of them.
        least = -max_pool2d(-radius, 2 * NEIGHBOURS + 1, 1, NEIGHBOURS)
        bin = torch.bucketize(least, edges, right=True).flatten()
        sums = torch.zeros(len(edges) + 1, dtype=torch.float64, device=grey.device)
        sums.index_add_(0, bin, band.square().double().flatten())
        numbers = torch.bincount(bin, minlength=len(edges) + 1)
        kept = [0, *range(2, len(edges))]
        energy[:, k], count[:, k] = sums.cpu().numpy()[kept], numbers.cpu().numpy()[kept]
    return energy, count


def _edges() -> list[float]:
    """Between the bins of radii, px."""
    return [FROM * 2**n for n in range(5)]


def _centres() -> list[float]:
    return [0.0, *(1.4 * edge for edge in _edges()[:-1])]


def _levels() -> list[int]:
    """The octave that a bin is judged by: the finest that stands out of grain, and of what so wide a blur has left."""
    return [1, 1, 1, *[2] * (len(_edges()) - 3)]


def _ratio(energy: NDArray[np.float64], count: NDArray[np.float64], bin: int, level: int) -> float:
    fine, coarse = (energy[bin, k] / max(count[bin, k], 1) for k in (level, level + APART))
    return float(np.sqrt(fine / max(coarse, 1e-12)))


_OCTAVES = _levels()[-1] + APART + 1
_RADII = np.linspace(0, 6, 61)  # px of the octave's spacing


@cache
def _weakening() -> NDArray[np.float64]:
    """[R] the ratio of octaves 0 and APART under a disc of each of `_RADII`, over that without blur.

    Of a scene whose amplitude falls like 1 / frequency, as photographs do (Field 1987).
    """
    frequency = np.linspace(1e-3, 0.5, 4000)  # cycles / px

    def low(f: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((6 + 8 * np.cos(2 * np.pi * f) + 2 * np.cos(4 * np.pi * f)) / 16) ** 2

    def energy(level: int, radius: float) -> float:
        f = frequency / 2**level
        x = np.maximum(2 * np.pi * radius * f, 1e-9)
        passed = low(f * 2 ** np.arange(level)[:, None]).prod(0) if level else 1.0
        band = passed * (1 - low(f * 2**level)) * 2 * j1(x) / x
        return float(np.sum(band**2 / f))

    whole = energy(0, 0) / energy(APART, 0)
    ratios = [np.sqrt(energy(0, r) / energy(APART, r) / whole) for r in _RADII]
    return np.minimum.accumulate(ratios)
