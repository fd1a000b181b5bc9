"""Patches of one photo laid on another, within fractions of a pixel.

The patch about a point is laid on that about the same point of another photo by an affine map, a gain and an offset
(Lucas and Kanade, An iterative image registration technique, 1981). The map begins with what is known: the shapes of
two feature points, or how the plane of the points around lies before two cameras (`turned_by`). Blur is alike in all
directions and moves no patch: what it does to contrast is the gain's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from macrosplat.support.numba import njit
from macrosplat.support.threads import CORES, ordered

Array = NDArray[np.float64]

RADIUS = 6.0  # of a patch, in units of a point's shape: for a feature point, of its scale
SAMPLES = 17  # along a patch
UNKNOWNS = 9  # of a patch: place, shape, contrast, brightness, blur
TURNS, SETTLED = 12, 0.01  # at most; px
FARTHEST = 4.0  # px that a point may move
AROUND = 10  # points that tell the plane at a point
STRETCH = 2.0  # a patch that is stretched by more looks too different


def laid(
    pictures: Mapping[int, NDArray[Any]] | Sequence[NDArray[Any]],
    photo_1: NDArray[np.int64],
    first: NDArray[np.float64],
    photo_2: NDArray[np.int64],
    second: NDArray[np.float64],
    known: bool,
) -> NDArray[np.float64]:
    """[M, 3] x and y in the second photo, and the correlation of the patches there; -1 where one leaves its picture.

    Args:
        pictures: [H, W] levels, of any unit.
        photo_1, photo_2: [M] whose pictures. first, second: [M, 6] x, y (px of the picture) and the 2x2 shape of a
            point, and of where and how it is sought.
        known: the shape is; with the place it is found how much more the second is blurred, instead of the shape.
    """
    found = np.zeros((len(first), 3))
    blocks = np.array_split(np.arange(len(first)), max(1, min(4 * CORES, len(first) // 50)))

    def work(block: NDArray[np.intp]) -> None:
        for k in block:
            one, two = pictures[int(photo_1[k])], pictures[int(photo_2[k])]
            found[k] = _align(one, two, first[k], second[k], RADIUS, TURNS, SETTLED, FARTHEST, known)

    for _ in ordered(work, blocks):
        pass
    return found


def turned_by(
    xyz: Array,
    views: Array,
    intrinsics: Array,
    point: NDArray[np.int64],
    photo: NDArray[np.int64],
    reference: NDArray[np.int64],
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """How the surface about points lies in photos.

    Args:
        xyz: [N, 3] points. views: [V, 4, 4] world to camera. intrinsics: [V, 4] fx, fy, cx, cy.
        point, photo, reference: [O] which point is seen in which photo, and in which other one its patch is taken.

    Returns:
        [O, 2] where the photo shows the point, [O, 2, 2] what turns px of the reference's patch into px of the photo's,
        and [O] where that may be believed.
    """
    _, near = KDTree(xyz).query(xyz, k=min(AROUND, len(xyz)))
    around = xyz[near]
    around = around - np.median(around, 1, keepdims=True)
    far = np.linalg.norm(around, axis=2)
    weight = 1 / (1 + (far / np.maximum(np.median(far, 1, keepdims=True), 1e-12)) ** 2)
    axes = np.linalg.eigh(np.einsum("nki,nkj,nk->nij", around, around, weight))[1][..., 1:]  # [N, 3, 2] of the plane

    def seen(v: NDArray[np.int64]) -> tuple[Array, Array]:
        local = np.einsum("oij,oj->oi", views[v, :3, :3], xyz[point]) + views[v, :3, 3]
        ray = local[:, :2] / local[:, 2:]
        along = views[v, :3, :3] @ axes[point]  # [O, 3, 2]
        focal = intrinsics[v, :2] / local[:, 2:]
        return ray * intrinsics[v, :2] + intrinsics[v, 2:], focal[..., None] * (
            along[:, :2] - ray[..., None] * along[:, 2:]
        )

    (there, own), (_, other) = seen(photo), seen(reference)
    flat = [np.abs(np.linalg.det(j)) < 1e-3 * np.abs(j).max((1, 2)) ** 2 for j in (own, other)]
    known = ~(flat[0] | flat[1])
    turned = np.tile(np.eye(2), (len(own), 1, 1))
    turned[known] = own[known] @ np.linalg.inv(other[known])
    stretch = np.linalg.svd(turned, compute_uv=False)
    known &= (stretch[:, 0] < STRETCH) & (stretch[:, 1] > 1 / STRETCH) & (np.linalg.det(turned) > 0)
    return there, turned, known


@njit(inner=True)
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


@njit(inner=True)
def _product(first, second, weight):
    """The sum of the products of two patches, weighted."""
    total = 0.0
    for r in range(weight.shape[0]):
        for c in range(weight.shape[1]):
            total += weight[r, c] * first[r, c] * second[r, c]
    return total


@njit(inner=True)
def _centre(patch, weight):
    """Makes the weighted mean of a patch 0."""
    total = weights = 0.0
    for r in range(weight.shape[0]):
        for c in range(weight.shape[1]):
            total += weight[r, c] * patch[r, c]
            weights += weight[r, c]
    for r in range(weight.shape[0]):
        for c in range(weight.shape[1]):
            patch[r, c] -= total / weights


@njit(inner=True)
def _solve(normal, right):
    """Into `right` the solution of normal equations, of which the lower triangle is read and made that of Cholesky;
    whether they have one. (numpy's takes as long to compile as a training step's longest kernel.)"""
    n = right.shape[0]
    for k in range(n):
        for m in range(k + 1):
            rest = normal[k, m]
            for j in range(m):
                rest -= normal[k, j] * normal[m, j]
            if m < k:
                normal[k, m] = rest / normal[m, m]
            elif rest > 0.0:
                normal[k, k] = np.sqrt(rest)
            else:
                return False
        for j in range(k):
            right[k] -= normal[k, j] * right[j]
        right[k] /= normal[k, k]
    for k in range(n - 1, -1, -1):
        for j in range(k + 1, n):
            right[k] -= normal[j, k] * right[j]
        right[k] /= normal[k, k]
    return True


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
    known,
):
    """x, y in the second picture, and the correlation of the patches there; -1 where a patch leaves its picture."""
    n = SAMPLES
    half = (n - 1) / 2
    patch, curved, weight = np.empty((n, n)), np.empty((n, n)), np.empty((n, n))
    seen, right, down = np.empty((n, n)), np.empty((n, n)), np.empty((n, n))
    for r in range(n):
        for c in range(n):
            u, v = (c - half) / half * radius, (r - half) / half * radius
            x, y = one[0] + one[2] * u + one[3] * v, one[1] + one[4] * u + one[5] * v
            patch[r, c] = _at(first, x, y)
            curved[r, c] = 0.0
            if known:
                around = _at(first, x - 1, y) + _at(first, x + 1, y) + _at(first, x, y - 1) + _at(first, x, y + 1)
                curved[r, c] = around - 4 * patch[r, c]
            weight[r, c] = np.exp(-2 * (u * u + v * v) / (radius * radius))
            if np.isnan(patch[r, c]) or np.isnan(curved[r, c]):
                return two[0], two[1], -1.0
    _centre(patch, weight)
    _centre(curved, weight)
    now = np.empty(6)
    for k in range(6):
        now[k] = two[k]
    normal, wrong, slope = np.empty((UNKNOWNS, UNKNOWNS)), np.empty(UNKNOWNS), np.empty(UNKNOWNS)
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
        _centre(seen, weight)
        own, power = _product(seen, seen, weight), _product(patch, patch, weight)
        if own < 1e-9 or power < 1e-9:
            return x, y, best
        both = _product(seen, patch, weight)
        alike = both / np.sqrt(own * power)
        if alike > best:
            best, x, y = alike, now[0], now[1]
        gain = both / own
        if turn == turns or moved < settled or gain <= 0:
            break
        # The last of the unknowns is how much more the second is blurred: by a share of the first's Laplacian.
        for k in range(UNKNOWNS):
            wrong[k] = 0.0
            for m in range(UNKNOWNS):
                normal[k, m] = 0.0
        for r in range(n):
            for c in range(n):
                u, v = (c - half) / half * radius, (r - half) / half * radius
                gx, gy, w = gain * right[r, c], gain * down[r, c], weight[r, c]
                slope[0], slope[1], slope[2], slope[3] = gx, gy, gx * u, gx * v
                slope[4], slope[5], slope[6], slope[7] = gy * u, gy * v, seen[r, c], 1.0
                slope[8] = -curved[r, c]
                off = patch[r, c] - gain * seen[r, c]
                for k in range(UNKNOWNS):
                    wrong[k] += w * slope[k] * off
                    for m in range(k + 1):
                        normal[k, m] += w * slope[k] * slope[m]
        for k in range(UNKNOWNS):
            if (2 <= k < 6) if known else k == 8:  # stays
                for m in range(UNKNOWNS):
                    normal[max(k, m), min(k, m)] = 0.0
                wrong[k], normal[k, k] = 0.0, 1.0
            normal[k, k] = normal[k, k] * (1 + 1e-6) + 1e-12
        if not _solve(normal, wrong):
            return x, y, best
        step = wrong
        moved = np.sqrt(step[0] ** 2 + step[1] ** 2)
        share = min(1.0, 1.5 / max(moved, 1e-9))
        for k in range(6):
            now[k] += share * step[k]
        for r in range(n):
            for c in range(n):
                patch[r, c] += step[8] * curved[r, c]
        if np.hypot(now[0] - two[0], now[1] - two[1]) > farthest:
            break
    return x, y, best
