"""The first Gaussians: the sparse points, and between them points guessed from the nearest observations.

In: sparse points, cameras, the photos. Out: `Gaussians`, round, of the photos' colours, as large as their spacing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.scene.gaussians import SH_C0, SH_REST, Gaussians
from macrosplat.support.colour import to_linear

OPACITY = 0.3  # of every Gaussian at the start: light passes to those behind, so that the photos can judge between them
NEIGHBOURS = 3  # the mean distance to them is a Gaussian's first size
SMALLEST, LARGEST = 0.5, 8.0  # px of the training width: bounds of the first size
FAINTEST = 0.02  # linear: a colour starts above black, where its gradient would be cut off


def start_scene(
    points: SparsePoints,
    cameras: Cameras,  # at the training width
    photos: Sequence[NDArray[np.uint8]],  # V of [H, W, 3] sRGB at the training width
    full_sizes: NDArray[np.int64],  # [V, 2] width, height that `points.px` counts in
    pixel: float,  # scene units of one px of the training width at the object
    count: int,
    degree: int,
    seed: int,
) -> Gaussians:
    """`count` Gaussians: every sparse point, the rest guessed at random pixels from the depths observed around them."""
    rng = np.random.default_rng([seed, 1])
    guessed = max(0, count - len(points))
    xyz, rgb = _guess(points, cameras, photos, full_sizes, guessed, rng)
    xyz = np.concatenate([points.xyz, xyz])
    linear = to_linear(np.concatenate([points.rgb, rgb]).astype(np.float32) / 255)
    distance = KDTree(xyz).query(xyz, k=min(NEIGHBOURS + 1, len(xyz)))[0][:, 1:].mean(1)
    size = np.clip(distance, SMALLEST * pixel, LARGEST * pixel)
    n = len(xyz)
    quats = torch.zeros(n, 4)
    quats[:, 0] = 1
    return Gaussians(
        means=torch.tensor(xyz, dtype=torch.float32),
        log_scales=torch.tensor(np.log(size), dtype=torch.float32)[:, None].repeat(1, 3),
        quats=quats,
        opacity_logits=torch.full((n,), float(np.log(OPACITY / (1 - OPACITY)))),
        sh0=torch.tensor((np.maximum(linear, FAINTEST) - 0.5) / SH_C0, dtype=torch.float32),
        sh_rest=torch.zeros(n, SH_REST[degree], 3),
    )


def _guess(points, cameras, photos, full_sizes, count, rng) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """`count` points at random pixels, each as far away as the observations around that pixel."""
    xyz, rgb = [np.empty((0, 3))], [np.empty((0, 3), np.uint8)]
    shares = np.bincount(rng.integers(len(cameras), size=count), minlength=len(cameras))
    depths = observed_depths(points, cameras)
    for v, share in enumerate(shares):
        if share == 0:
            continue
        width, height = cameras.sizes[v]
        px = rng.random((share, 2)) * (width, height)
        seen = points.photo == v
        if seen.any():
            known = points.px[seen] * (cameras.sizes[v] / full_sizes[v])
            away, nearest = KDTree(known).query(px, k=min(NEIGHBOURS, seen.sum()))
            away, nearest = away.reshape(share, -1), nearest.reshape(share, -1)
            weight = 1 / (away + 1)
            around = depths[seen][nearest]
            depth = (weight * around).sum(1) / weight.sum(1)
            # As uncertain as the neighbours disagree: a guess between a near and a far part may belong to either.
            depth += around.std(1) * rng.standard_normal(share)
        else:
            depth = np.full(share, np.median(depths))
        fx, fy, cx, cy = cameras.intrinsics[v]
        local = np.stack([(px[:, 0] - cx) / fx * depth, (px[:, 1] - cy) / fy * depth, depth], 1)
        rotation, translation = cameras.views[v, :3, :3], cameras.views[v, :3, 3]
        xyz.append((local - translation) @ rotation)
        rgb.append(photos[v][px[:, 1].astype(int), px[:, 0].astype(int)])
    return np.concatenate(xyz), np.concatenate(rgb)


def observed_depths(points: SparsePoints, cameras: Cameras) -> NDArray[np.float64]:
    """[O] camera z of every observation."""
    rows = cameras.views[points.photo, 2]
    return np.einsum("oi,oi->o", rows[:, :3], points.xyz[points.point]) + rows[:, 3]
