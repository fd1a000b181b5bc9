"""Curvature of field: away from the middle of the frame a lens is in focus nearer or farther.

1 / d0 is more by a rho^2, rho the share of the way from the middle of the frame to its corner. As with the foci of
colours, the sub-aperture view from u is that of a flat field, moved by fx u a rho^2 px, whatever is seen there. What is
learned is the radius that the circle of confusion of the corner has where the middle is in focus, px of the training
width: (D / 2) fx a, positive where the corner focuses nearer.
"""

from __future__ import annotations

import torch
from torch import Tensor

RATE = 4e-3  # px of the training width, of Adam, per step
BELIEF = 1e-6  # of the loss per px^2: pulls to a flat field what no photo tells
# px of the training width in the corner: a lens whose field is flatter is said to have a flat one.
LEAST = 0.4
CLOSEST = 0.1  # of 1 / depth: a corner's focus never passes the lens


def inverse_offset(radius: Tensor, pupil: Tensor | float, fx: Tensor | float) -> Tensor:
    """[] by what 1 / d0 is more in the corner, 1 / scene units.

    Args:
        radius: [1] px. pupil: [] scene units, fx: [] px of the same width, both without gradient: the field is no
            reason to change them.
    """
    return radius[0] / (0.5 * pupil * fx)


def flattened(depth: Tensor, offset: Tensor, squared_radii: Tensor) -> Tensor:
    """[..., H, W] depths that are blurred by a flat field as `depth` is by the curved one: 1 / d - a rho^2.

    Args:
        offset: [] a. squared_radii: [H, W] rho^2.
    """
    return depth / (1 - offset * squared_radii * depth).clamp_min(CLOSEST)


def bends(points: Tensor, offset: Tensor) -> Tensor:
    """[M, 4] how the sub-aperture views move, as `shift.shifted` takes it.

    Args:
        points: [M, 2] where in the pupil they are from, times the focal length: px per 1 / scene unit.
    """
    return torch.cat([points * offset, torch.zeros_like(points)], -1)
