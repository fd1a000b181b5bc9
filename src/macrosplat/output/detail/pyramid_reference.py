"""The steps of the pyramid in plain torch, on any device and in any dtype. Planes [C, H, W] as in `pyramid`."""

from __future__ import annotations

import torch
from torch import Tensor


def halved(plane: Tensor) -> Tensor:
    """[C, H, W] to [C, ceil(H / 2), ceil(W / 2)] by the taps 1 4 6 4 1 along each axis; samples stay where they are."""
    for axis in (1, 2):
        padded = _edges_repeated(plane, axis, 2)
        size = plane.shape[axis]
        count = (size + 1) // 2
        taps = [padded.narrow(axis, k, size).index_select(axis, _every_other(padded, count)) for k in range(5)]
        plane = taps[0].add_(taps[4]).add_(taps[1].add_(taps[3]), alpha=4).add_(taps[2], alpha=6).mul_(1 / 16)
    return plane


def doubled(plane: Tensor, height: int, width: int) -> Tensor:
    """[C, ceil(H / 2), ceil(W / 2)] back to [C, H, W], by the same taps between samples that are apart."""
    for axis, size in ((1, height), (2, width)):
        count = plane.shape[axis]
        assert count == (size + 1) // 2, f"{tuple(plane.shape)} does not double to {height} x {width}"
        padded = _edges_repeated(plane, axis, 1)
        before, here, after = (padded.narrow(axis, k, count) for k in range(3))
        shape = list(plane.shape)
        shape[axis] = 2 * count
        out = plane.new_empty(shape)
        split = out.unflatten(axis, (count, 2))
        torch.mul(here, 6, out=split.select(axis + 1, 0)).add_(before).add_(after).mul_(1 / 8)
        torch.add(here, after, out=split.select(axis + 1, 1)).mul_(1 / 2)
        plane = out.narrow(axis, 0, size)
    return plane


def add_doubled(base: Tensor, small: Tensor, factor: float) -> Tensor:
    """`base` [C, H, W] and so many times `small`, doubled."""
    return torch.add(base, doubled(small, *base.shape[1:]), alpha=factor)


def _edges_repeated(plane: Tensor, axis: int, by: int) -> Tensor:
    size = plane.shape[axis]
    at = torch.arange(-by, size + by, device=plane.device).clamp_(0, size - 1)
    return plane.index_select(axis, at)


def _every_other(plane: Tensor, count: int) -> Tensor:
    return torch.arange(count, device=plane.device) * 2
