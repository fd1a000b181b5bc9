"""Where aperture samples lie and how a camera looks from there, on a GPU: a launch each way.

torch would need fifty launches, of a few numbers each. The definitions stand in `aperture.py` and `blades.py`.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor


@cache
def _on(device: torch.device, rows: tuple[int, ...]) -> Tensor:
    """Numbers of samples on the device; asked for first by a step that is not recorded."""
    return torch.tensor(rows, dtype=torch.int32, device=device)


@triton.jit
def _rim(at, blades):
    """As `blades.rim`."""
    half, turned, straight = 3.141592653589793 / tl.load(blades), tl.load(blades + 1), tl.load(blades + 2)
    middle = turned + 2 * half * tl.floor((at - turned) / (2 * half) + 0.5)
    along = at - middle
    sine, cosine = tl.sin(half), tl.cos(half)
    near = cosine * tl.sqrt(3.0 / (2.0 + tl.cos(2 * half)))
    slope = sine / (cosine * half)
    out = tl.cos(along) + straight * (near - tl.cos(along))
    side = tl.sin(along) + straight * (near * slope * along - tl.sin(along))
    both = near / half * (sine + slope * (sine - half * cosine))
    square = straight * straight + (1 - straight) * (1 - straight) + 2 * straight * (1 - straight) * both
    out, side = out / tl.sqrt(square), side / tl.sqrt(square)
    return out * tl.cos(middle) - side * tl.sin(middle), out * tl.sin(middle) + side * tl.cos(middle)


@triton.jit
def _places(rows, angle, j, there, on_ring, radius, turn, blades, BLADED: tl.constexpr):
    """Samples in the pupil's radius. What is not on the ring is its centre."""
    k = tl.load(rows + j, mask=there, other=0)
    at = tl.load(angle) + (k - on_ring).to(tl.float32) * turn
    reach = tl.where(k >= on_ring, radius, 0.0)
    if BLADED:
        x, y = _rim(at, blades)
    else:
        x, y = tl.cos(at), tl.sin(at)
    return reach * x, reach * y


@triton.jit(do_not_specialize=["count", "on_ring"])
def _forward(
    view, pupil, focus, angle, rows, blades, u, v, views, count, on_ring, radius, turn,
    BLADED: tl.constexpr, PADDED: tl.constexpr,
):  # fmt: skip
    j, c = tl.arange(0, PADDED), tl.arange(0, 4)[None, :]
    there = j < count
    x, y = _places(rows, angle, j, there, on_ring, radius, turn, blades, BLADED)
    half, near = 0.5 * tl.load(pupil), 1.0 / tl.load(focus)
    x, y = half * x, half * y
    tl.store(u + j, x, mask=there)
    tl.store(v + j, y, mask=there)
    third, fourth = tl.load(view + 8 + c), tl.load(view + 12 + c)
    lever = near * third - fourth
    out, kept = views + 16 * j[:, None] + c, there[:, None]
    tl.store(out, tl.load(view + c) + x[:, None] * lever, mask=kept)
    tl.store(out + 4, tl.load(view + 4 + c) + y[:, None] * lever, mask=kept)
    tl.store(out + 8, tl.broadcast_to(third, [PADDED, 4]), mask=kept)
    tl.store(out + 12, tl.broadcast_to(fourth, [PADDED, 4]), mask=kept)


@triton.jit(do_not_specialize=["count", "on_ring"])
def _backward(
    view, pupil, focus, angle, rows, blades, grad_u, grad_v, grad_views, grad_view, grad_pupil, grad_focus,
    count, on_ring, radius, turn, BLADED: tl.constexpr, PLACES: tl.constexpr, VIEWS: tl.constexpr, PADDED: tl.constexpr,
):  # fmt: skip
    j, c = tl.arange(0, PADDED), tl.arange(0, 4)
    there = j < count
    x, y = _places(rows, angle, j, there, on_ring, radius, turn, blades, BLADED)
    half, near = 0.5 * tl.load(pupil), 1.0 / tl.load(focus)
    by_u, by_v = tl.zeros([PADDED], tl.float32), tl.zeros([PADDED], tl.float32)
    if PLACES:
        by_u += tl.load(grad_u + j, mask=there, other=0.0)
        by_v += tl.load(grad_v + j, mask=there, other=0.0)
    if VIEWS:
        given, kept = grad_views + 16 * j[:, None] + c[None, :], there[:, None]
        first, second = tl.load(given, mask=kept, other=0.0), tl.load(given + 4, mask=kept, other=0.0)
        third, fourth = tl.load(view + 8 + c), tl.load(view + 12 + c)
        lever = near * third - fourth
        by_u += tl.sum(first * lever[None, :], 1)
        by_v += tl.sum(second * lever[None, :], 1)
        pull = tl.sum(half * (x[:, None] * first + y[:, None] * second), 0)
        tl.store(grad_view + c, tl.sum(first, 0))
        tl.store(grad_view + 4 + c, tl.sum(second, 0))
        tl.store(grad_view + 8 + c, tl.sum(tl.load(given + 8, mask=kept, other=0.0), 0) + near * pull)
        tl.store(grad_view + 12 + c, tl.sum(tl.load(given + 12, mask=kept, other=0.0), 0) - pull)
        tl.store(grad_focus, -near * near * tl.sum(pull * third, 0))
    tl.store(grad_pupil, 0.5 * tl.sum(x * by_u + y * by_v, 0))


class Apertures(torch.autograd.Function):
    """A view [4, 4], pupil and focus [], and the ring's angle []; which of the samples, how many of all are not on the
    ring, its radius in the pupil's and the turn from one to the next; the `blades` [3], without gradient, None: it is
    round -> u, v [M] and the views [M, 4, 4] from there."""

    @staticmethod
    def forward(
        ctx: Any, view, pupil, focus, angle, rows, on_ring, radius, turn, blades=None
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        view, listed, count = view.contiguous(), _on(view.device, tuple(rows)), len(rows)
        u, v, views = view.new_empty(count), view.new_empty(count), view.new_empty(count, 4, 4)
        ctx.numbers, ctx.padded = (count, on_ring, radius, turn), triton.next_power_of_2(count)
        ctx.bladed, blades = blades is not None, angle if blades is None else blades.contiguous()
        _forward[(1,)](
            view, pupil, focus, angle, listed, blades, u, v, views, *ctx.numbers,
            BLADED=ctx.bladed, PADDED=ctx.padded, num_warps=1,
        )  # fmt: skip
        ctx.save_for_backward(view, pupil, focus, angle, listed, blades)
        return u, v, views

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_u, grad_v, grad_views):  # type: ignore[override]
        view, pupil, focus, angle, listed, blades = ctx.saved_tensors
        grad_view, grad_pupil, grad_focus = (torch.empty_like(t) for t in (view, pupil, focus))
        if (grad_u is None) != (grad_v is None):
            like = view.new_zeros(len(listed))
            grad_u, grad_v = (like if g is None else g for g in (grad_u, grad_v))
        places, views = grad_u is not None, grad_views is not None
        given = (g.contiguous() if g is not None else view for g in (grad_u, grad_v, grad_views))
        _backward[(1,)](
            view, pupil, focus, angle, listed, blades, *given, grad_view, grad_pupil, grad_focus, *ctx.numbers,
            BLADED=ctx.bladed, PLACES=places, VIEWS=views, PADDED=ctx.padded, num_warps=1,
        )  # fmt: skip
        of_views = (grad_view, grad_focus) if views else (None, None)
        return of_views[0], grad_pupil, of_views[1], *(None,) * 6
