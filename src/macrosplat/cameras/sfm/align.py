"""Feature points brought into agreement by the pixels around them, within fractions of a pixel.

A detector places each point by its own photo alone: on blurred photos two of them meet to 1 to 2 px. Here the patch
about every point of a track is laid on that of the track's sharpest photo by an affine map, a gain and an offset (Lucas
and Kanade, An iterative image registration technique, 1981), which begin with the affine shapes of the two points. Blur
is alike in all directions and moves no patch: what it does to contrast is the gain's.

In: a model, features and pictures. Out: features whose points have moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.sfm.features import Features
from macrosplat.support.colmap import pycolmap
from macrosplat.support.numba import njit
from macrosplat.support.threads import CORES, ordered

RADIUS = 6.0  # of a patch, in units of the feature point's scale
SAMPLES = 17  # along a patch
TURNS, SETTLED = 12, 0.01  # at most; px
FARTHEST = 4.0  # px that a point may move
ALIKE = 0.8  # correlation of two patches that agree


def aligned(
    model: pycolmap.Reconstruction, features: Sequence[Features], pictures: Mapping[int, NDArray[np.uint8]]
) -> list[Features]:
    """Features with the points of the model's tracks moved; those whose patches do not agree stay where they are.

    Args:
        model: image n + 1 is photo n.
        pictures: [H, W] sRGB levels at the working size, of every photo that the model holds.
    """
    rows = _pairs(model, features)
    keypoints = [one.keypoints.astype(np.float64) for one in features]
    found = np.zeros((len(rows), 3))
    blocks = np.array_split(np.arange(len(rows)), max(1, min(4 * CORES, len(rows) // 50)))
    margins = np.array([one.margin for one in features])

    def work(block: NDArray[np.intp]) -> None:
        for k in block:
            i, a, j, b = rows[k]
            first, second = keypoints[i][a].copy(), keypoints[j][b].copy()
            first[:2] -= margins[i]
            second[:2] -= margins[j]
            found[k] = _align(pictures[i], pictures[j], first, second, RADIUS, TURNS, SETTLED, FARTHEST)
            found[k, :2] += margins[j]

    for _ in ordered(work, blocks):
        pass
    moved = [one.keypoints.copy() for one in features]
    for (_, _, j, b), (x, y, alike) in zip(rows, found, strict=True):
        if alike >= ALIKE:
            moved[j][b, :2] = x, y
    return [_with(one, points) for one, points in zip(features, moved, strict=True)]


def _with(features: Features, keypoints: NDArray[np.float32]) -> Features:
    return Features(keypoints, features.descriptors, features.rgb, features.size, features.own)


def _pairs(model: pycolmap.Reconstruction, features: Sequence[Features]) -> NDArray[np.int64]:
    """[M, 4] photo and row of each track's point of the smallest scale, where blur is least; and those of another.

    Only of points of the photo's first extraction: corners of coded targets lie where they are.
    """
    shapes = [one.keypoints[:, 2:].astype(np.float64) for one in features]
    scales = [np.abs(s[:, 0] * s[:, 3] - s[:, 1] * s[:, 2]) for s in shapes]
    own = [len(one.first()) for one in features]
    rows = []
    for point in model.points3D.values():
        seen = [(element.image_id - 1, element.point2D_idx) for element in point.track.elements]
        seen = [(i, row) for i, row in seen if row < own[i]]
        if len(seen) < 2:
            continue
        best = min(seen, key=lambda one: (scales[one[0]][one[1]], one))
        rows += [(*best, *other) for other in seen if other != best]
    return np.array(rows, np.int64).reshape(-1, 4)


@njit(inline=True)
def _at(picture, x, y):
    """The picture at px, pixel centres at +0.5; nan outside."""
    x, y = x - 0.5, y - 0.5
    column, row = int(np.floor(x)), int(np.floor(y))
    if column < 0 or row < 0 or column >= picture.shape[1] - 1 or row >= picture.shape[0] - 1:
        return np.nan
    a, b = x - column, y - row
    upper = picture[row, column] * (1 - a) + picture[row, column + 1] * a
    lower = picture[row + 1, column] * (1 - a) + picture[row + 1, column + 1] * a
    return upper * (1 - b) + lower * b


@njit
def _align(
    first,  # [H, W]
    second,  # [H, W]
    one,  # [6] x, y and the 2x2 shape of the point in the first
    two,  # [6] where it is sought in the second
    radius,
    turns,
    settled,  # px
    farthest,  # px
):
    """x, y in the second picture, and the correlation of the patches there; -1 where a patch leaves its picture."""
    n = SAMPLES
    half = (n - 1) / 2
    patch, weight = np.empty((n, n)), np.empty((n, n))
    seen, right, down = np.empty((n, n)), np.empty((n, n)), np.empty((n, n))
    for r in range(n):
        for c in range(n):
            u, v = (c - half) / half * radius, (r - half) / half * radius
            patch[r, c] = _at(first, one[0] + one[2] * u + one[3] * v, one[1] + one[4] * u + one[5] * v)
            weight[r, c] = np.exp(-2 * (u * u + v * v) / (radius * radius))
            if np.isnan(patch[r, c]):
                return two[0], two[1], -1.0
    total = weight.sum()
    patch -= (patch * weight).sum() / total
    power = (weight * patch * patch).sum()
    now = two.copy()
    best, x, y, moved = -1.0, two[0], two[1], 1e9
    for turn in range(turns + 1):
        for r in range(n):
            for c in range(n):
                u, v = (c - half) / half * radius, (r - half) / half * radius
                px, py = now[0] + now[2] * u + now[3] * v, now[1] + now[4] * u + now[5] * v
                seen[r, c] = _at(second, px, py)
                right[r, c] = _at(second, px + 0.5, py) - _at(second, px - 0.5, py)
                down[r, c] = _at(second, px, py + 0.5) - _at(second, px, py - 0.5)
                if np.isnan(seen[r, c]) or np.isnan(right[r, c]) or np.isnan(down[r, c]):
                    return x, y, best
        seen -= (seen * weight).sum() / total
        own = (weight * seen * seen).sum()
        if own < 1e-9 or power < 1e-9:
            return x, y, best
        both = (weight * seen * patch).sum()
        alike = both / np.sqrt(own * power)
        if alike > best:
            best, x, y = alike, now[0], now[1]
        gain = both / own
        if turn == turns or moved < settled or gain <= 0:
            break
        normal, wrong, slope = np.zeros((8, 8)), np.zeros(8), np.empty(8)
        for r in range(n):
            for c in range(n):
                u, v = (c - half) / half * radius, (r - half) / half * radius
                gx, gy, w = gain * right[r, c], gain * down[r, c], weight[r, c]
                slope[0], slope[1], slope[2], slope[3] = gx, gy, gx * u, gx * v
                slope[4], slope[5], slope[6], slope[7] = gy * u, gy * v, seen[r, c], 1.0
                off = patch[r, c] - gain * seen[r, c]
                for k in range(8):
                    wrong[k] += w * slope[k] * off
                    for m in range(8):
                        normal[k, m] += w * slope[k] * slope[m]
        for k in range(8):
            normal[k, k] = normal[k, k] * (1 + 1e-6) + 1e-12
        step = np.linalg.solve(normal, wrong)
        moved = np.sqrt(step[0] ** 2 + step[1] ** 2)
        share = min(1.0, 1.5 / max(moved, 1e-9))
        for k in range(6):
            now[k] += share * step[k]
        if np.hypot(now[0] - two[0], now[1] - two[1]) > farthest:
            break
    return x, y, best
