"""`rasterize` on a GPU: a program per tile of pixels, each walking the tile's list front to back; bins in `bins_cuda`.

The backward pass replays the forward one front to back with two scalars per pixel, the transmittance T and the
gradient-weighted light still to come: d alpha_i = T_i (c_i . g) - rest_{i+1} / (1 - alpha_i). It begins in many places
of a list at once, where the forward pass left these two. Each (tile, splat) pair
owns one row of gradients, summed per splat in a fixed order: no atomics, the bits repeat.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from macrosplat.render import composite_cuda, constants
from macrosplat.render.bins_cuda import Bins, bin_splats, splats_of
from macrosplat.render.camera import Plane

SPLAT = tl.constexpr(constants.SPLAT)


FORTH = {"num_warps": 1}  # a tile has two pixels for each of a program's threads
BACK = {"num_warps": 1, "EXACT": True}
CHUNK = 16  # splats at a time: the rows of a tensor core's matrix
SUMS = {"BLOCK": 4, "ROWS": 8, "num_warps": 1}  # splats a program, and rows of each at a time, when these are summed
TOGETHER = tl.constexpr(32)  # rows of a splat that are summed so; of wide splats the rest comes one splat at a time


@triton.jit(do_not_specialize=["n", "ordered", "capacity"])
def _sum_rows(order, offsets, rows, grad_splats, n, ordered, capacity, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    """Sum the gradient rows of each splat; those of one splat stand together, in the order of its tiles."""
    rank = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rank < n
    start = tl.load(offsets + rank, mask=inside, other=0)
    end = tl.minimum(tl.load(offsets + rank + 1, mask=inside, other=0), capacity)  # behind it they were dropped
    i = splats_of(order, rank, inside, ordered)
    column = tl.arange(0, 16)
    kept = column < SPLAT
    total = tl.zeros([BLOCK, 16], tl.float32)
    most = tl.max(end - start, 0)
    k = 0
    while k < tl.minimum(most, TOGETHER):
        row = start[:, None] + (k + tl.arange(0, ROWS))[None, :]
        place = rows + row[:, :, None] * SPLAT + column[None, None, :]
        there = (row < end[:, None])[:, :, None] & kept[None, None, :]
        total += tl.sum(tl.load(place, mask=there, other=0.0), 1)
        k += ROWS
    if most > TOGETHER:
        for j in range(BLOCK):
            mine = tl.arange(0, BLOCK) == j
            at, last = tl.sum(tl.where(mine, start, 0), 0) + TOGETHER, tl.sum(tl.where(mine, end, 0), 0)
            more = tl.zeros([16], tl.float32)
            while at < last:
                row = at + tl.arange(0, TOGETHER)
                there = (row < last)[:, None] & kept[None, :]
                more += tl.sum(tl.load(rows + row[:, None] * SPLAT + column[None, :], mask=there, other=0.0), 0)
                at += TOGETHER
            total += tl.where(mine[:, None], more[None, :], 0.0)
    tl.store(grad_splats + i[:, None] * SPLAT + column[None, :], total, mask=inside[:, None] & kept[None, :])


def _frame(bins: Bins, width: int, height: int) -> tuple[int, int, int, int]:
    """Width, height, tiles of a row and tiles of a frame."""
    tiles_x = -(-width // bins.tile)
    return width, height, tiles_x, tiles_x * -(-height // bins.tile)


def forward(splats: Tensor, extents: Tensor, width: int, height: int, plane: Plane | None = None):
    """-> colour [..., H, W, 3], alpha [..., H, W], depth [..., H, W], and the bins that `backward` replays; the splats
    [..., N, 10] of several frames are drawn at once, and sorted once if they lie in one `plane`."""
    frames = splats.shape[:-2]
    table, reach = splats.detach().reshape(-1, constants.SPLAT), extents.detach().reshape(-1, 2)
    bins = bin_splats(table, reach, width, height, math.prod(frames), plane)
    colour = splats.new_empty(*frames, height, width, 3)
    alpha, depth = splats.new_empty(*frames, height, width), splats.new_empty(*frames, height, width)
    composite_cuda.forward_kernel[bins.stops.shape](
        table, bins.items, bins.ranges, bins.stops, colour, alpha, depth, bins.states, bins.owners,
        *_frame(bins, width, height), TILE=bins.tile, CHUNK=CHUNK, BUCKET=bins.bucket, **FORTH,
    )  # fmt: skip
    return colour, alpha, depth, bins


def backward(splats: Tensor, bins: Bins, colour, alpha, depth, grad_colour, grad_alpha, grad_depth) -> Tensor:
    """-> the gradient of splats [..., N, 10]."""
    height, width = alpha.shape[-2:]
    table = splats.detach().reshape(-1, constants.SPLAT)
    n, capacity = table.shape[0], bins.items.shape[0]
    rows = splats.new_empty(capacity, constants.SPLAT)  # those that belong to a pair are written
    lists = len(bins.stops)
    composite_cuda.backward_kernel[(lists + len(bins.owners),)](
        table, bins.items, bins.slots, bins.ranges, bins.stops, colour, alpha, depth,
        grad_colour, grad_alpha, grad_depth, rows, bins.states, bins.owners, *_frame(bins, width, height), lists,
        TILE=bins.tile, CHUNK=CHUNK, BUCKET=bins.bucket, **BACK,
    )  # fmt: skip
    grad_splats = torch.empty(splats.shape, dtype=splats.dtype, device=splats.device)
    blocks = (max(triton.cdiv(n, SUMS["BLOCK"]), 1),)
    ordered = max(bins.order.shape[0], 1)
    _sum_rows[blocks](bins.order, bins.offsets, rows, grad_splats, n, ordered, capacity, **SUMS)
    return grad_splats
