"""In which slice each pixel is sharp.

In: aligned slices, about `WIDTH` px wide. Out: `place` [H, W]: 0 for the first slice to S - 1 for the last, between two
slices where both are about as sharp. The sharpness of every slice is smoothed along the edges of the picture (guided
filter; cost-volume filtering: Rhemann et al. 2011): pixels without texture take the place of their surroundings, up to
the next edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_dilation,
    binary_erosion,
    find_objects,
    gaussian_filter,
    label,
    laplace,
    median_filter,
    uniform_filter,
)

WIDTH = 1024  # px that slices are brought to; in larger ones grain is as fine as what is sharp
FINE = 0.8  # px: grain is smoothed before sharpness is measured
POOL = 1.0  # px: sharpness is averaged over this; more and near edges grow into what lies behind
# Radii (px) of the guided filters and their weights: texture decides by itself, what has none asks farther away.
REACH = ((3, 1.0), (12, 0.2), (64, 0.05))
EPS = 1e-3  # variance of the guide (0 to 1) below which it has no edge
PICKY = 2  # power of the relative sharpness
MEDIAN = 5  # px: lone pixels are outvoted
# An island that lies AWAY slices off the median of STEADY px and off all about it, and has less than WEAK of the
# sharpness there (AROUND px), has no texture that tells where it is: it gets the median's place (experiments:
# stack-specks). What hangs together with other things of its place is theirs.
AWAY, STEADY, WEAK, AROUND = 1.5, 21, 0.7, 31
RIM = 6  # px at the edge of a slice's frame that are not believed


def place_of(slices: Sequence[NDArray[np.float32]], inside: Sequence[NDArray[np.bool_]]) -> NDArray[np.float32]:
    """[H, W] where between the slices each pixel is sharpest.

    Args:
        slices: S of [H, W, 3] linear light, aligned.
        inside: S of [H, W], where a slice's frame is.
    """
    sharp = np.stack([sharpness(one, where) for one, where in zip(slices, inside, strict=True)])
    guide = sharpest(slices, sharp)
    # Grain is as strong in every slice: only what one has more of than the others tells.
    sharp -= sharp.min(0)
    total = np.zeros_like(sharp)
    for radius, weight in REACH:
        guided = Guided(guide, radius)
        for s, one in enumerate(sharp):
            total[s] += weight * np.maximum(guided(one), 0)
    return _without_specks(median_filter(peak(total), MEDIAN), total.max(0)).astype(np.float32)


def _without_specks(place: NDArray[np.float32], most: NDArray[np.float32]) -> NDArray[np.float32]:
    """Places [H, W], without islands that nothing tells; `most` [H, W]: the sharpness of the sharpest slice."""
    steady = median_filter(place, STEADY)
    odd, told = np.abs(place - steady) > AWAY, most > WEAK * uniform_filter(most, AROUND)
    number = np.zeros(place.shape, np.int32)
    label(odd, np.ones((3, 3)), output=number)
    mended = place.copy()
    for k, box in enumerate(find_objects(number), 1):
        about = tuple(slice(max(0, side.start - 2), side.stop + 2) for side in box)
        island = number[about] == k
        grown: NDArray[np.bool_] = np.asarray(binary_dilation(island, np.ones((3, 3))), bool)
        shore = np.asarray(binary_dilation(grown, np.ones((3, 3))), bool) & ~grown
        middle = np.median(place[about][island])
        if not told[about][island].mean() > 0.5 and (np.abs(place[about][shore] - middle) > AWAY / 2).all():
            mended[about][grown] = steady[about][grown]
    return mended


def sharpness(picture: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """[H, W] how much fine detail a slice has at every pixel; 0 outside its frame."""
    fine: Any = gaussian_filter(np.abs(laplace(gaussian_filter(brightness(picture), FINE))), POOL) ** PICKY
    if not inside.all():
        fine *= binary_erosion(inside, iterations=RIM, border_value=1)
    return fine


def brightness(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """[H, W] square root of linear light: shadows count, too."""
    return np.sqrt(np.maximum(picture.mean(2), 0)).astype(np.float32)


def sharpest(slices: Sequence[NDArray[np.float32]], sharp: NDArray[np.float32]) -> NDArray[np.float32]:
    """[H, W] brightness of the slice that is sharpest at each pixel."""
    best = sharp.argmax(0)
    out = np.zeros(best.shape, np.float32)
    for s, one in enumerate(slices):
        np.copyto(out, brightness(one), where=best == s)
    return out


def peak(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """[H, W] where [S, H, W] is largest, between the samples by the parabola through the logarithms of three."""
    count = len(volume)
    best = volume.argmax(0)
    low = np.log(np.maximum(np.take_along_axis(volume, np.maximum(best - 1, 0)[None], 0)[0], 1e-20))
    top = np.log(np.maximum(np.take_along_axis(volume, best[None], 0)[0], 1e-20))
    high = np.log(np.maximum(np.take_along_axis(volume, np.minimum(best + 1, count - 1)[None], 0)[0], 1e-20))
    inside = (best > 0) & (best < count - 1)
    bend = np.minimum(low - 2 * top + high, -1e-6)
    return (best + np.where(inside, np.clip(0.5 * (low - high) / bend, -0.5, 0.5), 0)).astype(np.float32)


class Guided:
    """The guided filter (He, Sun, Tang 2013) of one guide, for many planes."""

    def __init__(self, guide: NDArray[np.float32], radius: int) -> None:
        """Args: guide [H, W] 0 to 1. radius: px, of the square window."""
        self._guide, self._size = guide, 2 * radius + 1
        self._mean = self._box(guide)
        self._variance = self._box(guide * guide) - self._mean**2

    def __call__(self, plane: NDArray[Any]) -> NDArray[Any]:
        mean = self._box(plane)
        a = (self._box(self._guide * plane) - self._mean * mean) / (self._variance + EPS)
        return self._box(a) * self._guide + self._box(mean - a * self._mean)

    def _box(self, plane: NDArray[Any]) -> Any:
        return uniform_filter(plane, self._size, mode="nearest")
