"""Pictures to blur: planes that look like photographs, and what a circle of confusion leaves of them."""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import fftconvolve


def natural(height: int, width: int, seed: int) -> np.ndarray:
    """[H, W] noise whose amplitude falls like 1 / frequency, as that of photographs does; mean 0.5, deviation 0.12."""
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((height, width)))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    plane = np.fft.irfft2(spectrum / frequency, (height, width))
    return 0.5 + 0.12 * plane / plane.std()


def through_disc(picture: np.ndarray, radius: float) -> np.ndarray:
    """[H, W] blurred by a circle of confusion, its edge anti-aliased."""
    reach = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    padded = np.pad(picture, reach, mode="reflect")
    return fftconvolve(padded, disc / disc.sum(), mode="valid")


def planes(*pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).float()
