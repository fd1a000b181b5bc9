"""How far near things reach over what lies behind them, in plain torch: a pixel a pass."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def spread(reach: Tensor) -> Tensor:
    """[H, W] >= 0: the most of any pixel's reach less the way from there, in steps to the eight neighbours."""
    size, reach = reach.shape, reach[None, None]
    diagonal = math.sqrt(2)
    for _ in range(min(math.ceil(float(reach.max())), *size)):
        rows, columns = F.max_pool2d(reach, (3, 1), 1, (1, 0)), F.max_pool2d(reach, (1, 3), 1, (0, 1))
        across = F.max_pool2d(reach, 3, 1, 1) - diagonal
        reach = torch.maximum(torch.maximum(reach, across), torch.maximum(rows, columns) - 1)
    return reach[0, 0]
