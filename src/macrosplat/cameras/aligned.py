"""Observations of points brought to where the pictures agree, to some hundredths of a px: key points of photos that are
blurred differently lie 0.3 px apart and more, and not by chance: blur moves them.

The patch about each observation is laid on that of the sharpest one of its point (`patches`), beginning with what the
cameras and the plane of the points around say of how one turns into the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from macrosplat.cameras.patches import RADIUS, laid, turned_by
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.photos.read import read_photo, readers
from macrosplat.photos.records import Photo
from macrosplat.support.threads import ordered

Array = NDArray[np.float64]

WIDTH = 1000  # px at which photos are compared, at most
SMOOTH = 0.7  # px, sigma: less noise, and derivatives that central differences see
SIZE = 7 / RADIUS  # of a patch: 7 px to either side
SHARP = 3.5  # px, sigma: within which a photo's sharpness is told
ALIKE = 0.87  # correlation of patches that agree
FARTHEST = 0.003  # of the width, or 1 px: what moves farther has found something else
FEWEST = 3  # photos of a point
MOST = 100_000  # observations: their patches take 0.4 GB; of more, every so many-th point is taken


def aligned(points: SparsePoints, cameras: Cameras, photos: Sequence[Photo], least: int = 60) -> SparsePoints:
    """The observations that agree, moved to where they do; those of no point that three photos show so are left out.

    Args:
        points: observations in px of the photos as taken. cameras, photos: V, in the same order.
        least: a photo with fewer such observations keeps those that it had, where they were.
    """
    share = -(-len(points.photo) // MOST)
    if share > 1:
        points = _only(points, points.point % share == 0)
    scale = np.array([min(1.0, WIDTH / photo.width) for photo in photos])

    def grey(v: int) -> Array:
        photo = photos[v]
        picture = read_photo(photo, round(photo.width * scale[v]))
        return gaussian_filter(picture @ np.array([0.299, 0.587, 0.114]) / 255, SMOOTH)

    pictures = list(ordered(grey, range(len(photos)), readers(photos)))
    at = points.px * scale[points.photo, None]
    reference = _sharpest(points, pictures, at - 0.5)
    here = cameras.intrinsics * scale[:, None]
    turned, usable = turned_by(points.xyz, cameras.views, here, points.point, points.photo, points.photo[reference])[1:]
    usable &= reference != np.arange(len(at))
    own = np.flatnonzero(usable)
    shapes = [SIZE * turn.reshape(-1, 4) for turn in (np.tile(np.eye(2), (len(own), 1, 1)), turned[own])]
    first, second = (
        np.column_stack([at[rows], shape]) for rows, shape in zip((reference[own], own), shapes, strict=True)
    )
    found = laid(pictures, points.photo[reference[own]], first, points.photo[own], second, known=True)
    moved, alike = at.copy(), np.ones(len(at))
    moved[own], alike[own] = found[:, :2], found[:, 2]
    width = cameras.sizes[points.photo, 0] * scale[points.photo]
    kept = (alike > ALIKE) & (np.hypot(*(moved - at).T) < np.maximum(FARTHEST * width, 1))
    kept &= usable | (reference == np.arange(len(at)))
    kept = _seen_often(points, kept)
    poor = np.bincount(points.photo[kept], minlength=len(photos)) < least
    stay = poor[points.photo]
    px = np.where((kept & ~stay)[:, None], moved / scale[points.photo, None], points.px)
    return _only(replace(points, px=px), _seen_often(points, kept | stay))


def _seen_often(points: SparsePoints, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return kept & (np.bincount(points.point[kept], minlength=len(points.xyz)) >= FEWEST)[points.point]


def _only(points: SparsePoints, kept: NDArray[np.bool_]) -> SparsePoints:
    used, point = np.unique(points.point[kept], return_inverse=True)
    return SparsePoints(points.xyz[used], points.rgb[used], point, points.photo[kept], points.px[kept])


def _sharpest(points: SparsePoints, pictures: Sequence[Array], at: Array) -> NDArray[np.int64]:
    """[O] the observation of the same point that is sharpest."""
    sharpness = np.empty(len(at))
    for v, picture in enumerate(pictures):
        own = points.photo == v
        local = gaussian_filter(np.hypot(np.gradient(picture, axis=0), np.gradient(picture, axis=1)), SHARP)
        sharpness[own] = map_coordinates(local, at[own, ::-1].T, order=1, mode="nearest")
    order = np.lexsort((-sharpness, points.point))
    of = points.point[order]
    best = np.empty(len(points.xyz), np.int64)
    first = np.r_[True, of[1:] != of[:-1]]
    best[of[first]] = order[first]
    return best[points.point]
