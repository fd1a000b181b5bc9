"""The limits of the Gaussians' shapes on a CPU: every number is read and written once."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

BLOCK = 4096  # Gaussians a thread takes at a time


@njit(part=True)
def _confine_some(begin, end, log_scales, smallest, slender):
    n = log_scales.shape[0]
    for block in range(begin, end):
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            a, b, c = log_scales[i, 0], log_scales[i, 1], log_scales[i, 2]
            a = smallest if a < smallest else a
            b = smallest if b < smallest else b
            c = smallest if c < smallest else c
            low, high = min(a, b), max(a, b)
            longest = max(low, min(high, c)) + slender
            log_scales[i, 0] = longest if a > longest else a
            log_scales[i, 1] = longest if b > longest else b
            log_scales[i, 2] = longest if c > longest else c


@njit
def _confine(team, count, *arguments):
    spread(_confine_some, team, count, arguments)


def confine(log_scales: Tensor, smallest: float, slender: float) -> None:
    """Changes log scales [N, 3] in place, see `density.confine_shapes`."""
    with kernel_lock:
        _confine(
            team(), -(-len(log_scales) // BLOCK), log_scales.detach().numpy(), np.float32(smallest), np.float32(slender)
        )
