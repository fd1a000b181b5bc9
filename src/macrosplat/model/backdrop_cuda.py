"""`Backdrop.spread` on a GPU: pixel by pixel, and back in two launches, sums per block and then over the blocks."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from macrosplat.model.constants import GRID

ROWS, COLUMNS = tl.constexpr(GRID[0]), tl.constexpr(GRID[1])
KNOTS = tl.constexpr(3 * GRID[0] * GRID[1])  # numbers of a grid
PADDED = tl.constexpr(64)
BLOCK = 1024  # px a program


@triton.jit
def _place(pixels, width, height, BLOCK: tl.constexpr):
    """This program's pixels, and where they lie between the grid's rows and columns."""
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = ((p // width).to(tl.float32) + 0.5) / height * (ROWS - 1)
    column = ((p % width).to(tl.float32) + 0.5) / width * (COLUMNS - 1)
    return p, p < pixels, row, column


@triton.jit
def _weight(position, knot):
    return tl.maximum(1.0 - tl.abs(position - knot), 0.0)


@triton.jit(do_not_specialize=["width", "height"])
def _forward(grid, out, pixels, width, height, BLOCK: tl.constexpr):
    p, inside, row, column = _place(pixels, width, height, BLOCK)
    for c in tl.static_range(3):
        total = tl.zeros([BLOCK], tl.float32)
        for r in tl.static_range(ROWS):
            along = tl.zeros([BLOCK], tl.float32)
            for k in tl.static_range(COLUMNS):
                along += _weight(column, k) * tl.maximum(tl.load(grid + (r * COLUMNS + k) * 3 + c), 0.0)
            total += _weight(row, r) * along
        tl.store(out + p * 3 + c, total, mask=inside)


@triton.jit(do_not_specialize=["width", "height"])
def _backward(gradient, shares, pixels, width, height, BLOCK: tl.constexpr):
    p, inside, row, column = _place(pixels, width, height, BLOCK)
    share = shares + tl.program_id(0) * PADDED
    for c in tl.static_range(3):
        g = tl.load(gradient + p * 3 + c, mask=inside, other=0.0)
        for k in tl.static_range(COLUMNS):
            along = g * _weight(column, k)
            for r in tl.static_range(ROWS):
                tl.store(share + (r * COLUMNS + k) * 3 + c, tl.sum(along * _weight(row, r), 0))


@triton.jit(do_not_specialize=["blocks"])
def _add_shares(shares, grid, grad_grid, blocks, BLOCK: tl.constexpr):
    """The gradients of the grid; what is clamped at black has none."""
    column, rows = tl.arange(0, PADDED), tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK, PADDED], tl.float32)
    start = 0
    while start < blocks:
        row = start + rows
        mask = (row < blocks)[:, None] & (column < KNOTS)[None, :]
        total += tl.load(shares + row[:, None] * PADDED + column[None, :], mask=mask, other=0.0)
        start += BLOCK
    lit = tl.load(grid + column, mask=column < KNOTS, other=0.0) >= 0
    tl.store(grad_grid + column, tl.where(lit, tl.sum(total, 0), 0.0), mask=column < KNOTS)


def forward(grid: Tensor, width: int, height: int) -> Tensor:
    """A grid [3, 4, 3] -> [H, W, 3]."""
    out, pixels = grid.new_empty(height, width, 3), width * height
    _forward[(triton.cdiv(pixels, BLOCK),)](grid, out, pixels, width, height, BLOCK=BLOCK)
    return out


def backward(grid: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of the grid."""
    height, width = gradient.shape[:2]
    blocks = triton.cdiv(width * height, BLOCK)
    shares, grad_grid = grid.new_empty(blocks, PADDED.value), torch.empty_like(grid)
    _backward[(blocks,)](gradient, shares, width * height, width, height, BLOCK=BLOCK)
    _add_shares[(1,)](shares, grid, grad_grid, blocks, BLOCK=256, num_warps=16)
    return grad_grid
