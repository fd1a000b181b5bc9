"""Vignetting: a photo is darker towards its corners, as the cosine of the angle and the lens's own tubes have it.

In: light [H, W, C], two coefficients. Out: light [H, W, C]. ln of what is left at the share rho of the way from the
middle of the frame to its corner is c0 rho^2 + c1 rho^4; colours alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

RATE = 4e-4  # ln, of Adam, per step
BELIEF = 1e-4  # of the loss per (ln at the corner)^2: pulls to none what no photo tells
# Stops lost in the corner: a lens with less is said to have none. A scene that is darker at its rims looks like that.
LEAST = 0.1


def dimmed(light: Tensor, coefficients: Tensor, squared_radii: Tensor) -> Tensor:
    """[H, W, C] as it reaches the sensor; what is no colour is left alone.

    Args:
        coefficients: [2] c0, c1. squared_radii: [H, W] of `squared_radii`.
    """
    left = (squared_radii * (coefficients[0] + coefficients[1] * squared_radii)).exp()[..., None]
    if light.shape[-1] <= 3:
        return light * left
    return torch.cat([light[..., :3] * left, light[..., 3:]], -1)


def squared_radii(width: int, height: int, like: Tensor) -> Tensor:
    """[H, W] rho^2 of a frame's pixels."""
    x = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5 - width / 2
    y = torch.arange(height, dtype=like.dtype, device=like.device) + 0.5 - height / 2
    return (x.square() + y.square()[:, None]) / (0.25 * (width * width + height * height))


def squared_radii_at(points: Tensor, width: int, height: int) -> Tensor:
    """[...] rho^2 of points [..., 2] px; what lies beyond the corner counts as lying there."""
    away = points - points.new_tensor([width / 2, height / 2])
    return (away.square().sum(-1) / (0.25 * (width * width + height * height))).clamp_max(1.0)


def stops_lost(coefficients: Tensor) -> float:
    """In the corner; < 0: it is brighter. Waits for the device."""
    return -float(coefficients.detach().sum()) / math.log(2)
