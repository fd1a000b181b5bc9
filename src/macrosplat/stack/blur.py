"""How blur grows from slice to slice.

In: aligned slices, and where each pixel is sharp. Out: `reach` [S], non-decreasing, in px: what is sharp in slice l
is blurred in slice k with sigma = |reach_k - reach_l|. For a thin lens that is (D fx / 4) |1 / d_k - 1 / d_l|: reach is
the focus position in the one unit that a stack has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from macrosplat.lens.blur import variable_blur

# px of the working size: blurs that are tried between two slices. Beyond, too little is left to compare.
LADDER = (0.0, *np.geomspace(0.5, 16.0, 14))
FEWEST = 200  # px in focus, without which a slice tells nothing of the others
AROUND = 3.0  # px: only where everything within this distance is of the same slice, more or less, blur is that of one
SAME = 1.0  # slices
LAYERS = 12  # of a composed slice at the most


def blurred(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """[H, W, C] blurred evenly, C up to 4."""
    if sigma < 0.05:
        return picture
    height, width = picture.shape[:2]
    return variable_blur(torch.from_numpy(picture), torch.full((height, width), float(sigma))).numpy()


def find_reach(
    slices: Sequence[NDArray[np.float32]],  # S of [H, W, 3] linear light, aligned
    place: NDArray[np.float32],  # [H, W] in which slice each pixel is sharp
    sharp: NDArray[np.float32],  # [H, W, 3] all in focus
) -> NDArray[np.float64]:
    """[S] by comparing every slice with what the sharp picture becomes under known blurs."""
    count = len(slices)
    smooth = gaussian_filter(place, AROUND)
    steady = np.abs(place - smooth) < SAME / 2
    # Of the picture's own detail, so that plain parts do not count.
    ladder = [blurred(sharp, sigma) for sigma in LADDER]
    detail = ((ladder[0] - ladder[-1]) ** 2).sum(2)
    rows, values, weights = [], [], []
    for at in range(count):
        here = steady & (np.abs(place - at) < 0.5) & (detail > np.percentile(detail, 50))
        if here.sum() < FEWEST:
            continue
        for k in range(count):
            if k == at:
                continue
            wrong = np.array([((one - slices[k])[here] ** 2).mean() for one in ladder])
            sigma, sure = _least(wrong)
            if sure:
                row = np.zeros(count)
                row[max(k, at)], row[min(k, at)] = 1, -1
                rows.append(row)
                values.append(sigma)
                # A blur is the better known the smaller it is, relative to itself.
                weights.append(np.sqrt(here.sum()) / (1 + sigma))
    # Slices that nothing is known of lie half-way between their neighbours, weakly.
    for k in range(1, count - 1):
        row = np.zeros(count)
        row[k - 1 : k + 2] = 1, -2, 1
        rows.append(row)
        values.append(0.0)
        weights.append(1e-2 * max(weights, default=1.0))
    matrix, weight = np.array(rows), np.array(weights)
    solved = np.linalg.lstsq(matrix * weight[:, None], np.array(values) * weight, rcond=None)[0]
    reach = np.maximum.accumulate(solved - solved[0])
    return np.asarray(reach if reach[-1] > 0 else np.arange(count), np.float64)


def _least(wrong: NDArray[np.float64]) -> tuple[float, bool]:
    """The blur of least error, between the steps of the ladder; whether it lies within it."""
    at = int(wrong.argmin())
    if at in (0, len(wrong) - 1):
        return LADDER[at], at == 0
    # A parabola through three unevenly spaced points.
    x, y = np.array(LADDER[at - 1 : at + 2]), wrong[at - 1 : at + 2]
    bend, slope, _ = np.polyfit(x, y, 2)
    return float(np.clip(-slope / (2 * bend), x[0], x[2])) if bend > 0 else LADDER[at], True


def layers_of(place: NDArray[np.float32], count: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Places of at most `LAYERS` layers, and which share [L, H, W] of a pixel belongs to each; they add up to 1."""
    at = np.linspace(0, count - 1, min(count, LAYERS))
    step = at[1] - at[0]
    return at, np.stack([np.maximum(0, 1 - np.abs(place - x) / step) for x in at]).astype(np.float32)
