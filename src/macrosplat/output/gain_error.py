"""How surely a photo's exposure is told by a scene: from how parts of the photo would each have it.

In: a photo, and the scene as the photo shows it, exposure included. Out: stops, one standard deviation.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from macrosplat.support.colour import to_linear

SQUARES = 8  # along each side: what is wrong with a scene is wrong over such parts, so that pixels are no witnesses
FEWEST = 4  # squares, without which nothing is told
LEAST = 1e-3  # of full light: below it is grain
SHARE = 0.5  # of a square's pixels have to count


def gain_error(taken: NDArray[np.float32], seen: NDArray[np.float64], where: NDArray[np.bool_] | None = None) -> float:
    """The standard error of the mean difference of exposure between squares; infinite where too few can be compared.

    Args:
        taken, seen: [H, W, 3] sRGB in [0, 1]: by the scene, and the photo.
        where: [H, W] what counts; None: everything.
    """
    counts = np.ones(seen.shape[:2], bool) if where is None else where
    light = [to_linear(np.asarray(picture, np.float64)).mean(2) * counts for picture in (taken, seen)]
    rows, columns = (np.linspace(0, side, SQUARES + 1).astype(int) for side in counts.shape)
    found = []
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(columns):
            square = np.s_[top:bottom, left:right]
            some = int(counts[square].sum())
            if some == 0 or some < SHARE * counts[square].size:
                continue
            a, b = (plane[square].sum() / some for plane in light)
            if min(a, b) > LEAST:
                found.append(math.log2(b / a))
    return float(np.std(found, ddof=1) / math.sqrt(len(found))) if len(found) >= FEWEST else math.inf
