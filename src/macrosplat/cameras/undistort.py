"""Photos as taken, brought to what a pinhole would have taken: the pixels of a photo whose camera has a distortion.

A pixel's centre lies at +0.5; a photo spans [0, width] x [0, height]. Pixels are interpolated once, as sRGB:
what is closest to the photo there is closest to the eye (experiments: undistorting).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.records import Distortion
from macrosplat.photos.masks import mask_shares, read_mask
from macrosplat.photos.read import read_linear, read_photo, read_pixels
from macrosplat.photos.records import Photo, resized
from macrosplat.photos.resample import area_average
from macrosplat.support.colmap import pycolmap
from macrosplat.support.colour import to_bytes, to_linear, to_srgb

CUT = 0.05  # share of a photo's width and height that may be lost so that its focal length stays


def read_undistorted(photo: Photo, distortion: Distortion | None, width: int | None = None) -> NDArray[np.uint8]:
    """[H, W, 3] sRGB of a photo as its pinhole camera sees it; otherwise as `read_photo`."""
    if distortion is None:
        return read_photo(photo, width)
    if width is None or width >= photo.width:
        return to_bytes(_undistorted(photo, distortion))
    return to_bytes(to_srgb(read_undistorted_linear(photo, distortion, width)))


def read_undistorted_linear(
    photo: Photo, distortion: Distortion | None, width: int | None = None
) -> NDArray[np.float32]:
    """[H, W, 3] the same in linear light (0 to 1)."""
    if distortion is None:
        return read_linear(photo, width)
    whole = to_linear(_undistorted(photo, distortion))
    return area_average(whole, resized(photo.width, photo.height, photo.width if width is None else width))


def _undistorted(photo: Photo, distortion: Distortion) -> NDArray[np.float32]:
    """[H, W, 3] sRGB in [0, 1] at the photo's own size."""
    pixels = read_pixels(photo)
    if pixels.dtype == np.uint8:
        levels = undistort(pixels, distortion)
        levels /= 255
        return levels
    return undistort(to_srgb(pixels), distortion)


def read_undistorted_mask(photo: Photo, distortion: Distortion | None, width: int | None = None) -> NDArray[np.uint8]:
    """[H, W] the photo's mask, 255 = object, sized and undistorted as the photo."""
    if distortion is None or photo.mask is None:
        return read_mask(photo, width)
    size = photo.width, photo.height
    whole = undistort(area_average(mask_shares(photo), size), distortion)
    mask = area_average(whole, resized(*size, photo.width if width is None else width))
    return np.rint(mask[..., 0] * 255).astype(np.uint8)


def pinhole_of(distortion: Distortion) -> NDArray[np.float64]:
    """[4] fx, fy, cx, cy of the pinhole camera, of the photo's own size, that the undistorted photo is of.

    The principal point stays, and so does the focal length where it can: the middle of the photo keeps its pixels. It
    is scaled, alike in x and y, by the least factor for which every pixel of the undistorted photo was seen, where
    that is more than 1 (else corners would be blank) or so much less that too much would be cut away.
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

    # From a strong fisheye (4x wider when undistorted) to a strong pincushion; 40 halvings reach float64's end.
    low, high = 0.25, 4.0
    if not seen(high):
        return np.array([fx, fy, cx, cy])
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    scale = 1.0 if 1 - CUT < high < 1 + 1e-6 else high
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


def undistort(photo: NDArray, distortion: Distortion) -> NDArray[np.float32]:
    """[H, W, C] as taken to [H, W, C] through the pinhole `pinhole_of(distortion)`: one Lanczos interpolation."""
    height, width = photo.shape[:2]
    distortion = rescaled(distortion, width, height)
    photo = np.ascontiguousarray(photo)
    from macrosplat.cameras.lanczos import WEIGHTS, sample_lanczos

    camera = colmap_camera(distortion)
    fx, fy, cx, cy = pinhole_of(distortion)
    out = np.empty(photo.shape, np.float32)
    x = (np.arange(width) + 0.5 - cx) / fx
    # In bands of rows: the coordinates of a whole 24 megapixel photo would take 1 GB.
    band = max(1, 2**20 // width)
    for top in range(0, height, band):
        y = (np.arange(top, min(top + band, height)) + 0.5 - cy) / fy
        rays = np.stack([*np.broadcast_arrays(x[None], y[:, None], 1.0)], axis=-1).reshape(-1, 3)
        px = np.ascontiguousarray(camera.img_from_cam(rays))
        sample_lanczos(photo, px, WEIGHTS, out[top : top + len(y)].reshape(-1, photo.shape[2]))
    return out
