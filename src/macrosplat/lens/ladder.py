"""The numbers of the blur ladder, the same for every device.

A variable blur is read off a ladder of uniformly blurred copies ("levels") of the sharp frame. Level 0 is the
frame itself; level k >= 1 is what an exact, normalised, sampled Gaussian of 0.5 * sqrt(2)**(k - 1) px makes of
it. Each level is a short separable filter of the level below, with its taps `stride` pixels apart: the level
below is already smooth at that scale, so the holes cost nothing. Levels are within 0.06 % of the contrast of white
noise (worst at 1 px; 0.01 % from 2.8 px on). A pixel of any sigma is a weighted sum of three neighbouring levels, the
weights coming from a table in sigma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

PAIRS = 3  # taps on each side of the centre: 4 bring a level from 0.06 % to 0.03 % and cost a quarter more
# px; where the ladder ends: a larger sigma is blurred by this much and has no gradient
SIGMA_MAX = 64.0
LEVELS = 16  # 0, 0.5, 0.71, 1, ... 64 px

# The table is indexed by ENTRIES * sigma / (sigma + SIGMA_HALF), which gives every step of the ladder at least
# 30 entries (linear interpolation between them: <= 4e-4 of contrast) and needs no logarithm per pixel.
ENTRIES = 4096
SIGMA_HALF = 2.0  # px
# Weights are multiples of 1 / GRID: in float32, too, they then add up to 1 and their differences to 0 exactly,
# and a plain surface pulls at no sigma.
GRID = 2.0**22


@dataclass(frozen=True)
class Ladder:
    sigmas: np.ndarray  # [LEVELS] px
    strides: np.ndarray  # [LEVELS] px between the taps that make level k from level k - 1 (entry 0 unused)
    taps: np.ndarray  # [LEVELS, 1 + PAIRS] centre tap, then the symmetric ones
    weights: np.ndarray  # [LEVELS, ENTRIES + 1] weight of a level against the table's coordinate
    support: np.ndarray  # [LEVELS, 2] table coordinates between which the weight of a level is not zero


def coordinate(sigma):
    """Where in the table a sigma [px] lies: 0 ... ENTRIES."""
    return ENTRIES * sigma / (sigma + SIGMA_HALF)


def _gaussian_transfer(sigmas: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """Transfer functions [sigmas, frequencies] of the sampled, normalised Gaussian."""
    # Every sample of a Gaussian below 0.05 px but the central one weighs exp(-200) or less.
    sigmas = np.maximum(sigmas, 0.05)[:, None]
    # From 1.2 px on, sampling changes the transfer function by less than 1e-6.
    offsets = np.arange(1, 9)
    g = np.exp(-0.5 * (offsets / sigmas) ** 2)
    sampled = (1.0 + 2.0 * g @ np.cos(np.multiply.outer(offsets, omega))) / (1.0 + 2.0 * g.sum(1, keepdims=True))
    return np.where(sigmas < 1.2, sampled, np.exp(-0.5 * (sigmas * omega) ** 2))


@cache
def ladder() -> Ladder:
    """Fits taps and weights by least squares (once per process)."""
    # Frequencies spaced evenly in their logarithm: the power of natural scenes falls as 1/omega^2, so every
    # octave carries the same error.
    omega = np.geomspace(2e-3, math.pi, 160)  # radians per px
    sigmas = np.array([0.0] + [0.5 * 2 ** (k / 2) for k in range(LEVELS - 1)])
    wanted = _gaussian_transfer(sigmas, omega)
    strides = np.ones(LEVELS, np.int64)
    taps = np.zeros((LEVELS, 1 + PAIRS))
    taps[0, 0] = 1.0
    transfers = np.ones((LEVELS, len(omega)))
    for k in range(1, LEVELS):
        # Holes of about sigma px put the filter's spectral images where the level below has nothing left. Below
        # 2 px the level itself is wide in frequency and needs every tap.
        below = sigmas[k - 1]
        strides[k] = max(1, round(1.05 * below)) if below > 1.9 else 1
        j = np.arange(1, 1 + PAIRS)
        basis = 2.0 * (np.cos(np.multiply.outer(omega, strides[k] * j)) - 1.0) * transfers[k - 1][:, None]
        sides = np.linalg.lstsq(basis, wanted[k] - transfers[k - 1], rcond=1e-10)[0]
        taps[k] = np.concatenate([[1.0 - 2.0 * sides.sum()], sides])
        transfers[k] = transfers[k - 1] + basis @ sides

    # Weights: fitted along the axis (edges) and along the diagonal (the corner of the spectrum, where a
    # sampled Gaussian is least round).
    rays = np.concatenate([transfers, transfers**2], axis=1)  # [LEVELS, 2 * frequencies]
    u = np.arange(ENTRIES + 1) / ENTRIES
    entry_sigmas = np.minimum(SIGMA_HALF * u / np.maximum(1.0 - u, 1e-9), SIGMA_MAX)
    targets = _gaussian_transfer(entry_sigmas, omega)
    targets = np.concatenate([targets, targets**2], axis=1)  # [ENTRIES + 1, 2 * frequencies]
    segments = np.clip(np.searchsorted(sigmas, entry_sigmas, side="right") - 2, 0, LEVELS - 3)
    weights = np.zeros((LEVELS, ENTRIES + 1))
    support = np.zeros((LEVELS, 2))
    for first in range(LEVELS - 2):
        rows = segments == first
        # w0 + w1 + w2 = 1: a constant stays constant.
        basis = np.stack([rays[first + 1] - rays[first], rays[first + 2] - rays[first]], axis=1)
        w = np.linalg.lstsq(basis, (targets[rows] - rays[first]).T, rcond=None)[0]
        w = np.round(w * GRID) / GRID
        weights[first : first + 3, rows] = 1.0 - w.sum(0), w[0], w[1]
    for k in range(LEVELS):
        used = np.flatnonzero(weights[k])
        support[k] = max(used[0] - 1, 0), used[-1] + 1
    return Ladder(sigmas, strides, taps, weights, support)
