"""Whether a frame shows anything: black (the flash did not fire, the cap was on), burnt-out ones and those without
anything in focus are told by their pixels alone.

In: pixels, in any size: a frame an eighth as large tells the same of its light. Out: None, or a word for a sentence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_gradient_magnitude

from macrosplat.support.colour import to_linear

# sRGB levels of 255. BLACK is 7 stops below white; dark captures of polished things on velvet reach 100 and more in
# their brightest thousandth, a frame without light stays below 12, read noise at a high ISO included.
BLACK, BURNT = 20, 250
# Shares of the pixels. One in a thousand may be a hot pixel or a lamp's LED; a small insect on a white sweep darkens
# more than one in 500.
BRIGHTEST, NOT_BURNT = 1e-3, 2e-3
MOST = 1 << 18  # values that are looked at: shares of a thousandth are known to a few per cent by that many


# Of thumbnails: photos differ by 0.015 and more there (eight captures), and a band lower than
# this may be a frame's.
EVEN, EVEN_SHARE, EVEN_BETWEEN = 1e-4, 0.05, (0.05, 0.95)
EVEN_ABOVE = 0.2  # of what is above a band, in its colour: more is a ground; less, the last blocks that were decoded

# Detail: the steepest slopes after a blur of FINE px by those after COARSE px, at WIDTH px. Photos with something in
# focus have 1.7 to 4.2 (seven captures), blurred by sigma 3 all over 1.3 to 1.55, by 8 px 1.07 to 1.2.
WIDTH, FINE, COARSE, STEEPEST = 640, 1.0, 4.0, 99.5
BLURRED, SHARP = 1.3, 1.6


def detail(pixels: NDArray[np.uint8]) -> float:
    """How much finer than `COARSE` the finest of a photo [H, W, 3] of `WIDTH` px is; 1: nothing is."""
    light = pixels.astype(np.float32).mean(2)
    fine, coarse = (np.percentile(gaussian_gradient_magnitude(light, s), STEEPEST) for s in (FINE, COARSE))
    return float(fine / max(float(coarse), 1e-6))


def all_blurred(details: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[V] which photos have nothing in focus, where most of the others have."""
    return (details < BLURRED) & (np.median(details) >= SHARP)


def even_below(small: NDArray[np.float32]) -> float:
    """The share of a photo's height, from below, that is of one colour throughout, and neither black nor white: what
    decoders put where a file that was cut, or lies on a damaged card, has no more data. Its thumbnail [H, W], 0 to 1.
    """
    last = float(small[-1].mean())
    if not EVEN_BETWEEN[0] < last < EVEN_BETWEEN[1]:
        return 0.0
    even = np.abs(small - last) <= EVEN
    odd = np.flatnonzero(~even.all(1))
    share = 1 - (int(odd[-1]) + 1) / len(small) if len(odd) else 0.0
    if even[: len(small) - round(share * len(small))].mean() > EVEN_ABOVE:
        return 0.0  # a frame, or an even ground that things stand before
    return share if share >= EVEN_SHARE else 0.0


def emptiness(pixels: NDArray[Any]) -> str | None:
    """ "black" or "burnt out", if a frame shows nothing else; None if it shows something.

    Args:
        pixels: [H, W] or [H, W, 3], uint8 sRGB or float linear light (0 to 1).
    """
    step = max(1, int(np.sqrt(pixels.shape[0] * pixels.shape[1] / MOST)))
    some = pixels[::step, ::step].reshape(-1, pixels.shape[2] if pixels.ndim == 3 else 1)
    black, burnt = (BLACK, BURNT) if pixels.dtype == np.uint8 else to_linear(np.array([BLACK, BURNT]) / 255.0)
    if (some.max(1) >= black).mean() < BRIGHTEST:
        return "black"
    if (some.min(1) < burnt).mean() < NOT_BURNT:
        return "burnt out"
    return None
