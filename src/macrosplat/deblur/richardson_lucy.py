"""Richardson-Lucy deconvolution (Richardson 1972, Lucy 1974) with one Gaussian for all pixels, in linear light.

    estimate <- estimate * blur(photo / blur(estimate))

The classical deblurrer that needs nothing but the photo, and that knows nothing of depth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from macrosplat.options.baselines import REFERENCE_WIDTH
from macrosplat.support.colour import to_bytes, to_linear, to_srgb

LEAST = 1e-4  # linear light: a photo's black is not nothing, and nothing cannot be divided by


def richardson_lucy(photo: NDArray[np.uint8], sigma: float, iterations: int) -> NDArray[np.uint8]:
    """Deblur [H, W, 3] sRGB; `sigma` in px of a frame of REFERENCE_WIDTH."""
    taken = to_linear(photo.astype(np.float64) / 255)
    return to_bytes(to_srgb(deconvolved(taken, sigma * photo.shape[1] / REFERENCE_WIDTH, iterations)))


def deconvolved(taken: NDArray[np.floating], sigma: float, iterations: int) -> NDArray[np.floating]:
    """[H, W, 3] linear light; `sigma` in px of this frame."""

    def blur(x: NDArray) -> NDArray:
        return gaussian_filter(x, (sigma, sigma, 0), mode="nearest")

    taken = np.maximum(taken, LEAST)
    estimate = taken.copy()
    for _ in range(iterations):
        # A Gaussian is its own mirror image: the second blur is the transposed one.
        estimate *= blur(taken / np.maximum(blur(estimate), LEAST))
    return estimate
