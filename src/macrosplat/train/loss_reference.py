"""The photometric loss in plain torch of any precision.

    loss = sum_p w_p sum_c [ (1 - lambda) |x - y| + lambda (1 - SSIM(x, y)) ] / (3 sum_p w_p)

x is the blurred render behind the sRGB curve, y the photo, w the mask. Where the photo is burnt out it only says that
there was at least so much light: more than it shows counts for an eighth (`as_shown`). SSIM (Wang et al. 2004) of each
channel has a Gaussian window of 11 taps and 1.5 px; frames are mirrored at their borders (the edge pixel repeated), so
that every pixel has its term. The mask weighs the terms; the windows see all pixels.
"""

from __future__ import annotations

import math

import torch

from macrosplat.support.colour import EXPONENT, LINEAR_JOIN, OFFSET, SLOPE
from macrosplat.train.target import Target

REACH = 5  # px on each side: 11 taps
WINDOW_SIGMA = 1.5  # px
C1 = 0.01**2  # SSIM's own constants, for a range of 1
C2 = 0.03**2

# Variances are taken about this value: it changes nothing but the rounding, which in float32 would show in
# bright plain surfaces (variance 0, against C2 = 9e-4).
GREY = 0.5

# Beyond a radiance of 16 (no photo goes above 1) the curve goes on as its tangent: the kernels' root is fitted
# up to there.
CURVE_END = 16.0
SCALE, POWER = 1 + OFFSET, 1 / EXPONENT
TANGENT = SCALE * POWER * CURVE_END ** (POWER - 1)


# Bytes of a photo from which on it is burnt out (JPEG and grain leave 255 a little), and what light beyond counts
# there: not nothing, or parts that are white in all photos are mottled (experiments: burnt-out).
BURNT, BEYOND = 250, 0.125


def window_taps() -> list[float]:
    """Centre tap, then the symmetric ones."""
    g = [math.exp(-0.5 * (j / WINDOW_SIGMA) ** 2) for j in range(REACH + 1)]
    norm = g[0] + 2.0 * sum(g[1:])
    return [v / norm for v in g]


def srgb_curve(linear: torch.Tensor) -> torch.Tensor:
    """IEC 61966-2-1, its linear part also below 0, not clamped above 1."""
    above = SCALE * linear.clamp(LINEAR_JOIN, CURVE_END) ** POWER - OFFSET
    above = above + TANGENT * (linear - CURVE_END).clamp(min=0.0)
    return torch.where(linear > LINEAR_JOIN, above, SLOPE * linear)


def as_shown(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """sRGB values x of a render as a photo y (0 to 1) can show them: above y and burnt out, next to y."""
    beyond = (y > (BURNT - 0.5) / 255.0) & (x > y)
    return torch.where(beyond, y + BEYOND * (x - y), x)


def window_mean(planes: torch.Tensor) -> torch.Tensor:  # [C, H, W] to [C, H, W]
    """Mean under the window around every pixel."""
    taps = window_taps()
    for axis in (1, 2):
        size = planes.shape[axis]
        total = taps[0] * planes
        for j in range(1, REACH + 1):
            for offset in (-j, j):
                i = torch.arange(offset, size + offset, device=planes.device) % (2 * size)
                i = torch.where(i < size, i, 2 * size - 1 - i)
                total = total + taps[j] * planes.index_select(axis, i)
        planes = total
    return planes


def photo_loss(blurred: torch.Tensor, target: Target, lambda_dssim: float) -> torch.Tensor:
    """As `loss.photo_loss`; the photo's window means and variances are computed anew."""
    y = target.photo.to(blurred.dtype) / 255.0
    x = as_shown(srgb_curve(blurred).permute(2, 0, 1), y)
    mean_x, mean_y = window_mean(x), window_mean(y)
    variance_x, variance_y, covariance = (
        window_mean((a - GREY) * (b - GREY)) - (mean_a - GREY) * (mean_b - GREY)
        for a, b, mean_a, mean_b in ((x, x, mean_x, mean_x), (y, y, mean_y, mean_y), (x, y, mean_x, mean_y))
    )
    ssim = (2.0 * mean_x * mean_y + C1) * (2.0 * covariance + C2)
    ssim = ssim / ((mean_x**2 + mean_y**2 + C1) * (variance_x + variance_y + C2))
    terms = (1.0 - lambda_dssim) * (x - y).abs() + lambda_dssim * (1.0 - ssim)
    weight = target.weight.to(x.dtype)
    return (terms * weight).sum() / (3.0 * weight.sum())
