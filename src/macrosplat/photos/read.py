"""Pixels of a photo in the size that is wanted: sRGB bytes or linear light (0 to 1), upright, as taken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.photos.decode import TABLE_8, decode, reason
from macrosplat.photos.records import Photo, resized
from macrosplat.photos.resample import area_average
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.threads import workers

# Bytes a pixel that a photo takes while it is read: as JPEG (a progressive one), and at the most.
JPEG, DEEPEST = 16.0, 40.0


def readers(photos: Iterable[Photo]) -> int:
    """How many of the photos may be read at a time, at any width below their own."""
    return workers(max((_per_pixel(photo) * photo.width * photo.height for photo in photos), default=0.0))


def _per_pixel(photo: Photo) -> float:
    return JPEG if photo.path.suffix.lower() in (".jpg", ".jpeg") else DEEPEST


def read_photo(photo: Photo, width: int | None = None) -> NDArray[np.uint8]:
    """[H, W, 3] sRGB of a photo brought to `width` px (None, or more than it has: its own).

    Upright, as taken, and averaged over areas in linear light.

    Raises:
        MacrosplatError: the file is gone, damaged, or another one than before.
    """
    if width is None or width >= photo.width:
        pixels = read_pixels(photo)
        if pixels.dtype == np.uint8:
            return pixels
        return to_bytes(to_srgb(pixels))
    return to_bytes(to_srgb(read_linear(photo, width)))


def read_linear(photo: Photo, width: int | None = None) -> NDArray[np.float32]:
    """[H, W, 3] linear light (0 to 1) of a photo; otherwise as `read_photo`, without its rounding."""
    pixels = read_pixels(photo)
    table = TABLE_8 if pixels.dtype == np.uint8 else None
    return area_average(pixels, resized(photo.width, photo.height, photo.width if width is None else width), table)


def read_pixels(photo: Photo) -> NDArray[Any]:
    """[H, W, 3] as `decode` has them, checked to be those of the photo.

    Raises:
        MacrosplatError: the file is gone, damaged, or another one than before.
    """
    try:
        pixels = decode(photo.path)
    except (MacrosplatError, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on a damaged file
        raise MacrosplatError(f"{photo.path} cannot be read any more ({reason(error)}); put it back.") from error
    if pixels.shape != (photo.height, photo.width, 3):
        height, width = pixels.shape[:2]
        raise MacrosplatError(
            f"{photo.path} is now {width} x {height} px, it was {photo.width} x {photo.height}; put the old one back."
        )
    return pixels
