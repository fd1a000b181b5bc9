"""A simple focus stacker, as a rival: of every pose one picture, each pixel from the slice that is sharpest there.

In: the slices of a bracket. Out: the same picture for each of them, as it lies in that slice. What a blurred near thing
spreads over what is behind it stays there: the sharpest slice shows it so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from macrosplat.brackets.align import align, gains, inverse, warped
from macrosplat.brackets.composite import sharpness
from macrosplat.brackets.recognise import poses_of
from macrosplat.photos.records import Photo
from macrosplat.photos.resample import area_average
from macrosplat.support.colour import to_bytes, to_linear, to_srgb

ALIGNED_AT = 480  # px

Pixels = NDArray[np.uint8]  # [H, W, 3] sRGB


def stacked(photos: Sequence[Photo], taken: Sequence[Pixels]) -> list[Pixels]:
    """Every photo of a bracket replaced by its pose's stack; others as they are."""
    out = list(taken)
    for group in poses_of(photos):
        if len(group) > 1:
            for i, picture in zip(group, stack([taken[i] for i in group]), strict=True):
                out[i] = picture
    return out


def stack(slices: Sequence[Pixels]) -> list[Pixels]:
    """S slices of one pose; their stack, once as it lies in each of them."""
    light = [to_linear(one.astype(np.float32) / 255) for one in slices]
    width, height = light[0].shape[1], light[0].shape[0]
    size = min(ALIGNED_AT, width), max(1, round(height * min(ALIGNED_AT, width) / width))
    small = [area_average(one, size) for one in light]
    warps = align([np.sqrt(one.mean(2)) for one in small])
    even = gains(small, warps).astype(np.float32)
    over = [warped(one, warp) * gain for one, warp, gain in zip(light, warps, even, strict=True)]
    inside = [np.isfinite(one).all(2) for one in over]
    over = [np.nan_to_num(one) for one in over]
    best = np.argmax([np.where(i, sharpness(one), -1) for one, i in zip(over, inside, strict=True)], 0)
    joined = np.take_along_axis(np.stack(over), best[None, ..., None], 0)[0]
    out = []
    for own, warp, gain in zip(light, warps, even, strict=True):  # each as bright as it was
        back = warped(joined, inverse(warp)) / gain
        back = np.where(np.isfinite(back), back, own)  # where the middle slice does not reach
        out.append(to_bytes(to_srgb(back)))
    return out
