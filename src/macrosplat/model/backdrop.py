"""The backdrop: what is seen where the scene ends, a smooth colour field per photo in linear light.

It is composited before the blur: light from the backdrop is out of focus like any other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from macrosplat.model.constants import GRID
from macrosplat.support.dispatch import on_gpu, select_row


class Backdrop:
    """A [3, 4] grid of colours per photo, interpolated bilinearly from edge to edge of the frame."""

    def __init__(self, grids: Tensor) -> None:
        assert grids.ndim == 4 and grids.shape[1:] == (*GRID, 3), f"grids has shape {tuple(grids.shape)}"
        self.grids = grids  # [V, 3, 4, 3] linear light
        self._weights: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def at(self, photo: int | Tensor, width: int, height: int) -> Tensor:
        """[H, W, 3] behind one photo (a number, or [1] on the device)."""
        return self.spread(select_row(self.grids, photo), width, height)

    def mean(self, width: int, height: int) -> Tensor:
        """[H, W, 3] behind a view that is no photo's."""
        return self.spread(self.grids.mean(0), width, height)

    def spread(self, grid: Tensor, width: int, height: int) -> Tensor:
        """One grid [3, 4, 3] over a frame: [H, W, 3]."""
        if on_gpu(grid):
            return _Spread.apply(grid, width, height)  # type: ignore[return-value]
        if (width, height) not in self._weights:
            self._weights[width, height] = (
                _linear(height, GRID[0]).to(grid),
                _linear(width, GRID[1]).to(grid),
            )
        rows, columns = self._weights[width, height]
        # Along rows first: of all three at once torch would make [H, 3, W, 4].
        lines = torch.einsum("wc,rcx->rwx", columns, grid.clamp_min(0))
        return (rows @ lines.flatten(1)).view(height, width, 3)


class _Spread(torch.autograd.Function):
    """A launch forward and two back, where torch needs twelve."""

    @staticmethod
    def forward(ctx: Any, grid: Tensor, width: int, height: int) -> Tensor:
        from macrosplat.model import backdrop_cuda

        grid = grid.contiguous()
        ctx.save_for_backward(grid)
        return backdrop_cuda.forward(grid.detach(), width, height)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]
        from macrosplat.model import backdrop_cuda

        (grid,) = ctx.saved_tensors
        return backdrop_cuda.backward(grid, gradient.contiguous()), None, None


def grid_of(photo: Tensor) -> Tensor:
    """[3, 4, 3] what a backdrop starts from: the mean of a photo [H, W, 3], linear light, in each cell of the grid."""
    return torch.nn.functional.adaptive_avg_pool2d(photo.permute(2, 0, 1), GRID).permute(1, 2, 0)


def _linear(n: int, knots: int) -> Tensor:
    """[n, knots] weights of linear interpolation at n pixel centres between knots from edge to edge."""
    position = (torch.arange(n) + 0.5) / n * (knots - 1)
    return (1 - (position[:, None] - torch.arange(knots)).abs()).clamp_min(0)
