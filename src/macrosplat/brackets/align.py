"""Slices of one pose, brought over each other: a lens zooms a little as it focuses, and a rail wobbles.

A `warp` (zoom, x, y) takes a place of the reference slice to another: place = zoom * place + (x, y), both counted from
the middle of the frame in units of its longer side, so that a warp serves every resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from macrosplat.photos.read import read_linear
from macrosplat.photos.records import Photo

IDENTITY = np.array([1.0, 0.0, 0.0])
THUMBNAIL = 96  # px: small enough that a slice looks as sharp as the next
WORKING = 480  # px that slices are aligned at; a tenth of a px there is a px of a 5000 px photo
SMOOTH = 2.0  # px of blur before two pictures are compared: their focus must not matter
CONVINCES = 0.5  # of what two slices differ in: what a warp may leave, to be believed
STEPS = 12  # of Gauss-Newton at each resolution; it has settled after 5 on real stacks
LEVELS = (0.25, 0.5, 1.0)


def thumbnail(photo: Photo, width: int = THUMBNAIL) -> NDArray[np.float32]:
    """[H, W] brightness (square root of linear light, so that shadows count)."""
    return np.sqrt(np.maximum(read_linear(photo, width).mean(2), 0))


def likeness(reference: NDArray[Any], other: NDArray[Any], warp: NDArray[np.float64]) -> float:
    """Correlation of two pictures, -1 to 1, over what both show."""
    a = gaussian_filter(reference, SMOOTH)
    b = warped(gaussian_filter(other, SMOOTH), warp)
    both = np.isfinite(b)
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    # Two even pictures are alike; they have nothing to differ in.
    return float((a * b).sum()) / size if size > 1e-9 * both.sum() else 1.0


def align(slices: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """[S, 3] the warp from the middle slice to each, found from neighbour to neighbour: these look most alike."""
    middle = len(slices) // 2
    slices = [np.ascontiguousarray(one, np.float32) for one in slices]
    warps = np.tile(IDENTITY, (len(slices), 1))
    for i in range(middle + 1, len(slices)):
        warps[i] = chained(warps[i - 1], aligned(slices[i - 1], slices[i]))
    for i in range(middle - 1, -1, -1):
        warps[i] = chained(warps[i + 1], aligned(slices[i + 1], slices[i]))
    return warps


def chained(first: NDArray[np.float64], then: NDArray[np.float64]) -> NDArray[np.float64]:
    """The warp that does `first`, then `then`."""
    return np.array([first[0] * then[0], *(then[0] * first[1:] + then[1:])])


def inverse(warp: NDArray[np.float64]) -> NDArray[np.float64]:
    """The warp that undoes one."""
    return np.array([1 / warp[0], *(-warp[1:] / warp[0])])


def aligned(reference: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """The warp from one slice to another: least squares of brightness, up to a gain and an offset."""
    warp = IDENTITY.copy()
    for level in LEVELS:
        a, b = (
            gaussian_filter(x, SMOOTH / level)[:: round(1 / level), :: round(1 / level)] for x in (reference, other)
        )
        # Taking every n-th pixel moves the middle of the frame by (n - 1) / 2 px of the original, in both alike.
        warp = _gauss_newton(a, b, warp)
    # Blur changes from slice to slice, too, and a warp can make up for a little of that. A lens that really zooms
    # leaves far less of the difference (a tenth to a third, on two real stacks).
    left, before = (1 - likeness(reference, other, w) for w in (warp, IDENTITY))
    return warp if left < CONVINCES * before else IDENTITY.copy()


def warped(picture: NDArray[Any], warp: NDArray[np.float64], order: int = 1) -> NDArray[Any]:
    """[H, W] or [H, W, C] a slice as it lies over the reference; NaN beyond its frame."""
    if np.array_equal(warp, IDENTITY):
        return picture.copy()
    places = _places(picture.shape[:2], warp)
    if picture.ndim == 3:
        planes = [warped(np.ascontiguousarray(picture[..., c]), warp, order) for c in range(picture.shape[2])]
        return np.stack(planes, -1)
    return map_coordinates(picture, places, order=order, cval=np.nan, mode="constant", output=np.float32)


def px_in_slice(px: NDArray[np.float64], warp: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """[O, 2] places of the reference (px, centres at +0.5) in a slice of `size` (width, height)."""
    middle, side = np.array(size) / 2, max(size)
    return (px - middle) * warp[0] + warp[1:] * side + middle


def intrinsics_of_slice(
    intrinsics: NDArray[np.float64], warp: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float64]:
    """fx, fy, cx, cy of a slice, where the reference has `intrinsics`."""
    principal = px_in_slice(intrinsics[None, 2:], warp, size)[0]
    return np.concatenate([intrinsics[:2] * warp[0], principal])


def _places(shape: tuple[int, ...], warp: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2, H, W] rows and columns of the slice under each pixel of the reference."""
    height, width = shape[:2]
    side = max(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    my, mx = (height - 1) / 2, (width - 1) / 2
    return np.stack([(y - my) * warp[0] + warp[2] * side + my, (x - mx) * warp[0] + warp[1] * side + mx])


def _gauss_newton(a: NDArray[Any], b: NDArray[Any], warp: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = a.shape
    side = max(a.shape)
    y, x = np.mgrid[:height, :width]
    x, y = (x - (width - 1) / 2), (y - (height - 1) / 2)
    for _ in range(STEPS):
        seen = warped(b, warp)
        dy, dx = np.gradient(seen)  # px of the reference; a zoom near 1 changes it by per cents at most
        good = np.isfinite(seen) & np.isfinite(dx) & np.isfinite(dy)
        if good.sum() < 100:
            return warp
        columns = [(dx * x + dy * y)[good], dx[good] * side, dy[good] * side, seen[good], np.ones(int(good.sum()))]
        matrix = np.stack(columns, 1).astype(np.float64)
        # seen * gain + offset + the motion's part = a: solved for all five, as gain * motion.
        solution = np.linalg.lstsq(matrix, a[good].astype(np.float64), rcond=None)[0]
        gain = solution[3] if abs(solution[3]) > 0.1 else 1.0
        step = solution[:3] / gain
        warp = warp + step
        if np.abs(step).max() < 1e-6:
            break
    return warp
