"""Photos that are there twice: copies under another name, saved once more, or smaller.

A copy weighs a view double, and a pair without parallax is where structure from motion likes to begin. In: photos and
their thumbnails. Out: which are copies of which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from macrosplat.photos.read import read_photo
from macrosplat.photos.records import Photo, same_shape
from macrosplat.photos.resample import area_average

# Levels of 255 of the mean of the channels, root of the mean square. Saved again as a JPEG of quality 90 photos change
# by 1.5 (skull) to 2.8 (fly); the next view of a ring changes them by 30 and more.
SAME = 4.0
# The same of thumbnails, as a share of their spread: saved again 0.003 to 0.006, the next view 0.5 and more.
THUMBNAILS_ALIKE = 0.02
RESIZED_ALIKE = 0.1  # the same of photos of different sizes: 0.03 to 0.06, by how they were resized
WIDTH = 640  # px at which photos are compared


def doubles(photos: Sequence[Photo], small: Mapping[str, NDArray[np.float32]]) -> dict[str, str]:
    """Name of each copy to the name of the photo that it is a copy of: the larger, else one that has a mask, else the
    shortest name (programs lengthen those of copies), else the first.

    Args:
        small: photo name to its thumbnail; photos without one are not compared.

    Raises:
        MacrosplatError: a photo cannot be read any more.
    """
    known = sorted(
        (photo for photo in photos if photo.name in small),
        key=lambda photo: (-photo.width * photo.height, photo.mask is None, len(photo.name)),
    )
    copies: dict[str, str] = {}
    near = _near(known, small)
    for n, photo in enumerate(known):
        for other in (known[k] for k in np.flatnonzero(near[n, :n])):
            if other.name not in copies and _alike(photo, other, small) and _same(photo, other):
                copies[photo.name] = other.name
                break
    return copies


def _near(photos: Sequence[Photo], small: Mapping[str, NDArray[np.float32]]) -> NDArray[np.bool_]:
    """[N, N] whether photos may be alike: those of one size by one product of matrices, since a thousand photos are
    half a million pairs; all others may."""
    near = np.ones((len(photos), len(photos)), bool)
    groups: dict[tuple[int, ...], list[int]] = {}
    for n, photo in enumerate(photos):
        groups.setdefault((photo.width, photo.height, *small[photo.name].shape), []).append(n)
    for group in groups.values():
        flat = np.stack([small[photos[n].name].ravel() for n in group])
        flat = flat - flat.mean()  # so that squares cancel with more digits
        square = np.einsum("np,np->n", flat, flat)
        off = (square[:, None] + square - 2 * flat @ flat.T) / flat.shape[1]
        spread = np.maximum(flat.std(1), 1e-9)
        most = (2 * THUMBNAILS_ALIKE * spread[:, None]) ** 2 + 1e-6 * square.max() / flat.shape[1]  # and rounding
        near[np.ix_(group, group)] = off <= most
    return near


def is_one_photo(photos: Sequence[Photo], small: Mapping[str, NDArray[np.float32]]) -> bool:
    """Whether all are copies of one. The last is looked at first: the ends of a focus stack differ most."""
    first = photos[0]
    return all(
        photo.name in small and first.name in small and _alike(photo, first, small) and _same(photo, first)
        for photo in reversed(photos[1:])
    )


def _alike(photo: Photo, other: Photo, small: Mapping[str, NDArray[np.float32]]) -> bool:
    if not same_shape((photo.width, photo.height), (other.width, other.height)):
        return False
    one, two = _same_size(small[photo.name], small[other.name])
    most = THUMBNAILS_ALIKE if photo.width == other.width else RESIZED_ALIKE
    return bool(np.sqrt(np.mean((one - two) ** 2)) <= most * max(float(one.std()), 1e-9))


def _same(one: Photo, two: Photo) -> bool:
    width = min(WIDTH, one.width, two.width)
    a, b = _same_size(*(read_photo(photo, width).astype(np.float32).mean(2) for photo in (one, two)))
    return bool(np.sqrt(np.mean((a - b) ** 2)) < SAME)


def _same_size(one: NDArray[np.float32], two: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Both in the smaller size."""
    size = (min(one.shape[1], two.shape[1]), min(one.shape[0], two.shape[0]))
    return [area_average(each[..., None], size)[..., 0] for each in (one, two)]
