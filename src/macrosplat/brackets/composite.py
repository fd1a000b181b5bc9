"""One sharp picture of each pose of a focus bracket, and cameras found on those: the slices then share them.

In: photos that know their pose. Out: fewer photos, in which each bracket is one composite, and the way back: cameras
and points of the composites, spread over the slices. The composite takes every pixel from the slices
that are sharpest there; it serves to find features only, training sees the slices as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, laplace

from macrosplat.brackets.align import (
    IDENTITY,
    WORKING,
    align,
    gains,
    intrinsics_of_slice,
    px_in_slice,
    thumbnail,
    view_of_slice,
    warped,
)
from macrosplat.brackets.recognise import poses_of
from macrosplat.cameras.records import Cameras, Distortion, SparsePoints
from macrosplat.cameras.undistort import read_undistorted_linear
from macrosplat.photos.records import Photo, resized
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.files import write_whole

FINE, POOL = 0.7, 2.5  # px: grain is smoothed by the one, sharpness is averaged over the other
SIDE = 1800  # px of a composite's longer side: feature points are sought at 1200, and every slice is read and warped
PICKY = 4  # power of the sharpness in the weight of a slice: one twice as sharp counts 16 times


@dataclass(frozen=True)
class Poses:
    """One photo per pose, and what its slices are to it."""

    photos: tuple[Photo, ...]  # P
    cameras: Cameras | None  # P, pinholes, if the slices have cameras
    slices: tuple[tuple[int, ...], ...]  # P groups of indices into the photos of the whole capture
    warps: tuple[NDArray[np.float64], ...]  # P of [S, 4], from the composite to each slice


def one_per_pose(taken: Sequence[Photo], cameras: Cameras | None, folder: Path) -> Poses:
    """Write a composite of every bracket into `folder`, `SIDE` px at the most. The middle slice of a bracket is its
    reference."""
    photos: list[Photo] = []
    warps = []
    groups = poses_of(taken)
    for group in groups:
        slices = [taken[i] for i in group]
        middle = slices[len(slices) // 2]
        lenses = _lenses(cameras, slices)
        if len(slices) == 1 and lenses[0] is None:
            photos.append(middle)
            warps.append(IDENTITY[None])
            continue
        # Given cameras know how the slices lie; found ones will be told.
        found = align([thumbnail(photo, WORKING) for photo in slices]) if cameras is None else None
        warps.append(np.tile(IDENTITY, (len(slices), 1)) if found is None else found)
        even = gains(
            [read_undistorted_linear(photo, lens, WORKING) for photo, lens in zip(slices, lenses, strict=True)],
            warps[-1],
        )
        share = min(1.0, SIDE / max(middle.width, middle.height))
        width, height = resized(middle.width, middle.height, round(middle.width * share))
        path = folder / f"{(middle.pose or middle.name).replace('/', '_')}.png"
        picture = to_bytes(to_srgb(composite(slices, warps[-1], width, lenses, even)))
        write_whole(path, Image.fromarray(picture).save)
        photos.append(replace(middle, path=path, pose=None, orientation=1, width=width, height=height))
    if cameras is not None:
        given = replace(cameras.select([photo.name for photo in photos]), distortion=())
        cameras = _sized(given, np.array([(photo.width, photo.height) for photo in photos]))
    return Poses(tuple(photos), cameras, groups, tuple(warps))


def composite(
    slices: Sequence[Photo],
    warps: NDArray[np.float64],
    width: int | None = None,
    lenses: Sequence[Distortion | None] | None = None,
    even: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """[H, W, 3] linear light: every pixel from the slices that are sharpest there. One slice is in memory at a time.

    Args:
        lenses: how each slice is distorted; None: not at all.
        even: [S, 3] what the light of each is multiplied by; None: nothing.
    """
    total: Any = None
    weights: Any = None
    even = np.ones((len(slices), 3)) if even is None else even
    for photo, warp, lens, gain in zip(slices, warps, lenses or [None] * len(slices), even, strict=True):
        picture = warped(read_undistorted_linear(photo, lens, width), warp) * gain.astype(np.float32)
        inside: Any = np.isfinite(picture).all(axis=2)
        picture = np.where(inside[..., None], picture, 0)
        weight = np.where(inside, sharpness(picture) ** PICKY + 1e-12, 0)[..., None]
        if total is None or weights is None:
            total, weights = np.zeros_like(picture), np.full_like(weight, 1e-30)
        total += weight * picture
        weights += weight
    assert total is not None and weights is not None, "a bracket without slices"
    return (total / weights).astype(np.float32)


def _lenses(known: Cameras | None, photos: Sequence[Photo]) -> tuple[Distortion | None, ...]:
    return (None,) * len(photos) if known is None else known.select([photo.name for photo in photos]).distortion


def sharpness(picture: NDArray[np.floating]) -> NDArray[np.floating]:
    """[H, W] how much of a picture [H, W, 3] is fine: Laplacian of its brightness, averaged over a few px."""
    light = np.sqrt(np.maximum(picture.mean(2), 0))
    return gaussian_filter(np.abs(laplace(gaussian_filter(light, FINE))), POOL)


def spread(
    poses: Poses, cameras: Cameras, points: SparsePoints, photos: Sequence[Photo]
) -> tuple[Cameras, SparsePoints]:
    """Cameras and observations of the composites, handed to all of their slices.

    Args:
        photos: of the whole capture.
    """
    place = {photo.name: p for p, photo in enumerate(poses.photos)}
    middles = [photos[group[len(group) // 2]] for group in (poses.slices[place[name]] for name in cameras.names)]
    full = np.array([(photo.width, photo.height) for photo in middles], np.int64).reshape(-1, 2)
    points = replace(points, px=points.px * (full / cameras.sizes)[points.photo])
    cameras = _sized(cameras, full)
    entries = []  # (index of the photo, index of the camera, warp)
    for c, name in enumerate(cameras.names):
        p = place[name]
        entries += [(i, c, warp) for i, warp in zip(poses.slices[p], poses.warps[p], strict=True)]
    entries.sort(key=lambda entry: entry[0])
    sizes = np.array([(photos[i].width, photos[i].height) for i, _, _ in entries], np.int64).reshape(-1, 2)
    intrinsics = [
        intrinsics_of_slice(cameras.intrinsics[c], warp, (int(w), int(h)))
        for (_, c, warp), (w, h) in zip(entries, sizes, strict=True)
    ]
    point, photo, px = [], [], []
    for v, (_, c, warp) in enumerate(entries):
        seen = np.flatnonzero(points.photo == c)
        point.append(points.point[seen])
        photo.append(np.full(len(seen), v))
        px.append(px_in_slice(points.px[seen], warp, (int(sizes[v, 0]), int(sizes[v, 1]))))
    return (
        Cameras(
            names=tuple(photos[i].name for i, _, _ in entries),
            views=np.stack([view_of_slice(cameras.views[c], warp) for _, c, warp in entries]),
            intrinsics=np.array(intrinsics),
            sizes=sizes,
            source=cameras.source,
        ),
        SparsePoints(points.xyz, points.rgb, np.concatenate(point), np.concatenate(photo), np.concatenate(px)),
    )


def _sized(cameras: Cameras, sizes: NDArray[np.int64]) -> Cameras:
    """The same pinholes for photos of other sizes [V, 2]."""
    factor = sizes / cameras.sizes
    return replace(cameras, intrinsics=cameras.intrinsics * factor[:, [0, 1, 0, 1]], sizes=sizes)


def has_brackets(photos: Sequence[Photo]) -> bool:
    return any(photo.pose is not None for photo in photos)
