"""Where a photo is really in focus: what the lens model's circles of confusion of that photo are off by.

In: a photo, grey, and the signed radius that the model claims for its circles of confusion. Out: px to take away from
these. A focus distance that is off moves the signed radius alike everywhere, because s = (D / 2) fx (1 / d0 - 1 / d);
training sees it to half a pixel of its own width, which is more of a photo that is wider. A photo shows it: octave k,
against octave k + 2 of the same place, which the same blur weakens less, is strongest where s = 0.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import j1
from torch import Tensor

from macrosplat.output.detail.pyramid import halved, laplacian, levels_for

APART = 2  # octaves between the two that are compared
REACH, STEP, BIN = 5.0, 0.1, 0.5  # units: of the offsets that are tried, between them, and of the bins of s
PRIOR = 0.04  # share of the variance of the ratios that an offset of one unit has to explain
CONVINCING = 0.01  # less of it is chance
FEWEST = 200  # samples of the finer octave in a bin
# Of s within a bin, units: depths are not known better.
_JITTER = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


def focus_offset(grey: Tensor, signed: Tensor, alpha: Tensor, unit: float) -> float:
    """px that the signed radius of a photo is too large by; 0 where the photo does not tell.

    Args:
        grey: [H, W]. signed, alpha: [H, W] of the render, px of the photo.
        unit: px that the radius is known to, 1 or more: half a pixel of the training width.
    """
    assert grey.shape == signed.shape == alpha.shape, f"{tuple(grey.shape)}, {tuple(signed.shape)}"
    octaves = range(1, 2 + max(0, round(math.log2(unit))))  # the finest of all is grain's
    bands = laplacian(grey[None], levels_for(grey.shape[0], grey.shape[1], octaves[-1] + APART + 1))
    planes = [torch.stack([signed, alpha])]
    while len(planes) < len(bands):
        planes.append(halved(planes[-1].clone()))
    edges = np.arange(-16, 16 + BIN, BIN) * unit
    tried = np.arange(-REACH, REACH + STEP / 2, STEP) * unit
    costs = []
    for k in octaves:
        if k + APART >= len(bands) - 1:
            break
        (fine, count, at), (coarse, least, _) = (_means(bands[j], planes[j], edges) for j in (k, k + APART))
        known = (count >= FEWEST) & (least > 0)
        if known.sum() < 6:
            continue
        ratio, weights = np.sqrt(fine[known] / np.maximum(coarse[known], 1e-9)), np.sqrt(count[known])
        s = (at[known] - tried[:, None])[..., None] + _JITTER * unit  # [T, B, J]
        expected = np.sqrt((_left(s / 2**k) / np.maximum(_left(s / 2 ** (k + APART)), 1e-2)).mean(2).clip(0, 1))
        costs.append(_unexplained(ratio, expected, weights / weights.sum()))
    if not costs:
        return 0.0
    cost = np.mean(costs, 0) + PRIOR * (tried / unit) ** 2
    best, unmoved = int(np.argmin(cost)), len(tried) // 2
    return float(tried[best]) if cost[unmoved] - cost[best] > CONVINCING else 0.0


def _means(band: Tensor, planes: Tensor, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, B] mean square of a band by the signed radius, where there is geometry; of how many samples; mean radius."""
    there = planes[1] > 0.9
    at = torch.bucketize(planes[0][there], torch.from_numpy(edges).to(planes))
    count = torch.bincount(at, minlength=len(edges) + 1)
    values = torch.stack([band[0][there].square(), planes[0][there]]).double()
    sums = torch.zeros(2, len(edges) + 1, dtype=torch.float64, device=band.device).index_add_(1, at, values)
    square, radius = sums / count.clamp_min(1)
    return torch.stack([square, count.double(), radius]).cpu().numpy()[:, 1 : len(edges)]


def _unexplained(
    ratio: NDArray[np.float64], expected: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[T] share of the variance of `ratio` [B] that a line through each of `expected` [T, B] does not explain."""
    y, x = ratio - weights @ ratio, expected - (expected @ weights)[:, None]
    slope = (x * weights) @ y / np.maximum((x * x) @ weights, 1e-12)
    left = np.square(y - slope[:, None] * x) @ weights / max(float(weights @ (y * y)), 1e-12)
    return np.where(slope > 0, left, 1.0)


@cache
def _table() -> NDArray[np.float64]:
    """Energy that a disc of 0, 0.02, ... spacings leaves of an octave, of spectra like 1 / frequency (Field 1987)."""
    f = np.linspace(1e-3, 0.5, 1000)
    low = [((6 + 8 * np.cos(2 * np.pi * q) + 2 * np.cos(4 * np.pi * q)) / 16) ** 2 for q in (f, f / 2)]
    share = low[1] * (1 - low[0]) ** 2 / f
    x = np.maximum(2 * np.pi * np.arange(0, 40, 0.02)[:, None] * f, 1e-9)
    return (share * (2 * j1(x) / x) ** 2).sum(1) / share.sum()


def _left(radius: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.interp(np.abs(radius), np.arange(0, 40, 0.02), _table())
