"""The steps of the pyramid on a CPU: each reads its picture once. Planes [C, H, W] as in `pyramid`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

FOUR, SIX, SIXTEENTH = np.float32(4), np.float32(6), np.float32(1 / 16)
EIGHTH, HALF = np.float32(1 / 8), np.float32(1 / 2)


@njit(part=True)
def _halved_some(begin, end, plane, out):
    _, height, width = plane.shape
    _, small_height, small_width = out.shape
    for line in range(begin, end):
        c, y = line // small_height, line % small_height
        # Edges are repeated: two columns before the first, and two behind the last.
        row = np.empty(width + 4, np.float32)
        a, b = max(2 * y - 2, 0), max(2 * y - 1, 0)
        d, e = min(2 * y + 1, height - 1), min(2 * y + 2, height - 1)
        for x in range(width):
            row[x + 2] = (
                plane[c, a, x] + plane[c, e, x] + FOUR * (plane[c, b, x] + plane[c, d, x]) + SIX * plane[c, 2 * y, x]
            ) * SIXTEENTH
        row[0] = row[1] = row[2]
        row[width + 2] = row[width + 3] = row[width + 1]
        for x in range(small_width):
            k = 2 * x
            out[c, y, x] = (row[k] + row[k + 4] + FOUR * (row[k + 1] + row[k + 3]) + SIX * row[k + 2]) * SIXTEENTH


@njit
def _halved(team, count, *arguments):
    spread(_halved_some, team, count, arguments)


@njit(part=True)
def _add_doubled_some(begin, end, base, small, factor, out):
    """out = base + factor * small, doubled."""
    _, height, width = out.shape
    _, small_height, small_width = small.shape
    for line in range(begin, end):
        c, y = line // height, line % height
        row = np.empty(small_width + 2, np.float32)
        at = y // 2
        below = min(at + 1, small_height - 1)
        if y % 2 == 0:
            above = max(at - 1, 0)
            for x in range(small_width):
                row[x + 1] = (small[c, above, x] + SIX * small[c, at, x] + small[c, below, x]) * EIGHTH
        else:
            for x in range(small_width):
                row[x + 1] = (small[c, at, x] + small[c, below, x]) * HALF
        row[0], row[small_width + 1] = row[1], row[small_width]
        for x in range(small_width):
            value = (row[x] + SIX * row[x + 1] + row[x + 2]) * EIGHTH
            out[c, y, 2 * x] = base[c, y, 2 * x] + factor * value
        for x in range(width // 2):
            out[c, y, 2 * x + 1] = base[c, y, 2 * x + 1] + factor * ((row[x + 1] + row[x + 2]) * HALF)


@njit
def _add_doubled(team, count, *arguments):
    spread(_add_doubled_some, team, count, arguments)


def halved(plane: Tensor) -> Tensor:
    channels, height, width = plane.shape
    out = torch.empty(channels, (height + 1) // 2, (width + 1) // 2)
    with kernel_lock:
        _halved(team(), channels * out.shape[1], plane.contiguous().numpy(), out.numpy())
    return out


def add_doubled(base: Tensor, small: Tensor, factor: float) -> Tensor:
    out = torch.empty(base.shape)
    with kernel_lock:
        _add_doubled(
            team(),
            base.shape[0] * base.shape[1],
            base.contiguous().numpy(),
            small.contiguous().numpy(),
            np.float32(factor),
            out.numpy(),
        )
    return out
