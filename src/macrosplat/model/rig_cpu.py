"""The camera of a photo that is learned, on a CPU: a call each way, where torch has a hundred operations of a few
numbers each. The definition stands in `Rig`, how its gradients are found in `rig_cuda`; here all in double precision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from macrosplat.support.numba import kernel_lock, njit


@njit(inner=True)
def _rotation(w, rows):
    """Into rows [3, 3]: R of a turn [3]; returns a, b and their slopes a', b' over |w|, by |w|."""
    square = w[0] * w[0] + w[1] * w[1] + w[2] * w[2]
    half = 0.5 * math.sqrt(max(square, 1e-14))
    sinc = math.sin(half) / half
    a, b = sinc * math.cos(half), 0.5 * sinc * sinc
    # Of small turns by their series: the differences cancel.
    if square < 1e-2:
        slope_a = -1.0 / 3 + square * (1.0 / 30 - square * (1.0 / 840 - square / 45360))
        slope_b = -1.0 / 12 + square * (1.0 / 180 - square * (1.0 / 6720 - square / 453600))
    else:
        slope_a, slope_b = (1 - b * square - a) / square, (a - 2 * b) / square
    for i in range(3):
        for j in range(3):
            rows[i, j] = b * w[i] * w[j]
        rows[i, i] += 1 - b * square
    rows[0, 1] -= a * w[2]
    rows[0, 2] += a * w[1]
    rows[1, 0] += a * w[2]
    rows[1, 2] -= a * w[0]
    rows[2, 0] -= a * w[1]
    rows[2, 1] += a * w[0]
    return a, b, slope_a, slope_b


@njit(inner=True)
def _pose(turn, shift, view, depth, moves, leader, pixel, w, rows, q):
    """The turn, its matrix, and what it turns: the start's shift, with that of the photo, from the pivot."""
    for k in range(3):
        w[k] = moves[leader] * turn[leader, k]
        q[k] = view[k, 3] + moves[leader] * shift[leader, k] * pixel
    q[2] -= depth
    return _rotation(w, rows)


@njit
def _forward(turn, shift, focal, zoom, view, start, sizes, depth, moves, leader, pixel, width, height, made, numbers):
    w, rows, q = np.empty(3), np.empty((3, 3)), np.empty(3)
    _pose(turn, shift, view, depth, moves, leader, pixel, w, rows, q)
    f = math.exp(focal) * zoom
    for i in range(3):
        moved = f * depth if i == 2 else 0.0
        for j in range(3):
            made[i, j] = rows[i, 0] * view[0, j] + rows[i, 1] * view[1, j] + rows[i, 2] * view[2, j]
            moved += rows[i, j] * q[j]
        made[i, 3] = moved
    made[3] = view[3]
    for c in range(4):
        numbers[c] = start[c] * ((width if c % 2 == 0 else height) / sizes[c]) * (f if c < 2 else 1.0)


@njit
def _backward(
    turn, shift, focal, zoom, view, start, sizes, depth, moves, leader, pixel, width, height, by_view, by_numbers,
    grad_turn, grad_shift,
):  # fmt: skip
    """Returns the gradients of ln f and of the zoom."""
    w, rows, q, g, s = np.empty(3), np.empty((3, 3)), np.empty(3), np.empty((3, 3)), np.empty(3)
    a, b, slope_a, slope_b = _pose(turn, shift, view, depth, moves, leader, pixel, w, rows, q)
    by_f = by_numbers[0] * start[0] * (width / sizes[0]) + by_numbers[1] * start[1] * (height / sizes[1])
    by_f += by_view[2, 3] * depth
    for i in range(3):
        for j in range(3):
            g[i, j] = by_view[i, 3] * q[j]
            for k in range(3):
                g[i, j] += by_view[i, k] * view[j, k]
    trace = g[0, 0] + g[1, 1] + g[2, 2]
    along, around, square = 0.0, 0.0, 0.0
    p = (g[2, 1] - g[1, 2], g[0, 2] - g[2, 0], g[1, 0] - g[0, 1])
    for i in range(3):
        s[i] = 0.0
        for j in range(3):
            s[i] += (g[i, j] + g[j, i]) * w[j]
        along += p[i] * w[i]
        around += 0.5 * s[i] * w[i]
        square += w[i] * w[i]
    of_turn = slope_a * along + slope_b * (around - trace * square) - 2 * b * trace
    for i in range(3):
        grad_turn[leader, i] = moves[leader] * (a * p[i] + b * s[i] + of_turn * w[i])
        moved = rows[0, i] * by_view[0, 3] + rows[1, i] * by_view[1, 3] + rows[2, i] * by_view[2, 3]
        grad_shift[leader, i] = moves[leader] * moved * pixel
    f = math.exp(focal)
    return by_f * f * zoom, by_f * f


class Learned(torch.autograd.Function):
    """What is learned of V photos: turns, shifts [V, 3], ln of f, breathing []; what is known: magnifications [V] or
    None, views [V, 4, 4], intrinsics [V, 4], sizes [V, 4], depths of the pivots, what moves [V]; a photo's
    leader, and itself; scene units of a px, and the frame's width and height -> view [4, 4], intrinsics [4]."""

    @staticmethod
    def forward(ctx: Any, turn, shift, focal, breathing, relative, views, start, sizes, depths, moves, *which):
        leader, photo, *size = which
        ctx.relative = None if relative is None else float(relative[photo])
        zoom = 1.0 if ctx.relative is None else 1.0 + float(breathing) * ctx.relative
        numbers = (t.numpy() for t in (views[photo], start[photo], sizes[photo]))
        known = turn.detach().numpy(), shift.detach().numpy(), float(focal), zoom, *numbers
        ctx.known = *known, float(depths[photo]), moves.numpy(), leader, *map(float, size)
        view, intrinsics = np.empty((4, 4), np.float32), np.empty(4, np.float32)
        with kernel_lock:
            _forward(*ctx.known, view, intrinsics)
        return torch.from_numpy(view), torch.from_numpy(intrinsics)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_view: Tensor, grad_intrinsics: Tensor):  # type: ignore[override]
        grad_turn, grad_shift = np.zeros_like(ctx.known[0]), np.zeros_like(ctx.known[1])
        given = grad_view.contiguous().numpy(), grad_intrinsics.contiguous().numpy()
        with kernel_lock:
            by_focal, by_zoom = _backward(*ctx.known, *given, grad_turn, grad_shift)
        breathing = None if ctx.relative is None else grad_view.new_tensor(by_zoom * ctx.relative)
        grads = torch.from_numpy(grad_turn), torch.from_numpy(grad_shift), grad_view.new_tensor(by_focal)
        return *grads, breathing, *(None,) * 11
