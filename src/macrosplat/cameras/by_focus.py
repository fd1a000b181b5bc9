"""Focal lengths by photo held to how they follow the focus.

In: a calibration whose photos have focal lengths of their own, and where these photos are focused. Out: the same with
each focal length between what its own key points say and what the law of all photos says of its focus, by how sure
either is.

A lens of focal length f in focus at d0 has its image at v, 1 / v = 1 / f - 1 / d0, and v is what a calibrated focal
length measures: 1 / fx is linear in 1 / d0. One that shortens or stretches while it focuses has another slope, and by
the few percent that photos of one capture differ a line, too. Key points of a photo that is blurred where it has any
are wrong together, by several of their own standard deviations: what is far from the law counts for less.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.calibrate import Calibration
from macrosplat.cameras.in_focus import Focus

Array = NDArray[np.float64]

FEWEST = 6  # photos that tell a law
SURE = 5.0  # standard deviations of the slope: less is no law
TAILS = 3.0  # degrees of freedom of Student's t for what key points of one photo say
FARTHEST = 0.01  # of the focal length: a photo that far off was taken with another zoom, and keeps its own
ROUNDS = 30


def by_focus(found: Calibration, focus: Focus) -> Calibration | None:
    """The calibration with `focal` held to the law; None where none is shown. `cameras` stay as they are.

    Args:
        found: V photos with focal lengths of their own. focus: of the same photos.
    """
    told = np.isfinite(focus.sigma)
    both = told & np.isfinite(found.focal_sigma)
    if not found.differ or both.sum() < FEWEST:
        return None
    near = focus.nearness / float(np.mean(focus.nearness[both])) - 1
    near_sigma = focus.sigma / float(np.mean(focus.nearness[both]))
    inverse = 1 / found.focal - 1
    law = _line(near[both], near_sigma[both], inverse[both], found.focal_sigma[both])
    if law is None:
        return None
    middle, slope, scatter = law
    expected = middle + slope * np.where(told, near, 0)
    variance = np.where(told, scatter**2 + (slope * near_sigma) ** 2, np.inf)
    own = np.where(both, found.focal_sigma, np.inf) ** 2
    off = np.where(both, inverse - expected, 0)
    weight = _tailed(off, own + np.where(told, variance, 0)) / own
    between = np.where(told, (weight * inverse + expected / variance) / (weight + 1 / variance), inverse)
    factor = np.where(np.abs(off) < FARTHEST, 1 / (1 + between), found.focal)
    if not found.common:
        factor = factor * float(np.mean(found.focal[both])) / float(np.mean(factor[both]))
    return replace(found, focal=factor, focal_sigma=np.where(told, np.sqrt(1 / (weight + 1 / variance)), own**0.5))


def _tailed(off: Array, variance: Array) -> Array:
    """[...] by how much less than a normal deviate one with tails counts."""
    return (TAILS + 1) / (TAILS + off**2 / np.maximum(variance, 1e-30))


def _line(x: Array, x_sigma: Array, y: Array, y_sigma: Array) -> tuple[float, float, float] | None:
    """Middle and slope of y over x, and the scatter about the line; None where the slope is not sure."""
    middle, slope, scatter, sure = float(np.median(y)), 0.0, float(np.std(y)), 0.0
    for _ in range(ROUNDS):
        variance = y_sigma**2 + scatter**2 + (slope * x_sigma) ** 2
        weight = _tailed(y - middle - slope * x, variance) / variance
        mean = float(np.average(x, weights=weight))
        spread = float(weight @ (x - mean) ** 2)
        if not spread > 0:
            return None
        slope = float(weight @ ((x - mean) * y)) / spread
        middle = float(np.average(y, weights=weight)) - slope * mean
        rest = np.abs(y - middle - slope * x)
        # What is left in the median, of which the photos' own errors are a part: rather too much than too little.
        scatter = 1.4826 * float(np.median(rest)) * np.sqrt(len(y) / (len(y) - 2))
        sure = abs(slope) * spread**0.5
    return (middle, slope, scatter) if sure > SURE else None
