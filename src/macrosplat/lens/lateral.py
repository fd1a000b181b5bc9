"""Lateral colour: red and blue are magnified more or less than green, which shows as fringes towards the corners.

What is learned is how far out the corner is moved, px of the training width, for red and for blue; between, in
proportion to the distance from the middle.
"""

from __future__ import annotations

import torch
from torch import Tensor

RATE = 4e-3  # px of the training width, of Adam, per step
BELIEF = 1e-6  # of the loss per px^2: pulls to none what no photo tells
# px of the training width in the corner: less does not show, and ideal lenses are found to have up to 0.1.
LEAST = 0.2


def magnified(corner: Tensor, width: float, height: float) -> Tensor:
    """[2] by what share red and blue are larger.

    Args:
        corner: [2] px, of a frame of this size.
    """
    return corner / (0.5 * (width * width + height * height) ** 0.5)


def bends(shares: Tensor, channels: int) -> Tensor:
    """[1, C, 4] how the channels of a photo move, as `shift.shifted` takes it; an alpha as green does.

    Args:
        shares: [2] of `magnified`.
    """
    zero = torch.zeros_like(shares[0])
    of_channels = torch.stack([shares[0], zero, shares[1], zero][:channels])
    still = torch.zeros_like(of_channels)
    return torch.stack([still, still, of_channels, still], -1)[None]
