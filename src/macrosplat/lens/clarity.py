"""Where a photo is sharp: clarity masks, by the guided filter (He, Sun, Tang 2013).

In: photos (sRGB). Out: masks [H, W], 0 where nothing is sharp, 1 where nearly the sharpest thing of the photo is, and
more at the very sharpest. Plain torch of any precision and device,
differentiable; a mask is made once per photo, before training.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.options.baselines import REFERENCE_WIDTH

BRIGHTEST = 0.99  # quantile of a photo that becomes 1: a few glints must not set the scale


def box_mean(plane: Tensor, radius: int) -> Tensor:
    """[H, W] mean over the (2 radius + 1)^2 square around each pixel, of what of it lies inside the frame."""
    x = plane[None, None]
    for kernel, pad in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        x = F.avg_pool2d(x, kernel, stride=1, padding=pad, count_include_pad=False)
    return x[0, 0]


def guided_filter(
    guide: Tensor,  # [H, W]
    plane: Tensor,  # [H, W]
    radius: int,  # px, of the square window
    eps: float,  # variance of the guide below which it counts as plain
) -> Tensor:  # [H, W]
    """In every window the `a guide + b` that fits `plane` best, a held down by eps; averaged over all windows."""
    assert guide.shape == plane.shape and guide.ndim == 2, f"guide {tuple(guide.shape)}, plane {tuple(plane.shape)}"
    radius = min(radius, (min(guide.shape) - 1) // 2)
    mean_guide, mean_plane = box_mean(guide, radius), box_mean(plane, radius)
    covariance = box_mean(guide * plane, radius) - mean_guide * mean_plane
    variance = box_mean(guide * guide, radius) - mean_guide**2
    a = covariance / (variance + eps)
    b = mean_plane - a * mean_guide
    return box_mean(a, radius) * guide + box_mean(b, radius)


def clarity(grey: Tensor, radius: int, eps: float, smooth_radius: int, smooth_eps: float) -> Tensor:
    """[H, W] >= 0: what the guided filter takes out of a photo [H, W], smoothed by another guided by the photo."""
    detail = (grey - guided_filter(grey, grey, radius, eps)).abs()
    smooth = guided_filter(grey, detail, smooth_radius, smooth_eps).clamp_min(0)
    return smooth / _quantile(smooth.detach(), BRIGHTEST).clamp_min(1e-9)


def clarity_of(photo: NDArray[np.uint8], radius: float, eps: float, smooth_radius: float, smooth_eps: float) -> Tensor:
    """[H, W] float32: the clarity of a photo [H, W, 3] sRGB; radii in px of a frame of REFERENCE_WIDTH."""
    grey = torch.from_numpy(photo.astype(np.float64).mean(2) / 255)
    radii = (max(1, round(r * photo.shape[1] / REFERENCE_WIDTH)) for r in (radius, smooth_radius))
    return clarity(grey, next(radii), eps, next(radii), smooth_eps).float()


def _quantile(plane: Tensor, q: float) -> Tensor:
    """As `torch.quantile`, which refuses more than 2^24 elements."""
    flat = plane.flatten()
    return flat.kthvalue(1 + round(q * (flat.numel() - 1))).values
