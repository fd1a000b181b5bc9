"""Observations of points brought to where the pictures agree, to some hundredths of a px: key points of photos that are
blurred differently lie 0.3 px apart and more, and not by chance: blur moves them.

Each observation is compared with the sharpest one of its point (Lucas and Kanade 1981). What turns one patch into the
other is known: the cameras, and the plane of the points around. Light may be brighter, and the patch blurred: a little
more blur adds a share of its Laplacian, and moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, laplace, map_coordinates, spline_filter
from scipy.spatial import KDTree

from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.photos.read import read_photo
from macrosplat.photos.records import Photo
from macrosplat.support.threads import ordered

Array = NDArray[np.float64]

WIDTH = 1000  # px at which photos are compared, at most
HALF = 7  # px: a patch is compared within a window that falls off as a Gaussian of half this sigma
SMOOTH = 0.7  # px, sigma: less noise, and derivatives that central differences see
STEPS = 8  # of Gauss and Newton; a start 2 px off is found in 5
AROUND = 10  # points that tell the plane at a point
STRETCH = 2.0  # a patch that is stretched by more looks too different
ALIKE = 0.75  # of a patch's variance that its partner has to explain
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

    pictures = list(ordered(grey, range(len(photos))))
    splines = [spline_filter(picture, mode="mirror") for picture in pictures]
    at = points.px * scale[points.photo, None] - 0.5  # where a pixel's centre is a whole number
    reference = _sharpest(points, pictures, at)
    turned, usable = _patches(points, cameras, scale, reference)
    usable &= reference != np.arange(len(at))
    patches = _reference_patches(points.photo, pictures, splines, at, reference)
    moved, alike = at.copy(), np.ones(len(at))

    def found(v: int) -> tuple[NDArray[np.int64], Array, Array]:
        own = np.flatnonzero((points.photo == v) & usable)
        return own, *_found(splines[v], at[own], turned[own], *(patch[own] for patch in patches))

    for own, where, explained in ordered(found, range(len(photos))):
        moved[own], alike[own] = where, explained
    width = cameras.sizes[points.photo, 0] * scale[points.photo]
    kept = (alike > ALIKE) & (np.hypot(*(moved - at).T) < np.maximum(FARTHEST * width, 1))
    kept &= usable | (reference == np.arange(len(at)))
    kept = _seen_often(points, kept)
    poor = np.bincount(points.photo[kept], minlength=len(photos)) < least
    stay = poor[points.photo]
    px = np.where((kept & ~stay)[:, None], (moved + 0.5) / scale[points.photo, None], points.px)
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
        local = gaussian_filter(np.hypot(np.gradient(picture, axis=0), np.gradient(picture, axis=1)), HALF / 2)
        sharpness[own] = map_coordinates(local, at[own, ::-1].T, order=1, mode="nearest")
    order = np.lexsort((-sharpness, points.point))
    of = points.point[order]
    best = np.empty(len(points.xyz), np.int64)
    first = np.r_[True, of[1:] != of[:-1]]
    best[of[first]] = order[first]
    return best[points.point]


def _patches(
    points: SparsePoints, cameras: Cameras, scale: Array, reference: NDArray[np.int64]
) -> tuple[Array, NDArray[np.bool_]]:
    """[O, 2, 2] what turns px of the reference's patch into px of the observation's, and where that may be believed."""
    _, near = KDTree(points.xyz).query(points.xyz, k=min(AROUND, len(points.xyz)))
    around = points.xyz[near]
    around = around - np.median(around, 1, keepdims=True)
    far = np.linalg.norm(around, axis=2)
    weight = 1 / (1 + (far / np.maximum(np.median(far, 1, keepdims=True), 1e-12)) ** 2)
    axes = np.linalg.eigh(np.einsum("nki,nkj,nk->nij", around, around, weight))[1][..., 1:]  # [N, 3, 2] of the plane
    rotation = cameras.views[points.photo, :3, :3]
    local = np.einsum("oij,oj->oi", rotation, points.xyz[points.point]) + cameras.views[points.photo, :3, 3]
    ray = local[:, :2] / local[:, 2:]
    along = rotation @ axes[points.point]  # [O, 3, 2]
    focal = cameras.intrinsics[points.photo, :2] * scale[points.photo, None] / local[:, 2:]
    jacobian = focal[..., None] * (along[:, :2] - ray[..., None] * along[:, 2:])  # [O, 2, 2] px of the plane
    flat = np.abs(np.linalg.det(jacobian)) < 1e-3 * np.abs(jacobian).max((1, 2)) ** 2
    known = ~(flat | flat[reference])
    turned = np.tile(np.eye(2), (len(local), 1, 1))
    turned[known] = jacobian[known] @ np.linalg.inv(jacobian[reference[known]])
    stretch = np.linalg.svd(turned, compute_uv=False)
    known &= (stretch[:, 0] < STRETCH) & (stretch[:, 1] > 1 / STRETCH) & (np.linalg.det(turned) > 0)
    return turned, known


def _window() -> tuple[Array, Array, Array]:
    """[P] px to the right and down of a patch, and the square roots of their weights."""
    down, right = (a.ravel() for a in np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1].astype(np.float64))
    return right, down, np.exp(-(right**2 + down**2) / HALF**2)


def _reference_patches(
    photo: NDArray[np.int64],
    pictures: Sequence[Array],
    splines: Sequence[Array],
    at: Array,
    reference: NDArray[np.int64],
) -> tuple[Array, Array]:
    """[O, P] the reference's patch of each observation, and its Laplacian."""
    right, down, _ = _window()
    patches, curved = np.empty((len(at), len(right))), np.empty((len(at), len(right)))
    for v, (picture, spline) in enumerate(zip(pictures, splines, strict=True)):
        own = photo[reference] == v
        where = [at[reference[own], 1][:, None] + down, at[reference[own], 0][:, None] + right]
        patches[own] = _sampled(spline, where)
        curved[own] = map_coordinates(laplace(picture), where, order=1, mode="nearest")
    return patches, curved


def _sampled(spline: Array, where: list[Array]) -> Array:
    return map_coordinates(spline, where, order=3, mode="mirror", prefilter=False)


def _found(spline: Array, at: Array, turned: Array, patch: Array, curved: Array) -> tuple[Array, Array]:
    """Where patches lie in a picture (cubic splines) [K, 2], and how much of the variance there is explained [K]."""
    right, down, root = _window()
    offset = turned @ np.stack([right, down])  # [K, 2, P]
    where, explained = at.copy(), np.zeros(len(at))
    for _ in range(STEPS):
        x, y = (where[:, :, None] + offset).transpose(1, 0, 2)

        def sample(dx: float, dy: float, x: Array = x, y: Array = y) -> Array:
            return _sampled(spline, [y + dy, x + dx])

        here = sample(0, 0)
        slopes = sample(0.5, 0) - sample(-0.5, 0), sample(0, 0.5) - sample(0, -0.5)
        # here + slopes . step = gain patch + blur curved + offset
        columns = np.stack([-slopes[0], -slopes[1], patch, curved, np.ones_like(here)], -1) * root[:, None]
        normal = np.einsum("kpi,kpj->kij", columns, columns)
        normal += 1e-7 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(5)
        solved = np.linalg.solve(normal, np.einsum("kpi,kp->ki", columns, here * root)[..., None])[..., 0]
        where = where + solved[:, :2].clip(-1, 1)
        left = here * root - np.einsum("kpi,ki->kp", columns, solved)
        apart = (here - (here * root**2).sum(1, keepdims=True) / (root**2).sum()) * root
        explained = 1 - (left**2).sum(1) / np.maximum((apart**2).sum(1), 1e-12)
    return where, explained
