"""Photos brought to another size, and straightened: pixels in linear light in, pixels in linear light out.

A pixel's centre lies at +0.5; a photo spans [0, width] x [0, height].
"""

from __future__ import annotations

import numpy as np
import pycolmap
from numpy.typing import NDArray

from macrosplat._numba import njit
from macrosplat.capture.records import Distortion


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
    flat = np.ascontiguousarray(photo if table is not None else photo.astype(np.float32, copy=False))
    flat = flat.reshape(source_height, -1)
    row = np.empty(flat.shape[1], np.float32)
    out = np.empty((height, width, flat.shape[1] // source_width), np.float32)
    ratio = source_height / height
    for i in range(height):
        row[:] = 0
        if table is None:
            _add_rows(flat, i * ratio, ratio, row)
        else:
            _add_rows_of(flat, table, i * ratio, ratio, row)
        _average_row(row.reshape(source_width, -1), out[i])
    return out.reshape(height, width, *photo.shape[2:])


@njit
def _add_rows(photo, begin, length, row):  # photo [H, N], row [N] added to
    """The mean of the rows from `begin` on, the first and last by the part that is covered."""
    for j in range(int(begin), min(int(np.ceil(begin + length)), photo.shape[0])):
        weight = np.float32((min(begin + length, j + 1) - max(begin, j)) / length)
        for n in range(row.shape[0]):
            row[n] += weight * photo[j, n]


@njit
def _add_rows_of(photo, table, begin, length, row):  # as `_add_rows`, photo [H, N] uint8
    for j in range(int(begin), min(int(np.ceil(begin + length)), photo.shape[0])):
        weight = np.float32((min(begin + length, j + 1) - max(begin, j)) / length)
        for n in range(row.shape[0]):
            row[n] += weight * table[photo[j, n]]


@njit
def _average_row(row, out):  # row [W, C], out [width, C] written
    length = row.shape[0] / out.shape[0]
    for i in range(out.shape[0]):
        begin = i * length
        for c in range(out.shape[1]):
            total = 0.0
            for j in range(int(begin), min(int(np.ceil(begin + length)), row.shape[0])):
                total += (min(begin + length, j + 1) - max(begin, j)) * row[j, c]
            out[i, c] = total / length


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
        _sample_cubic(photo, px, out[top : top + len(y)].reshape(-1, photo.shape[2]))
    return out


@njit
def _sample_cubic(photo, px, out):  # photo [H, W, C], px [N, 2], out [N, C] written
    """Catmull-Rom at `px`, clamped at the photo's edges and to the range of its four nearest pixels (no ringing)."""
    height, width, channels = photo.shape
    wx = np.empty(4, np.float64)
    wy = np.empty(4, np.float64)
    for n in range(px.shape[0]):
        x = min(max(px[n, 0] - 0.5, 0.0), width - 1.0)
        y = min(max(px[n, 1] - 0.5, 0.0), height - 1.0)
        i = int(x)
        j = int(y)
        for t, w in ((x - i, wx), (y - j, wy)):
            w[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
            w[1] = (1.5 * t - 2.5) * t * t + 1.0
            w[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
            w[3] = (0.5 * t - 0.5) * t * t
        for c in range(channels):
            total = 0.0
            low = np.inf
            high = -np.inf
            for b in range(4):
                row = min(max(j + b - 1, 0), height - 1)
                for a in range(4):
                    value = photo[row, min(max(i + a - 1, 0), width - 1), c]
                    total += wy[b] * wx[a] * value
                    if 1 <= a <= 2 and 1 <= b <= 2:
                        low = min(low, value)
                        high = max(high, value)
            out[n, c] = min(max(total, low), high)
