"""How blur grows from slice to slice, and which end of a stack is near.

In: aligned slices, and where each pixel is sharp. Out: `reach` [S], non-decreasing, in px: what is sharp in slice l is
blurred in slice k with sigma = |reach_k - reach_l|. For a thin lens that is (D fx / 4) |1 / d_k - 1 / d_l|: reach is the
focus position in the one unit that a stack has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter, median_filter, minimum_filter

from macrosplat.lens.blur import variable_blur

# px of the working size: blurs that are tried between two slices. Beyond, too little is left to compare.
LADDER = (0.0, *np.geomspace(0.5, 16.0, 14))
FEWEST = 200  # px in focus, without which a slice tells nothing of the others
AROUND = 3.0  # px: only where everything within this distance is of the same slice, more or less, blur is that of one
SAME = 1.0  # slices
LAYERS = 12  # of a composed slice at the most
# Which end is near is asked at steps of depth of at least STEP slices; px of the working size: what is smaller than
# STEADY is no thing, what lies within ON_STEP is not believed, and blur reaches BESIDE_STEP.
STEP, STEADY, ON_STEP, BESIDE_STEP = 2, 15, 2, 8
WRONGEST = 0.01  # squared difference of linear light


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
    return reach if reach[-1] > 0 else np.arange(count) * 1.0


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


def nearer_first(
    slices: Sequence[NDArray[np.float32]],
    place: NDArray[np.float32],
    sharp: NDArray[np.float32],
    reach: NDArray[np.float64],
) -> float:
    """By which factor the slices are better explained if the first one is focused nearest; below 1: if the last is.

    Near things hide far ones, and not the other way round: each slice is composed of the layers in both orders. Looked
    at is what lies beside the steps of depth: on a step nobody knows to the pixel where it is.
    """
    place = np.round(median_filter(place, STEADY))
    at, shares = layers_of(place, len(slices))
    where = np.interp(at, np.arange(len(slices)), reach)
    beside = (_range(place, ON_STEP) < STEP) & (_range(place, BESIDE_STEP) >= STEP)
    wrong = np.full(2, 1e-12)
    orders = [_opaque(sharp, list(shares)), _opaque(sharp, list(shares)[::-1])[::-1]]
    for k in np.unique(np.linspace(0, len(slices) - 1, 10).round().astype(int)):
        full = []
        for order, layers in enumerate(orders):
            seen = [blurred(layer, abs(reach[k] - x)) for layer, x in zip(layers, where, strict=True)]
            composed = composite(seen if order == 0 else seen[::-1])
            full.append(composed[..., :3] / np.maximum(composed[..., 3:], 1e-3))
        # Weighted by how far the orders differ; no pixel counts for very much.
        differ = (np.minimum(((full[0] - full[1]) ** 2).sum(2), WRONGEST) * beside)[..., None]
        for order in (0, 1):
            wrong[order] += float((differ * np.minimum((full[order] - slices[k]) ** 2, WRONGEST)).sum())
    return float(wrong[1] / wrong[0])


def _range(plane: NDArray[np.floating], radius: int) -> NDArray[np.floating]:
    return maximum_filter(plane, 2 * radius + 1) - minimum_filter(plane, 2 * radius + 1)


def _opaque(sharp: NDArray[np.float32], shares: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Layers [H, W, 4], nearest first, that are the sharp picture when they are composed as they are."""
    left, layers = np.ones_like(shares[0]), []
    for share in shares:
        alpha = np.where(left > 1e-3, np.minimum(share / np.maximum(left, 1e-3), 1), 0)[..., None]
        layers.append(np.concatenate([sharp * alpha, alpha], 2))
        left = left - share
    return layers


def composite(layers: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Layers [H, W, 4] of premultiplied light and coverage, nearest first, over each other."""
    out = np.zeros_like(layers[0])
    for layer in layers:
        out += (1 - out[..., 3:]) * layer
    return out
