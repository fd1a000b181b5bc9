"""`rasterize` on a GPU: a program per tile of pixels, each walking the tile's list front to back; bins in `bins_cuda`.

The backward pass replays the forward one front to back with two scalars per pixel, the transmittance T and the
gradient-weighted light still to come: d alpha_i = T_i (c_i . g) - rest_{i+1} / (1 - alpha_i). Each (tile, splat) pair
owns one row of gradients, summed per splat in a fixed order: no atomics, the bits repeat.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from macrosplat.render import composite_cuda, constants
from macrosplat.render.bins_cuda import Bins, bin_splats

SPLAT = tl.constexpr(constants.SPLAT)


WARPS = 1  # a program: a tile has two pixels for each of its threads
CHUNK = 16  # splats between two tests for the end of all light paths
SUM_BLOCK = 32  # splats a program when their rows are summed


@triton.jit(do_not_specialize=["n", "capacity"])
def _sum_rows(order, offsets, rows, g_splats, n, capacity, BLOCK: tl.constexpr):
    """Sum the gradient rows of each splat; those of one splat stand together, in the order of its tiles."""
    rank = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rank < n
    start = tl.load(offsets + rank, mask=inside, other=0)
    end = tl.minimum(tl.load(offsets + rank + 1, mask=inside, other=0), capacity)  # behind it they were dropped
    column = tl.arange(0, 16)[None, :]
    kept = column < SPLAT
    total = tl.zeros([BLOCK, 16], tl.float32)
    most = tl.max(end - start, 0)
    k = 0
    while k < most:
        row = start + k
        total += tl.load(rows + row[:, None] * SPLAT + column, mask=(row < end)[:, None] & kept, other=0.0)
        k += 1
    i = tl.load(order + rank, mask=inside, other=0)
    tl.store(g_splats + i[:, None] * SPLAT + column, total, mask=inside[:, None] & kept)


def forward(splats: Tensor, extents: Tensor, width: int, height: int):
    """-> colour [H, W, 3], alpha [H, W], depth [H, W], and the bins that `backward` replays."""
    splats, extents = splats.detach().contiguous(), extents.detach().contiguous()
    bins = bin_splats(splats, extents, width, height)
    colour = splats.new_empty(height, width, 3)
    alpha, depth = splats.new_empty(height, width), splats.new_empty(height, width)
    composite_cuda.forward_kernel[bins.stops.shape](
        splats, bins.items, bins.ranges, bins.stops, colour, alpha, depth, width, height,
        TILE=bins.tile, CHUNK=CHUNK, num_warps=WARPS,
    )  # fmt: skip
    return colour, alpha, depth, bins


def backward(splats: Tensor, bins: Bins, colour, alpha, depth, g_colour, g_alpha, g_depth) -> Tensor:
    """-> the gradient of splats [N, 10]."""
    height, width = alpha.shape
    n, capacity = splats.shape[0], bins.items.shape[0]
    splats = splats.detach().contiguous()
    # Zeros: no row is written for pairs behind a tile's last light.
    rows = splats.new_zeros(capacity, constants.SPLAT)
    composite_cuda.backward_kernel[bins.stops.shape](
        splats, bins.items, bins.slots, bins.ranges, bins.stops, colour, alpha, depth, g_colour, g_alpha, g_depth,
        rows, width, height, TILE=bins.tile, CHUNK=CHUNK, num_warps=WARPS,
    )  # fmt: skip
    g_splats = torch.empty_like(splats)
    blocks = (max(triton.cdiv(n, SUM_BLOCK), 1),)
    _sum_rows[blocks](bins.order, bins.offsets, rows, g_splats, n, capacity, BLOCK=SUM_BLOCK)
    return g_splats
