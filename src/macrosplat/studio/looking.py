"""Photos before anything is computed of them: small, with what is sharp in them, with their masks.

In: photos of a capture. Out: JPEG bytes, and how much of a photo is sharp.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude

from macrosplat.lens.sharpest import FINE, edges, grain_of
from macrosplat.photos.masks import read_mask
from macrosplat.photos.read import read_photo
from macrosplat.photos.records import Photo

SMALL = 480  # px of a picture on the page
JUDGED = 1280  # px at which it is judged what is sharp: smaller, much of the blur would be gone
SHARP = 1.2  # px of JUDGED: sigma of an edge that counts as in focus
REACH = 0.012  # of the width: how far about a sharp edge the photo counts as sharp
# A photo's grain, where it is smooth: a low percentile of the blocks of a brightness. JPEG leaves grain that is wider
# than a pixel, whose slopes are up to WIDER times what pixel beside pixel tells; above that it is texture.
BLOCK, SMOOTH, WIDER = 16, 20.0, 5.0  # px, %
LEVELS = 8  # of brightness
ABOVE_GRAIN = 5.0  # times the median slope of the grain
DIMMED = 0.22  # what is left of the light where nothing is sharp
JPEG_QUALITY = 82


def small(photo: Photo) -> bytes:
    """The photo."""
    return _jpeg(read_photo(photo, SMALL))


def sharp_parts(photo: Photo) -> tuple[bytes, float]:
    """The photo with all dimmed that is not in focus, and the share (0 to 1) of the frame that is."""
    pixels = read_photo(photo, JUDGED)
    rows, columns, sigmas = _clear(pixels, *edges(pixels))
    shown = np.asarray(Image.fromarray(pixels).resize(_size(pixels), Image.Resampling.BOX)).astype(np.float64)
    factor = shown.shape[1] / pixels.shape[1]
    limit = SHARP * pixels.shape[1] / JUDGED  # a small photo's pixels are larger on the object
    focused = sigmas <= max(limit, 0.6)
    at = tuple(np.minimum((a * factor).astype(int), n - 1) for a, n in zip((rows, columns), shown.shape, strict=False))
    reach = REACH * shown.shape[1]
    sharp, every = (_density(at, weight, shown.shape[:2], reach) for weight in (focused, np.ones(len(sigmas))))
    # Full light where most edges are sharp, and there are some.
    share = np.clip(2 * sharp / np.maximum(every, 1e-9) - 0.3, 0, 1) * np.clip(sharp * 2 * np.pi * reach**2 / 2, 0, 1)
    grey = shown.mean(2, keepdims=True)
    dark = DIMMED * (0.3 * shown + 0.7 * grey)
    mixed = dark + share[..., None] * (shown - dark)
    return _jpeg(np.rint(mixed).clip(0, 255).astype(np.uint8)), float(share.mean())


def _clear(
    pixels: NDArray[np.uint8], rows: NDArray[np.intp], columns: NDArray[np.intp], sigmas: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Those edges that are steeper than grain; the grain of a blurred backdrop looks like something in focus."""
    light = pixels.astype(np.float64).mean(2)
    slopes = gaussian_gradient_magnitude(light, FINE)
    height, width = (side // BLOCK * BLOCK for side in light.shape)
    if not height or not width:
        return rows, columns, sigmas
    medians, brightness = (
        how(a[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK), axis=(1, 3)).ravel()
        for how, a in ((np.median, slopes), (np.mean, light))
    )
    parts = [part for part in np.array_split(np.argsort(brightness), LEVELS) if len(part)]
    smooth = [np.percentile(medians[part], SMOOTH) for part in parts]
    grain = np.interp(light[rows, columns], [brightness[part].mean() for part in parts], smooth)
    # The median of white grain's slopes after a blur of s: 1.18 n / (sqrt(8 pi) s^2) for a deviation of n.
    most = WIDER * 1.18 * grain_of(light) / (np.sqrt(8 * np.pi) * FINE**2)
    clear = slopes[rows, columns] > ABOVE_GRAIN * np.minimum(grain, most)
    return rows[clear], columns[clear], sigmas[clear]


def masked(photo: Photo) -> bytes:
    """The photo with all dimmed that its mask leaves out; the photo itself where it has none."""
    pixels = read_photo(photo, SMALL)
    if photo.mask is None:
        return _jpeg(pixels)
    mask = read_mask(photo, pixels.shape[1])[..., None] / 255.0
    return _jpeg(np.rint(pixels * (DIMMED + (1 - DIMMED) * mask)).astype(np.uint8))


def _density(
    at: tuple[NDArray[np.intp], ...], weight: NDArray, shape: tuple[int, ...], reach: float
) -> NDArray[np.float64]:
    count = np.zeros(shape)
    np.add.at(count, at, weight.astype(np.float64))
    return gaussian_filter(count, reach)


def _size(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    wide = min(SMALL, width)
    return wide, max(1, round(height * wide / width))


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()
