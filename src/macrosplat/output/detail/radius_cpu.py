"""How far near things reach over what lies behind them, on a CPU: one sweep down the frame and one up."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from macrosplat.support.numba import kernel_lock, njit

ONE, DIAGONAL = np.float32(1), np.float32(math.sqrt(2))


@njit
def _spread(reach):
    """In place: the most of any pixel's reach less the way from there, in steps to the eight neighbours."""
    height, width = reach.shape
    for sweep in range(2):
        for row in range(height):
            y = row if sweep == 0 else height - 1 - row
            before = y - 1 if sweep == 0 else y + 1
            if row > 0:
                for x in range(width):
                    most = max(reach[y, x], reach[before, x] - ONE)
                    if x > 0:
                        most = max(most, reach[before, x - 1] - DIAGONAL)
                    if x < width - 1:
                        most = max(most, reach[before, x + 1] - DIAGONAL)
                    reach[y, x] = most
            for x in range(1, width):
                reach[y, x] = max(reach[y, x], reach[y, x - 1] - ONE)
            for x in range(width - 2, -1, -1):
                reach[y, x] = max(reach[y, x], reach[y, x + 1] - ONE)


def spread(reach: Tensor) -> Tensor:
    """[H, W] of a reach [H, W] >= 0."""
    out = reach.detach().clone().contiguous()
    with kernel_lock:
        _spread(out.numpy())
    return torch.as_tensor(out)
