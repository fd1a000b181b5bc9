"""What a photo has of its own besides its camera, on a GPU: its gains and its backdrop in a launch each way, and the
light that the gains are put on.

torch would need fifty launches, of a few numbers each. The definitions stand in `exposure.py` and `Model.behind`.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from macrosplat.model.constants import GRID

KNOTS = tl.constexpr(3 * GRID[0] * GRID[1])  # numbers of a backdrop's grid
PADDED = tl.constexpr(64)
PHOTOS = 256  # at a time, of those whose mean is taken
BLOCK = 1024  # numbers a program
LIGHT = {"BLOCK": 4096, "num_warps": 8}  # numbers of a picture a program


@triton.jit
def _log_gain(log_gains, photo, of, photos, PHOTOS: tl.constexpr):
    """ln of a photo's gain, less the mean of all, of the channels `of` [K]."""
    total = tl.zeros_like(of).to(tl.float32)
    for c in tl.static_range(3):
        start = 0
        part = tl.zeros([PHOTOS], tl.float32)
        while start < photos:
            v = start + tl.arange(0, PHOTOS)
            part += tl.load(log_gains + v * 3 + c, mask=v < photos, other=0.0)
            start += PHOTOS
        total += tl.where(of == c, tl.sum(part, 0), 0.0)
    return tl.load(log_gains + photo * 3 + of) - total / photos


@triton.jit
def _own(log_gains, grids, photo, leader, gain, grid, photos, PADDED: tl.constexpr, PHOTOS: tl.constexpr):
    """The gain [3] of a photo, and the grid of its leader, which is kept in that one's own light, in the scene's."""
    k = tl.arange(0, PADDED)
    kept = k < KNOTS
    v, first = tl.load(photo), tl.load(leader)
    tl.store(gain + k, tl.exp(_log_gain(log_gains, v, k % 3, photos, PHOTOS)), mask=k < 3)
    own = tl.load(grids + first * KNOTS + k, mask=kept, other=0.0)
    tl.store(grid + k, own / tl.exp(_log_gain(log_gains, first, k % 3, photos, PHOTOS)), mask=kept)


@triton.jit
def _own_back(
    log_gains, photo, leader, gain, grid, grad_gain, grad_grid, grad_log_gains, grad_grids, photos,
    GAIN: tl.constexpr, BACKDROP: tl.constexpr, PADDED: tl.constexpr, PHOTOS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    v, first = tl.load(photo), tl.load(leader)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = i % 3
    inside = i < photos * 3
    # d ln of each photo's gain, and of the mean of all
    gradient = tl.zeros([BLOCK], tl.float32)
    if GAIN:
        pull = tl.load(grad_gain + c, mask=inside, other=0.0) * tl.load(gain + c, mask=inside, other=0.0)
        gradient += pull * (tl.where(i // 3 == v, 1.0, 0.0) - 1.0 / photos)
    if BACKDROP:
        k = tl.arange(0, PADDED)
        kept = k < KNOTS
        pull = tl.load(grad_grid + k, mask=kept, other=0.0) * tl.load(grid + k, mask=kept, other=0.0)
        share = tl.where(i // 3 == first, 1.0, 0.0) - 1.0 / photos
        for channel in tl.static_range(3):
            gradient -= tl.where(c == channel, tl.sum(tl.where(k % 3 == channel, pull, 0.0), 0) * share, 0.0)
        knot, inside_grid = i % KNOTS, i < photos * KNOTS
        own = inside_grid & (i // KNOTS == first)
        g = tl.load(grad_grid + knot, mask=own, other=0.0)
        g /= tl.exp(_log_gain(log_gains, first, knot % 3, photos, PHOTOS))
        tl.store(grad_grids + i, tl.where(own, g, 0.0), mask=inside_grid)
    tl.store(grad_log_gains + i, gradient, mask=inside)


@triton.jit(do_not_specialize=["size"])
def _expose(light, gain, out, size, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    c = (i % CHANNELS).to(tl.int32)
    value = tl.load(light + i, mask=i < size, other=0.0) * tl.load(gain + c, mask=c < 3, other=1.0)
    tl.store(out + i, value, mask=i < size)


@triton.jit(do_not_specialize=["size"])
def _expose_back(light, gain, gradient, grad_light, shares, size, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    c = (i % CHANNELS).to(tl.int32)
    g = tl.load(gradient + i, mask=i < size, other=0.0)
    tl.store(grad_light + i, g * tl.load(gain + c, mask=c < 3, other=1.0), mask=i < size)
    g *= tl.load(light + i, mask=i < size, other=0.0)
    for channel in tl.static_range(3):
        tl.store(shares + channel * tl.num_programs(0) + tl.program_id(0), tl.sum(tl.where(c == channel, g, 0.0), 0))


@triton.jit(do_not_specialize=["blocks"])
def _add_shares(shares, grad_gain, blocks, BLOCK: tl.constexpr):
    """The sum of a channel's shares [3, blocks]."""
    shares += tl.program_id(0) * blocks
    total = tl.zeros([BLOCK], tl.float32)
    start = 0
    while start < blocks:
        k = start + tl.arange(0, BLOCK)
        total += tl.load(shares + k, mask=k < blocks, other=0.0)
        start += BLOCK
    tl.store(grad_gain + tl.program_id(0), tl.sum(total, 0))


class Own(torch.autograd.Function):
    """ln of the gains [V, 3], grids [V, 3, 4, 3], a photo and the leader of its pose, [1] each on the device -> the
    photo's gain [3], and its backdrop's grid [3, 4, 3] in the scene's light."""

    @staticmethod
    def forward(ctx: Any, log_gains: Tensor, grids: Tensor, photo: Tensor, leader: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        log_gains, grids = log_gains.contiguous(), grids.contiguous()
        gain, grid = log_gains.new_empty(3), grids.new_empty(grids.shape[1:])
        _own[(1,)](log_gains, grids, photo, leader, gain, grid, len(log_gains), PADDED, PHOTOS)
        ctx.save_for_backward(log_gains, grids, photo, leader, gain, grid)
        return gain, grid

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_gain: Tensor | None, grad_grid: Tensor | None):  # type: ignore[override]
        log_gains, grids, photo, leader, gain, grid = ctx.saved_tensors
        grad_log_gains, photos = torch.empty_like(log_gains), len(log_gains)
        grad_grids = None if grad_grid is None else torch.empty_like(grids)
        _own_back[(triton.cdiv(grids.numel(), BLOCK),)](
            log_gains, photo, leader, gain, grid, gain if grad_gain is None else grad_gain.contiguous(),
            grid if grad_grid is None else grad_grid.contiguous(), grad_log_gains,
            grad_log_gains if grad_grids is None else grad_grids, photos,
            GAIN=grad_gain is not None, BACKDROP=grad_grid is not None, PADDED=PADDED, PHOTOS=PHOTOS, BLOCK=BLOCK,
        )  # fmt: skip
        return grad_log_gains, grad_grids, None, None


class Expose(torch.autograd.Function):
    """Light [H, W, C] times a gain [3]; a fourth channel is no colour."""

    @staticmethod
    def forward(ctx: Any, light: Tensor, gain: Tensor) -> Tensor:
        light, gain = light.contiguous(), gain.contiguous()
        out, size = torch.empty_like(light), light.numel()
        _expose[(triton.cdiv(size, LIGHT["BLOCK"]),)](light, gain, out, size, CHANNELS=light.shape[-1], **LIGHT)
        ctx.save_for_backward(light, gain)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]
        light, gain = ctx.saved_tensors
        grad_light, grad_gain, size = torch.empty_like(light), torch.empty_like(gain), light.numel()
        blocks = triton.cdiv(size, LIGHT["BLOCK"])
        shares = light.new_empty(3, blocks)
        _expose_back[(blocks,)](
            light, gain, gradient.contiguous(), grad_light, shares, size, CHANNELS=light.shape[-1], **LIGHT
        )
        _add_shares[(3,)](shares, grad_gain, blocks, BLOCK=1024)
        return grad_light, grad_gain
