"""Photos brought to another size, and straightened: pixels in linear light in, pixels in linear light out.

A pixel's centre lies at +0.5; a photo spans [0, width] x [0, height].
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from macrosplat.photos.records import Distortion
from macrosplat.support.colmap import pycolmap

BAND = 1 << 15  # values of a photo that are averaged at a time


def area_average(
    photo: NDArray, size: tuple[int, int], table: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """[H, W, ...] to [height, width, ...], `size` = (width, height): each new pixel is the mean of the area it covers.

    The weights are exact for any ratio, so the photo's mean is kept. For a ratio below 1 (enlarging) it repeats pixels.

    Args:
        photo: float values; or uint8 with a `table`.
        size: what to bring it to.
        table: [256] the value of each uint8 level: looked up on the way, which spares a float copy of a large photo.
    """
    width, height = size
    if (height, width) == photo.shape[:2]:
        return table.take(photo) if table is not None else photo.astype(np.float32, copy=False)
    source_height, source_width = photo.shape[:2]
    flat = photo.reshape(source_height, -1)
    channels = flat.shape[1] // source_width
    first, shares = _shares(source_height, height)
    across = _across(source_width, width)
    out = np.empty((height, width, channels), np.float32)
    # In bands of rows: they stay in the cache, and a large photo is never there as floats.
    band = max(1, BAND * height // flat.size)
    for top in range(0, height, band):
        begin, count = first[top], len(first[top : top + band])
        down = np.zeros((count, first[top + count - 1] - begin + shares.shape[1]), np.float32)
        for i in range(count):
            at = first[top + i] - begin
            down[i, at : at + shares.shape[1]] = shares[top + i]
        rows = flat[begin : begin + down.shape[1]]
        rows = table.take(rows) if table is not None else rows.astype(np.float32, copy=False)
        means = (down[:, : len(rows)] @ rows).reshape(count, source_width, channels)
        columns = np.ascontiguousarray(means.swapaxes(0, 1)).reshape(source_width, -1)
        out[top : top + band] = (across @ columns).reshape(width, count, channels).swapaxes(0, 1)
    return out.reshape(height, width, *photo.shape[2:])


@functools.lru_cache(16)
def _shares(source: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """[count] the first of the `source` pixels that each new one covers, and [count, K] the shares of it and the next.

    Beyond the last pixel the shares are 0.
    """
    ratio = source / count
    begin = np.arange(count) * ratio
    first = begin.astype(np.int64)
    at = first[:, None] + np.arange(int(np.max(np.ceil(begin + ratio) - first)))
    shares = np.minimum(begin[:, None] + ratio, at + 1) - np.maximum(begin[:, None], at)
    return first, (np.where(at < source, shares.clip(0), 0) / ratio).astype(np.float32)


@functools.lru_cache(16)
def _across(source: int, count: int) -> csr_array:
    """[count, source] the same as a matrix."""
    first, shares = _shares(source, count)
    there = shares > 0
    at = (first[:, None] + np.arange(shares.shape[1]))[there]
    return csr_array((shares[there], at, np.concatenate([[0], there.sum(1).cumsum()])), shape=(count, source))


def pinhole_of(distortion: Distortion) -> NDArray[np.float64]:
    """[4] fx, fy, cx, cy of the pinhole camera, of the photo's own size, that the straightened photo is of.

    The principal point stays and the focal length is scaled, alike in x and y, by the least factor for which every
    pixel of the straightened photo was seen: no blank corners, and as little as possible cut away.
    """
    camera = colmap_camera(distortion)
    k = camera.calibration_matrix()
    fx, fy, cx, cy = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
    w, h = distortion.width, distortion.height
    t = np.linspace(0, 1, 65)
    border = np.concatenate(
        [np.stack(np.broadcast_arrays(x, y), 1) for x, y in [(w * t, 0), (w * t, h), (0, h * t), (w, h * t)]]
    )

    def seen(scale: float) -> bool:
        """Whether the whole border, hence the whole photo, comes from within the photo as taken."""
        rays = (border - (cx, cy)) / (fx * scale, fy * scale)
        px = np.asarray(camera.img_from_cam(np.column_stack([rays, np.ones(len(rays))])))
        tolerance = 1e-9 * max(w, h)  # else an undistorted camera would come out enlarged by the last bit
        with np.errstate(invalid="ignore"):
            return bool(((px >= -tolerance) & (px <= np.array([w, h]) + tolerance)).all())

    # From a strong fisheye (4x wider when straightened) to a strong pincushion; 40 halvings reach float64's end.
    low, high = 0.25, 4.0
    if not seen(high):
        return np.array([fx, fy, cx, cy])
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    scale = 1.0 if abs(high - 1) < 1e-6 else high
    return np.array([fx * scale, fy * scale, cx, cy])


def colmap_camera(distortion: Distortion) -> pycolmap.Camera:
    """The camera as COLMAP knows it."""
    return pycolmap.Camera(
        model=distortion.model, width=distortion.width, height=distortion.height, params=list(distortion.params)
    )


def rescaled(distortion: Distortion, width: int, height: int) -> Distortion:
    """The same lens for a copy of the photo of another size (and the same shape)."""
    if (distortion.width, distortion.height) == (width, height):
        return distortion
    camera = colmap_camera(distortion)
    camera.rescale(width, height)
    return Distortion(distortion.model, tuple(float(p) for p in camera.params), width, height)


def straighten(photo: NDArray[np.float32], distortion: Distortion) -> NDArray[np.float32]:
    """[H, W, C] as taken to [H, W, C] through the pinhole `pinhole_of(distortion)`: one cubic interpolation."""
    height, width = photo.shape[:2]
    assert (width, height) == (distortion.width, distortion.height), (
        f"photo has shape {photo.shape}, its distortion is for {distortion.width} x {distortion.height}"
    )
    from macrosplat.photos.cubic import sample_cubic

    camera = colmap_camera(distortion)
    fx, fy, cx, cy = pinhole_of(distortion)
    out = np.empty_like(photo)
    x = (np.arange(width) + 0.5 - cx) / fx
    # In bands of rows: the coordinates of a whole 24 megapixel photo would take 1 GB.
    band = max(1, 2**20 // width)
    for top in range(0, height, band):
        y = (np.arange(top, min(top + band, height)) + 0.5 - cy) / fy
        rays = np.stack([*np.broadcast_arrays(x[None], y[:, None], 1.0)], axis=-1).reshape(-1, 3)
        px = np.ascontiguousarray(camera.img_from_cam(rays))
        sample_cubic(photo, px, out[top : top + len(y)].reshape(-1, photo.shape[2]))
    return out
