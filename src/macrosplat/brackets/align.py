"""Slices of one pose, brought over each other: a lens zooms a little as it focuses, a rail wobbles, a hand turns.

A `warp` (zoom, x, y, angle) takes a place of the reference slice to another: place = zoom R(angle) place + (x, y), both
counted from the middle of the frame in units of its longer side, so that a warp serves every resolution. Angles are in
radians, x to y.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, uniform_filter

from macrosplat.photos.inspected import THUMBNAIL
from macrosplat.photos.read import read_linear
from macrosplat.photos.records import Photo

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])
WORKING = 480  # px that slices are aligned at; a tenth of a px there is a px of a 5000 px photo
SMOOTH = 2.0  # px of blur before two pictures are compared: their focus must not matter
CONVINCES = 0.5  # of what two slices differ in: what a warp may leave, to be believed
OVERLAP = 0.3  # of the frame: pictures that share less are not compared
STEPS = 12  # of Gauss-Newton at each resolution; it has settled after 5 on real stacks
LEVELS = (0.25, 0.5, 1.0)
# Of `motion`: px of the windows whose motion is told, share of the best window's texture that tells anything.
WINDOW, TEXTURE = 15, 0.2
FLAT = 1e-5  # variance of the slope below which a window tells nothing
CLIPPED, DARK = 0.95, 0.01  # linear light that tells nothing of the exposure: burnt out; noise
EVEN = 0.04  # of the frame's width: blur before exposures are compared, far more than what focus does
LEAST_GAIN = 0.005  # gains nearer to 1 than this are left at 1


def thumbnail(photo: Photo, width: int = THUMBNAIL) -> NDArray[np.float32]:
    """[H, W] brightness (square root of linear light, so that shadows count)."""
    return np.sqrt(np.maximum(read_linear(photo, width).mean(2), 0))


def likeness(reference: NDArray[Any], other: NDArray[Any], warp: NDArray[np.float64]) -> float:
    """Correlation of two pictures, -1 to 1, over what both show."""
    a = gaussian_filter(reference, SMOOTH)
    b = warped(gaussian_filter(other, SMOOTH), warp)
    both = np.isfinite(b)
    if both.mean() < OVERLAP:
        return -1.0
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    # Two even pictures are alike; they have nothing to differ in.
    return float((a * b).sum()) / size if size > 1e-9 * both.sum() else 1.0


def align(slices: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """[S, 4] the warp from the middle slice to each, found from neighbour to neighbour: these look most alike."""
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
    return np.array([first[0] * then[0], *(_turn(then) @ first[1:3] + then[1:3]), first[3] + then[3]])


def inverse(warp: NDArray[np.float64]) -> NDArray[np.float64]:
    """The warp that undoes one."""
    back = np.array([1 / warp[0], 0, 0, -warp[3]])
    back[1:3] = -(_turn(back) @ warp[1:3])
    return back


def _turn(warp: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2, 2] zoom and rotation."""
    c, s = np.cos(warp[3]), np.sin(warp[3])
    return warp[0] * np.array([[c, -s], [s, c]])


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
    return (px - middle) @ _turn(warp).T + warp[1:3] * side + middle


def intrinsics_of_slice(
    intrinsics: NDArray[np.float64], warp: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float64]:
    """fx, fy, cx, cy of a slice, where the reference has `intrinsics`; its view is `view_of_slice`."""
    principal = px_in_slice(intrinsics[None, 2:], warp, size)[0]
    return np.concatenate([intrinsics[:2] * warp[0], principal])


def view_of_slice(view: NDArray[np.float64], warp: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4] world to camera of a slice, where the reference has `view`: the camera rolled by the warp's angle."""
    roll = np.eye(4)
    roll[:2, :2] = _turn(np.array([1.0, 0, 0, warp[3]]))
    return roll @ view


def gains(slices: Sequence[NDArray[np.float32]], warps: NDArray[np.float64]) -> NDArray[np.float64]:
    """[S, 3] what the linear light [H, W, 3] of each slice is to be multiplied by, to be exposed as their median.

    Focus spreads light and keeps its sum: blurred far more than by focus, two slices differ by exposure alone.
    """
    middle = len(slices) // 2
    out = np.ones((len(slices), 3))
    wide = EVEN * slices[0].shape[1]

    def smooth(picture: NDArray[np.float32]) -> NDArray[Any]:
        return gaussian_filter(picture, (wide, wide, 0), mode="nearest")

    reference = slices[middle]
    for i, (one, warp) in enumerate(zip(slices, warps, strict=True)):
        if i == middle:
            continue
        over = warped(one, warp)
        inside = np.isfinite(over).all(2)
        unclipped = inside & (np.nan_to_num(over).max(2) < CLIPPED) & (reference.max(2) < CLIPPED)
        share = gaussian_filter(unclipped.astype(np.float32), wide)
        a, b = (smooth(np.where(unclipped[..., None], np.nan_to_num(x), 0)) for x in (reference, over))
        good = share > 0.5
        for c in range(3):
            sure = good & (a[..., c] > DARK * share) & (b[..., c] > DARK**2 * share)
            if sure.sum() > 100:
                out[i, c] = float(np.median(a[..., c][sure] / b[..., c][sure]))
    out /= np.median(out, 0)
    return np.where(np.abs(out - 1) > LEAST_GAIN, out, 1.0)


def motion(
    reference: NDArray[np.float32], other: NDArray[np.float32], warp: NDArray[np.float64] | None = None
) -> float:
    """How far parts of a picture have moved against each other, px: root of the mean square, weighted by texture.

    What a whole picture does (`warp`; None: it is found) is taken out first, and its exposure. Slices of one pose reach
    0.25 px at a width of 96, neighbouring photos of turned things 2 px and more (a turntable of 15 degrees 3 px).
    """
    over = warped(other, aligned(reference, other) if warp is None else warp)
    inside = np.isfinite(over)
    if inside.mean() < OVERLAP:
        return float("inf")
    a, b = gaussian_filter(reference, SMOOTH), gaussian_filter(np.where(inside, over, reference), SMOOTH)
    matrix = np.stack([b[inside], np.ones(int(inside.sum()))], 1)
    gain, offset = np.linalg.lstsq(matrix.astype(np.float64), a[inside].astype(np.float64), rcond=None)[0]
    b = gain * b + offset
    dy, dx = np.gradient((a + b) / 2)
    off = (a - b) * inside

    def covariance(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        mean: Any = uniform_filter(x * y, WINDOW) - uniform_filter(x, WINDOW) * uniform_filter(y, WINDOW)
        return mean

    # Lucas and Kanade 1981 in every window, its brightness up to an offset.
    xx, yy, xy = covariance(dx, dx) + FLAT, covariance(dy, dy) + FLAT, covariance(dx, dy)
    xd, yd = covariance(dx, off), covariance(dy, off)
    determinant = xx * yy - xy * xy
    u, v = (yy * xd - xy * yd) / determinant, (xx * yd - xy * xd) / determinant
    texture = determinant / (xx + yy)
    weight = np.where(texture > TEXTURE * np.percentile(texture, 90), np.sqrt(texture), 0)
    weight /= max(float(weight.sum()), 1e-30)
    moved = (u - (u * weight).sum()) ** 2 + (v - (v * weight).sum()) ** 2
    return float(np.sqrt((moved * weight).sum()))


def _places(shape: tuple[int, ...], warp: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2, H, W] rows and columns of the slice under each pixel of the reference."""
    height, width = shape[:2]
    side = max(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    my, mx = (height - 1) / 2, (width - 1) / 2
    (a, b), (c, d) = _turn(warp)
    across, down = x - mx, y - my
    return np.stack([c * across + d * down + warp[2] * side + my, a * across + b * down + warp[1] * side + mx])


def _gauss_newton(a: NDArray[Any], b: NDArray[Any], warp: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = a.shape
    side = max(a.shape)
    if min(a.shape) < 2:  # a strip tells nothing across
        return warp
    y, x = np.mgrid[:height, :width]
    x, y = (x - (width - 1) / 2), (y - (height - 1) / 2)
    for _ in range(STEPS):
        seen = warped(b, warp)
        dy, dx = np.gradient(seen)  # px of the reference; a zoom near 1 changes it by per cents at most
        good = np.isfinite(seen) & np.isfinite(dx) & np.isfinite(dy)
        if good.sum() < 100:
            return warp
        moves = [dx * x + dy * y, dx * side, dy * side, dy * x - dx * y]  # by zoom, x, y, angle
        columns = [*(move[good] for move in moves), seen[good], np.ones(int(good.sum()))]
        matrix = np.stack(columns, 1).astype(np.float64)
        # seen * gain + offset + the motion's part = a: solved for all six, as gain * motion.
        solution = np.linalg.lstsq(matrix, a[good].astype(np.float64), rcond=None)[0]
        gain = solution[4] if abs(solution[4]) > 0.1 else 1.0
        step = solution[:4] / gain
        # What the reference does first: small, but for the shift of a warp that turns or zooms already.
        warp = chained(np.array([1 + step[0], *step[1:]]), warp)
        if np.abs(step).max() < 1e-6:
            break
    return warp
