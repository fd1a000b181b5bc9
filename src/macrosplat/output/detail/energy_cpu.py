"""Energy about each sample on a CPU: the band is read once, then once up and down its rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from macrosplat.output.detail.energy_reference import AROUND, REACH, TOTAL
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

A, B, C, D, E = (np.float32(tap / TOTAL) for tap in AROUND[: REACH + 1])
ONE = np.float32(1)


@njit(part=True)
def _along_some(begin, end, band, out):
    """Rows of the mean square of all channels, and about each sample of a row."""
    channels, _, width = band.shape
    share = ONE / np.float32(channels)
    row = np.empty(width + 8, np.float32)
    for y in range(begin, end):
        for x in range(width):
            row[x + 4] = band[0, y, x] * band[0, y, x]
        for c in range(1, channels):
            for x in range(width):
                row[x + 4] += band[c, y, x] * band[c, y, x]
        for k in range(4):  # edges are repeated
            row[k], row[width + 4 + k] = row[4], row[width + 3]
        for x in range(width):
            out[y, x] = share * (
                A * (row[x] + row[x + 8])
                + B * (row[x + 1] + row[x + 7])
                + C * (row[x + 2] + row[x + 6])
                + D * (row[x + 3] + row[x + 5])
                + E * row[x + 4]
            )


@njit
def _along(team, count, *arguments):
    spread(_along_some, team, count, arguments)


@njit(part=True)
def _down_some(begin, end, plane, out):
    height, width = plane.shape
    last = height - 1
    for y in range(begin, end):
        a, b, c, d = max(y - 4, 0), max(y - 3, 0), max(y - 2, 0), max(y - 1, 0)
        e, f, g, h = min(y + 1, last), min(y + 2, last), min(y + 3, last), min(y + 4, last)
        for x in range(width):
            out[y, x] = (
                A * (plane[a, x] + plane[h, x])
                + B * (plane[b, x] + plane[g, x])
                + C * (plane[c, x] + plane[f, x])
                + D * (plane[d, x] + plane[e, x])
                + E * plane[y, x]
            )


@njit
def _down(team, count, *arguments):
    spread(_down_some, team, count, arguments)


def energy_around(band: Tensor) -> Tensor:
    """[1, H, W] of a band [C, H, W]."""
    height, width = band.shape[1:]
    along, out = torch.empty(height, width), torch.empty(1, height, width)
    with kernel_lock:
        _along(team(), height, band.detach().contiguous().numpy(), along.numpy())
        _down(team(), height, along.numpy(), out[0].numpy())
    return out
