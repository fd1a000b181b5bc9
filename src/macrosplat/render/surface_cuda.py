"""Which splat takes a ray's light, on a GPU: a program per tile of pixels, walking the tile's list front to back."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from macrosplat.render import constants
from macrosplat.render.bins_cuda import bin_splats
from macrosplat.render.composite_cuda import LOG2E
from macrosplat.render.surface_reference import densest as densest

ALPHA_MIN, ALPHA_MAX = tl.constexpr(constants.ALPHA_MIN), tl.constexpr(constants.ALPHA_MAX)
SPLAT = tl.constexpr(constants.SPLAT)


def takers(splats: Tensor, extents: Tensor, width: int, height: int, left: float) -> Tensor:
    """[H, W] int32: the splat behind which no more than `left` of a pixel's light is left; -1 where more is."""
    bins = bin_splats(splats, extents, width, height)
    out = torch.empty(height, width, dtype=torch.int32, device=splats.device)
    _takers[bins.stops.shape](
        splats, bins.items, bins.ranges, out, left, width, height, -(-width // bins.tile), TILE=bins.tile, num_warps=2
    )
    return out


@triton.jit(do_not_specialize=["width", "height", "tiles_x", "left"])
def _takers(splats, items, ranges, out, left, width, height, tiles_x, TILE: tl.constexpr):
    tile = tl.program_id(0)
    k = tl.arange(0, TILE * TILE)
    px, py = (tile % tiles_x) * TILE + k % TILE, (tile // tiles_x) * TILE + k // TILE
    inside = (px < width) & (py < height)
    x, y = px.to(tl.float32) + 0.5, py.to(tl.float32) + 0.5
    through = tl.where(inside, 1.0, 0.0)
    taker = tl.full([TILE * TILE], -1, tl.int32)
    position, end = tl.load(ranges + tile), tl.load(ranges + tile + 1)
    while position < end:
        i = tl.load(items + position)
        row = splats + i.to(tl.int64) * SPLAT
        dx, dy = x - tl.load(row), y - tl.load(row + 1)
        power = -0.5 * (tl.load(row + 2) * dx * dx + tl.load(row + 4) * dy * dy) - tl.load(row + 3) * dx * dy
        alpha = tl.minimum(tl.load(row + 5) * tl.exp2(power * LOG2E), ALPHA_MAX)
        after = through * (1 - tl.where(alpha >= ALPHA_MIN, alpha, 0.0))
        taker = tl.where((through > left) & (after <= left), i, taker)
        through = after
        position = tl.where(tl.max(through, 0) > left, position + 1, end)
    tl.store(out + py * width + px, taker, mask=inside)
