"""What training looks at: photos and masks, undistorted and at the training width.

In: a `TrainingInput`, a memory budget. Out: photos [H, W, 3] uint8 sRGB, decoded again where they do not fit, and
masks [H, W] uint8, white = counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.undistort import read_undistorted, read_undistorted_mask
from macrosplat.capture.records import TrainingInput
from macrosplat.photos.read import readers
from macrosplat.photos.shelf import Shelf
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.progress import Progress
from macrosplat.support.threads import ordered


def threads_reading(given: TrainingInput) -> int:
    """Threads that may each have a photo in work."""
    return readers(given.photos)


def read_photos(
    given: TrainingInput,
    widths: Sequence[int],  # V px, of the photos at the training width
    budget: float,  # bytes that photos may take
    progress: Progress,
) -> tuple[Sequence[NDArray[np.uint8]], list[NDArray[np.uint8] | None]]:
    """Photos and masks, each photo read once, so that what cannot be read is said now.

    Raises:
        MacrosplatError: a photo cannot be read, or a mask is black.
    """
    distortion = given.cameras.distortion
    photos = Shelf(len(widths), lambda v: read_undistorted(given.photos[v], distortion[v], widths[v]), budget)

    def read(v: int) -> NDArray[np.uint8] | None:
        photos[v]
        return read_undistorted_mask(given.photos[v], distortion[v], widths[v]) if given.photos[v].mask else None

    masks = []
    for photo, mask in zip(given.photos, ordered(read, range(len(widths)), threads_reading(given)), strict=True):
        if mask is not None and mask.max() < 128:
            raise MacrosplatError(
                f"The mask {photo.mask} of {photo.name} is black: paint the object white, or give --masks off."
            )
        masks.append(mask)
        progress.advance()
    return photos, masks
