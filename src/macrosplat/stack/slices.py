"""The slices of a stack as they lie over each other, in linear light.

In: photos of one pose. Out: `Slices`: aligned with the middle one (zoom, shift, roll), of its frame, all exposed as the
median of them; what a slice does not show is continued from its edge, and known not to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from macrosplat.brackets.align import WORKING, align, gains, warped
from macrosplat.photos.read import read_linear
from macrosplat.photos.records import Photo
from macrosplat.photos.resample import area_average
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.memory import available

# Bytes for each pixel of each slice: itself, its light and coverage by what hides it, and a layer; each 3 or 4 floats.
PER_PIXEL = (3 + 4 + 4) * 4
MORE = 20 * 4  # for each pixel of the picture: what is in work


@dataclass(frozen=True)
class Slices:
    """S slices."""

    light: list[NDArray[np.float32]]  # S of [H, W, 3]
    inside: list[NDArray[np.bool_]]  # S of [H, W], where the slice really shows something
    warps: NDArray[np.float64]  # [S, 4] from the middle slice, see `brackets.align`
    gains: NDArray[np.float64]  # [S, 3] what linear light was multiplied by, per channel

    def smaller(self, width: int) -> Slices:
        """The same, at most `width` px wide."""
        height, full = self.light[0].shape[:2]
        if width >= full:
            return self
        size = width, max(1, round(height * width / full))
        light = [area_average(one, size) for one in self.light]
        inside = [area_average(one[..., None].astype(np.float32), size)[..., 0] > 0.99 for one in self.inside]
        return Slices(light, inside, self.warps, self.gains)


def read_slices(photos: Sequence[Photo], width: int | None, step=lambda: None) -> Slices:
    """Args: width: px that they are brought to; None: their own. step: called for every slice.

    Raises:
        MacrosplatError: they do not fit into memory.
    """
    photo = photos[0]
    width = min(width or photo.width, photo.width)
    pixels = width * width * photo.height / photo.width
    needed, there = pixels * (len(photos) * PER_PIXEL + MORE), available()
    if there is not None and needed > there:
        raise MacrosplatError(
            f"This stack needs about {needed / 1e9:.1f} GB of memory and {there / 1e9:.1f} GB are free; lower --width "
            f"(now {width})."
        )
    small = [read_linear(photo, WORKING) for photo in photos]
    warps = align([np.sqrt(np.maximum(one.mean(2), 0)) for one in small])
    even = gains(small, warps)
    light, inside = [], []
    for photo, warp, gain in zip(photos, warps, even, strict=True):
        one = (warped(read_linear(photo, width), warp) * gain).astype(np.float32)
        seen = np.isfinite(one).all(2)
        if not seen.all():
            nearest = distance_transform_edt(~seen, return_distances=False, return_indices=True)
            one = one[tuple(nearest)]  # type: ignore[arg-type]
        light.append(np.ascontiguousarray(one))
        inside.append(seen)
        step()
    return Slices(light, inside, warps, even)
