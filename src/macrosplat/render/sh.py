"""Spherical harmonics of many directions."""

from __future__ import annotations

import torch
from torch import Tensor

from macrosplat.scene.harmonics import harmonics


def basis(direction: Tensor, degree: int) -> Tensor:
    """Y_k(direction) for unit directions [N, 3], k = 0 .. (degree + 1)^2 - 1 -> [N, (degree + 1)^2]."""
    x, y, z = direction.unbind(-1)
    return torch.stack(harmonics(x, y, z, degree), -1)
