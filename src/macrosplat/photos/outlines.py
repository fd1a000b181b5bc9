"""The outline of a thing darker than its plain backdrop, as fine as its photo shows it.

In: a photo, its backdrop, and about where the thing is, both coarse. Out: the thing, and the holes in it that could be
open. Levels are sRGB's, 0 to 255; lengths are shares of the width.

Blur keeps light, so the area of what is drawn is that of the light which is missing. Which share of the greatest
contrast nearby an outline lies at so varies little from place to place and is found coarsely (`shares`); where the
photo has that share left is found in the photo as it is (`drawn`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from macrosplat.photos.read import read_photo
from macrosplat.photos.records import Photo
from macrosplat.support.colour import to_linear

WIDTH = 640  # px of the photo in which outlines are drawn, at the most: more gain nothing (experiments: made-masks)
DIFFERS = 8.0  # levels above noise and compression
REACH = 1 / 60  # about a pixel, in which the greatest contrast is sought
# The share at an outline is from half to this, so that within `AREA_REACH` as much is drawn as light is missing. The
# whole contrast is this share of the greatest within `WHOLE_REACH`, where some part is thick or in focus.
THIN_SHARE, AREA_REACH, WHOLE, WHOLE_REACH = 0.8, 1 / 60, 0.75, 1 / 8
STEPS = 8  # by which the share is found: to a 256th of its range
FINE = 0.75 / 480  # blur of the photo, in which outlines are sought: less than of what finds the backdrop
HOLE = 0.003  # of the frame: smaller holes are part of the object
# A soft shadow darkens all channels alike to this, and to no less than this.
SHADOW_TINT, SHADOW_DEPTH = 0.05, 0.5
# A hole of which this share looks like the backdrop in a shadow is open, where such a colour takes no more of the thing
# itself, farther than `REACH` from its outline, than this: white chess pieces before white have 0.006, what is not pale
# 0.00004.
HOLE_BEHIND, PALE = 0.1, 0.0005

Picture = NDArray[np.float32]  # [H, W, 3]
Region = NDArray[np.bool_]  # [H, W]


@dataclass(frozen=True)
class Coarse:
    """Of a photo before its outline is drawn; kept of all photos, so half as wide as they were looked at."""

    backdrop: NDArray[np.float16]  # [h, w, 3] levels
    shares: NDArray[np.float16]  # [h, w] of the greatest contrast nearby, which outlines lie at


@dataclass(frozen=True)
class Outlined:
    thing: Region
    holes: Region  # of the thing, filled, that look like the backdrop
    pale: float  # of the thing that does so, too


def prepared(picture: Picture, backdrop: Picture) -> Coarse:
    """What `outlined` needs."""
    height, width = picture.shape[:2]
    half = max(1, width // 2), max(1, height // 2)
    shares = _shares(_missing(_smoothed(picture, FINE * width), backdrop))
    return Coarse(resized(backdrop, half).astype(np.float16), resized(shares, half).astype(np.float16))


def outlined(photo: Photo, known: Coarse, about: Region) -> Outlined:
    """The photo's thing: those parts that reach into `about`.

    Raises:
        MacrosplatError: the photo cannot be read any more.
    """
    picture = read_photo(photo, WIDTH).astype(np.float32)
    height, width = picture.shape[:2]
    size = width, height
    backdrop = resized(known.backdrop.astype(np.float32), size)
    solid = resized(about.astype(np.float32), size) > 0.5
    some, missing = _missing(_smoothed(picture, FINE * width), backdrop)
    outline = some & (missing / _greatest(missing) > resized(known.shares.astype(np.float32), size))
    drawn = _parts_on(outline, solid)
    soft = _smoothed(picture, width / 320)
    thing = filled(drawn, largest(np.abs(soft - backdrop)))
    return Outlined(thing, *_seen_through(thing, thing & ~drawn, shaded(soft, backdrop)))


def largest(picture: Picture) -> NDArray[np.float32]:
    """[H, W] of the three channels the largest."""
    return np.maximum(np.maximum(picture[..., 0], picture[..., 1]), picture[..., 2])


def resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """[H, W] or [H, W, 3] brought to (width, height), linearly."""
    if values.ndim == 3:
        return np.stack([resized(values[..., c], size) for c in range(values.shape[2])], -1)
    picture = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def shaded(picture: Picture, backdrop: Picture) -> Region:
    """What has the backdrop's colours, in a soft shadow or not."""
    ratio = picture / np.maximum(backdrop, 8)
    level = ratio.mean(-1)
    return (np.ptp(ratio, axis=-1) < SHADOW_TINT) & (level > SHADOW_DEPTH) & (level < 1.03)


def _seen_through(thing: Region, holes: Region, shaded: Region) -> tuple[Region, float]:
    """The holes that look like the backdrop, and which share of the thing, its outlines apart, does so."""
    # Amid a wide hole nothing but its shadow takes light, and is drawn as if it were a thing.
    holes = holes | np.asarray(ndimage.binary_fill_holes(holes), bool) & shaded
    number, count = labelled(holes)
    behind = ndimage.mean(shaded, number, np.arange(count + 1)) >= HOLE_BEHIND
    behind[0] = False
    reach = max(1, round(REACH * thing.shape[1]))
    inner = np.asarray(ndimage.binary_erosion(thing & ~holes, iterations=reach), bool)
    return behind[number], float(shaded[inner].mean()) if inner.any() else 1.0


def labelled(region: Region, corners: bool = False) -> tuple[NDArray[np.int32], int]:
    """The number of each pixel's part of a region, from 1; 0 outside. `corners`: parts may hang together by those."""
    number = np.zeros(region.shape, np.int32)
    ndimage.label(region, np.ones((3, 3)) if corners else None, output=number)
    return number, int(number.max())


def most_nearby(values: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """The greatest of the values within `reach` (of the width), smoothed."""
    px = max(2, round(reach * values.shape[1]))
    return np.asarray(ndimage.gaussian_filter(ndimage.maximum_filter(values, 2 * px - 1), px / 2), np.float32)


def _missing(picture: Picture, backdrop: Picture) -> tuple[Region, NDArray[np.float32]]:
    """Where a picture differs from its backdrop, and which light is missing in it."""
    some = largest(np.abs(picture - backdrop)) > DIFFERS
    return some, largest(np.abs(to_linear(picture / 255) - to_linear(backdrop / 255)))


def _greatest(missing: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(most_nearby(missing, REACH), 1e-6)


def _shares(seen: tuple[Region, NDArray[np.float32]]) -> NDArray[np.float32]:
    """[H, W] of the greatest contrast nearby: with outlines there as much is drawn as light is missing."""
    some, missing = seen
    greatest = _greatest(missing)
    alpha = np.minimum(missing / (WHOLE * np.maximum(most_nearby(missing, WHOLE_REACH), greatest)), 1) * some
    reach = 2 * max(1, round(AREA_REACH * some.shape[1])) + 1

    def around(values: NDArray) -> NDArray[np.float32]:
        values = ndimage.uniform_filter(values.astype(np.float32), reach)
        return np.asarray(ndimage.uniform_filter(values, reach), np.float32)

    area, share = around(alpha), missing / greatest
    low, high = np.full(alpha.shape, 0.5, np.float32), np.full(alpha.shape, THIN_SHARE, np.float32)
    for _ in range(STEPS):
        middle = (low + high) / 2
        large = around(some & (share > middle)) > area
        low, high = np.where(large, middle, low), np.where(large, high, middle)
    return around((low + high) / 2)


def _smoothed(picture: Picture, sigma: float) -> Picture:
    return np.asarray(ndimage.gaussian_filter(picture, (sigma, sigma, 0)), np.float32)


def _parts_on(thing: Region, solid: Region) -> Region:
    """The parts that reach into what is solid."""
    number, count = labelled(thing, corners=True)
    reach = np.zeros(count + 1, bool)
    reach[np.unique(number[solid])] = True
    reach[0] = False
    return reach[number]


def filled(thing: Region, off: NDArray[np.float32]) -> Region:
    """Without holes that are small, or differ from the backdrop."""
    holes = np.asarray(ndimage.binary_fill_holes(thing), bool) & ~thing
    number, count = labelled(holes)
    if not count:
        return thing
    every = np.arange(count + 1)
    fill = (ndimage.sum(holes, number, every) < HOLE * off.size) | (ndimage.mean(off, number, every) > DIFFERS)
    fill[0] = False
    return thing | fill[number]
