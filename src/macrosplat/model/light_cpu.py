"""A photo's light on a CPU: its gain, its backdrop's grid, that grid over a frame, and the exposure of what is taken.

In torch a broadcast over three channels is slow, and the numbers of a photo take thirty operations. The definitions
stand in `Exposure`, `Backdrop` and `Model`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team


@njit(part=True)
def _expose_some(begin, end, light, gain, out):
    _, width, channels = light.shape
    for y in range(begin, end):
        for x in range(width):
            for c in range(3):
                out[y, x, c] = light[y, x, c] * gain[c]
            for c in range(3, channels):
                out[y, x, c] = light[y, x, c]


@njit
def _expose(team, count, *arguments):
    spread(_expose_some, team, count, arguments)


@njit(part=True)
def _expose_back_some(begin, end, light, gain, gradient, grad_light, sums):
    _, width, channels = light.shape
    for y in range(begin, end):
        r, g, b = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for x in range(width):
            r += gradient[y, x, 0] * light[y, x, 0]
            g += gradient[y, x, 1] * light[y, x, 1]
            b += gradient[y, x, 2] * light[y, x, 2]
            for c in range(3):
                grad_light[y, x, c] = gradient[y, x, c] * gain[c]
            for c in range(3, channels):
                grad_light[y, x, c] = gradient[y, x, c]
        sums[y, 0], sums[y, 1], sums[y, 2] = r, g, b


@njit
def _expose_back(team, count, *arguments):
    spread(_expose_back_some, team, count, arguments)


class Expose(torch.autograd.Function):
    """light [H, W, C], gain [3] -> their product [H, W, C]; channels beyond the third stay."""

    @staticmethod
    def forward(ctx: Any, light: Tensor, gain: Tensor) -> Tensor:
        light = light.contiguous()
        ctx.save_for_backward(light, gain)
        out = torch.empty_like(light)
        with kernel_lock:
            _expose(team(), len(light), light.detach().numpy(), gain.detach().numpy(), out.numpy())
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]
        light, gain = ctx.saved_tensors
        grad_light, sums = torch.empty_like(light), np.empty((len(light), 3), np.float32)
        given = light.detach().numpy(), gain.detach().numpy(), gradient.contiguous().numpy()
        with kernel_lock:
            _expose_back(team(), len(light), *given, grad_light.numpy(), sums)
        return grad_light, torch.from_numpy(sums.sum(0, dtype=np.float64).astype(np.float32))


class Own(torch.autograd.Function):
    """ln of the gains [V, 3], grids [V, 3, 4, 3], a photo and the leader of its pose -> the photo's gain [3], and its
    backdrop's grid [3, 4, 3] in the scene's light."""

    @staticmethod
    def forward(ctx: Any, log_gains: Tensor, grids: Tensor, photo: int, leader: int):
        logs = log_gains.detach().numpy().astype(np.float64)
        mean = logs.mean(0)
        gain, of_leader = np.exp(logs[photo] - mean), np.exp(logs[leader] - mean)
        grid = (grids.detach().numpy()[leader] / of_leader).astype(np.float32)
        ctx.known = photo, leader, gain, of_leader, grid, tuple(grids.shape)
        return torch.from_numpy(gain.astype(np.float32)), torch.from_numpy(grid)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_gain: Tensor, grad_grid: Tensor):  # type: ignore[override]
        photo, leader, gain, of_leader, grid, shape = ctx.known
        by_grid = grad_grid.numpy()
        pulls = grad_gain.numpy() * gain, -(by_grid * grid).sum((0, 1), dtype=np.float64)
        found = np.repeat(-(pulls[0] + pulls[1])[None] / shape[0], shape[0], 0)
        found[photo] += pulls[0]
        found[leader] += pulls[1]
        grids = np.zeros(shape, np.float32)
        grids[leader] = by_grid / of_leader
        return torch.from_numpy(found.astype(np.float32)), torch.from_numpy(grids), None, None
