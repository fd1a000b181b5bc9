"""How grainy a photo is: the standard deviation of what differs from pixel to pixel without being a picture.

In: a photo. Out: one number, in sRGB of a range of 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate

# Blind to planes and to edges along either axis (Immerkaer 1996, Fast noise variance estimation); of white noise it
# makes one of 6 times the deviation.
_LAPLACIAN = np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32)
_GAIN = 6.0
QUIET = 0.5  # share of the pixels that are looked at: those that differ least, so that texture is not taken for grain
# Mean of |x| of a unit normal x over its least half, |x| <= 0.6745.
_OF_QUIET = 0.3249


def grain(photo: NDArray[np.uint8]) -> float:
    """Standard deviation of the grain of a photo [H, W, 3], sRGB in 0 ... 1; rounding to 8 bits counts as grain."""
    differing = np.abs(np.stack([correlate(photo[..., c].astype(np.float32), _LAPLACIAN) for c in range(3)]))
    differing = differing[:, 1:-1, 1:-1].ravel()
    if differing.size == 0:
        return 0.0
    quiet = max(1, int(QUIET * differing.size))
    return float(np.partition(differing, quiet - 1)[:quiet].mean() / _OF_QUIET / _GAIN / 255)
