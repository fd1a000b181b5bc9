"""The camera of a photo that is learned, on a GPU: a launch each way.

torch would need a hundred launches, of a few numbers each. The definition stands in `Rig`; back, with the rotation
R = I + a K + b K^2 of a turn w, K its cross product, G the gradient of R, t its trace and p = (G21 - G12, G02 - G20,
G10 - G01):

    dw = a p + b (G w + G^T w - 2 t w) + w (a' p . w + b' (w . G w - t w . w)),    a' = da/d|w| / |w|, and so b'.
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

BLOCK = 256  # numbers at a time of what a photo has no part in


@triton.jit
def _rotation(w):
    """Rows of R, and a, b, a' and b'."""
    x, y, z = w
    square = x * x + y * y + z * z
    half = 0.5 * tl.sqrt(tl.maximum(square, 1e-14))
    sinc = tl.sin(half) / half
    a, b = sinc * tl.cos(half), 0.5 * sinc * sinc
    # Of small turns by their series: the differences cancel.
    few = square < 0.25
    safe = tl.where(few, 1.0, square)
    slope_a = tl.where(few, -1.0 / 3 + square * (1.0 / 30 - square / 840), (1 - b * square - a) / safe)
    slope_b = tl.where(few, -1.0 / 12 + square * (1.0 / 180 - square / 6720), (a - 2 * b) / safe)
    first = (1 + b * (x * x - square), b * x * y - a * z, b * x * z + a * y)
    second = (b * x * y + a * z, 1 + b * (y * y - square), b * y * z - a * x)
    third = (b * x * z - a * y, b * y * z + a * x, 1 + b * (z * z - square))
    return (first, second, third), a, b, slope_a, slope_b


@triton.jit
def _moved(table, moves, row):
    """A pose's three numbers; zeros where it stays."""
    m = tl.load(moves + row)
    return m * tl.load(table + 3 * row), m * tl.load(table + 3 * row + 1), m * tl.load(table + 3 * row + 2)


@triton.jit
def _shifted(view, shift, pixel, depth):
    """What is turned: the start's shift, with that of the photo, from the pivot."""
    x, y, z = shift
    return tl.load(view + 3) + x * pixel, tl.load(view + 7) + y * pixel, tl.load(view + 11) + z * pixel - depth


@triton.jit
def _factor(focal, breathing, relative, v, BREATHES: tl.constexpr):
    """f of a photo, and what it is multiplied by as the lens breathes."""
    zoom = 1.0
    if BREATHES:
        zoom += tl.load(breathing) * tl.load(relative + v)
    return tl.exp(tl.load(focal)) * zoom


@triton.jit
def _forward(
    turn, shift, focal, breathing, relative, views, start, sizes, depths, moves, leaders, photo, view, intrinsics,
    pixel, width, height, BREATHES: tl.constexpr,
):  # fmt: skip
    v = tl.load(photo)
    leader = tl.load(leaders + v)
    f = _factor(focal, breathing, relative, v, BREATHES)
    rows, _a, _b, _slope_a, _slope_b = _rotation(_moved(turn, moves, leader))
    views += 16 * v
    depth = tl.load(depths + v)
    q = _shifted(views, _moved(shift, moves, leader), pixel, depth)
    for k in tl.static_range(3):
        for c in tl.static_range(3):
            turned = rows[k][0] * tl.load(views + c) + rows[k][1] * tl.load(views + 4 + c)
            tl.store(view + 4 * k + c, turned + rows[k][2] * tl.load(views + 8 + c))
        moved = rows[k][0] * q[0] + rows[k][1] * q[1] + rows[k][2] * q[2]
        tl.store(view + 4 * k + 3, moved + (f * depth if k == 2 else 0.0))
    for c in tl.static_range(4):
        tl.store(view + 12 + c, tl.load(views + 12 + c))
        scale = (width if c % 2 == 0 else height) / tl.load(sizes + 4 * v + c)
        tl.store(intrinsics + c, tl.load(start + 4 * v + c) * scale * (f if c < 2 else 1.0))


@triton.jit(do_not_specialize=["photos"])
def _backward(
    turn, shift, focal, breathing, relative, views, start, sizes, depths, moves, leaders, photo, grad_view,
    grad_intrinsics, grad_turn, grad_shift, grad_focal, grad_breathing, pixel, width, height, photos,
    BREATHES: tl.constexpr, VIEW: tl.constexpr, INTRINSICS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    v = tl.load(photo)
    leader = tl.load(leaders + v)
    f = _factor(focal, breathing, relative, v, BREATHES)
    by_f, turn_x, turn_y, turn_z, shift_x, shift_y, shift_z = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if INTRINSICS:
        by_f += tl.load(grad_intrinsics) * tl.load(start + 4 * v) * (width / tl.load(sizes + 4 * v))
        by_f += tl.load(grad_intrinsics + 1) * tl.load(start + 4 * v + 1) * (height / tl.load(sizes + 4 * v + 1))
    if VIEW:
        views += 16 * v
        depth = tl.load(depths + v)
        w = _moved(turn, moves, leader)
        x, y, z = w
        rows, a, b, slope_a, slope_b = _rotation(w)
        r0, r1, r2 = rows
        q = _shifted(views, _moved(shift, moves, leader), pixel, depth)
        g0, g1, g2 = _by_row(grad_view, views, q), _by_row(grad_view + 4, views, q), _by_row(grad_view + 8, views, q)
        h0, h1, h2 = tl.load(grad_view + 3), tl.load(grad_view + 7), tl.load(grad_view + 11)
        by_f += h2 * depth
        shift_x = (r0[0] * h0 + r1[0] * h1 + r2[0] * h2) * pixel
        shift_y = (r0[1] * h0 + r1[1] * h1 + r2[1] * h2) * pixel
        shift_z = (r0[2] * h0 + r1[2] * h1 + r2[2] * h2) * pixel
        p0, p1, p2 = g2[1] - g1[2], g0[2] - g2[0], g1[0] - g0[1]
        trace = g0[0] + g1[1] + g2[2]
        # (G + G^T) w
        s0 = 2 * g0[0] * x + (g0[1] + g1[0]) * y + (g0[2] + g2[0]) * z
        s1 = (g0[1] + g1[0]) * x + 2 * g1[1] * y + (g1[2] + g2[1]) * z
        s2 = (g0[2] + g2[0]) * x + (g1[2] + g2[1]) * y + 2 * g2[2] * z
        along = slope_a * (p0 * x + p1 * y + p2 * z)
        along += slope_b * (0.5 * (s0 * x + s1 * y + s2 * z) - trace * (x * x + y * y + z * z)) - 2 * b * trace
        turn_x, turn_y, turn_z = a * p0 + b * s0 + along * x, a * p1 + b * s1 + along * y, a * p2 + b * s2 + along * z
    tl.store(grad_focal, by_f * f)
    if BREATHES:
        tl.store(grad_breathing, by_f * tl.exp(tl.load(focal)) * tl.load(relative + v))
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    own, c = tl.where(k // 3 == leader, tl.load(moves + leader), 0.0), k % 3
    turned = tl.where(c == 0, turn_x, tl.where(c == 1, turn_y, turn_z))
    moved = tl.where(c == 0, shift_x, tl.where(c == 1, shift_y, shift_z))
    tl.store(grad_turn + k, own * turned, mask=k < 3 * photos)
    tl.store(grad_shift + k, own * moved, mask=k < 3 * photos)


@triton.jit
def _by_row(gradient, views, q):
    """A row of the gradient of R."""
    a, b, c, d = tl.load(gradient), tl.load(gradient + 1), tl.load(gradient + 2), tl.load(gradient + 3)
    return (
        a * tl.load(views) + b * tl.load(views + 1) + c * tl.load(views + 2) + d * q[0],
        a * tl.load(views + 4) + b * tl.load(views + 5) + c * tl.load(views + 6) + d * q[1],
        a * tl.load(views + 8) + b * tl.load(views + 9) + c * tl.load(views + 10) + d * q[2],
    )


class Learned(torch.autograd.Function):
    """What is learned of V photos: turns, shifts [V, 3], ln of f, breathing []; what is known: magnifications [V] or
    None, views [V, 4, 4], intrinsics [V, 4], sizes [V, 4], depths of the pivots, what moves and leaders [V]; a photo
    [1]; scene units of a px, and the frame's width and height -> view [4, 4], intrinsics [4]."""

    @staticmethod
    def forward(ctx: Any, turn, shift, focal, breathing, relative, views, start, sizes, *poses_and_size):
        ctx.set_materialize_grads(False)
        (depths, moves, leaders, photo), size = poses_and_size[:4], poses_and_size[4:]
        view, intrinsics = views.new_empty(4, 4), views.new_empty(4)
        ctx.breathes, ctx.size = relative is not None, tuple(map(float, size))
        known = (depths if relative is None else relative, views, start, sizes, depths, moves, leaders, photo)
        known = tuple(t.contiguous() for t in known)
        learned = (turn.contiguous(), shift.contiguous(), focal, breathing)
        _forward[(1,)](*learned, *known, view, intrinsics, *ctx.size, BREATHES=ctx.breathes, num_warps=1)
        ctx.save_for_backward(*learned, *known)
        return view, intrinsics

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_view: Tensor | None, grad_intrinsics: Tensor | None):  # type: ignore[override]
        turn, shift, focal, breathing, *known = ctx.saved_tensors
        grads = [torch.empty_like(t) for t in (turn, shift, focal, breathing)]
        given = (turn if g is None else g.contiguous() for g in (grad_view, grad_intrinsics))
        _backward[(triton.cdiv(turn.numel(), BLOCK),)](
            turn, shift, focal, breathing, *known, *given, *grads, *ctx.size, len(turn), BREATHES=ctx.breathes,
            VIEW=grad_view is not None, INTRINSICS=grad_intrinsics is not None, BLOCK=BLOCK, num_warps=1,
        )  # fmt: skip
        if grad_view is None:
            grads[0] = grads[1] = None
        return *grads[:3], grads[3] if ctx.breathes else None, *(None,) * 11
