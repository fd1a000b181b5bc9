"""A render over its backdrop on a CPU: one sweep each way over M frames, row by row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from macrosplat.render.constants import ALPHA_LEAST
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

LEAST, ZERO, ONE = np.float32(ALPHA_LEAST), np.float32(0), np.float32(1)


@njit(part=True)
def _forward_some(begin, end, colour, alpha, depth, backdrop, out, expected):
    frames, _, width = alpha.shape
    for y in range(begin, end):
        for m in range(frames):
            for x in range(width):
                a = alpha[m, y, x]
                through = ONE - a
                for c in range(3):
                    out[m, y, x, c] = colour[m, y, x, c] + through * backdrop[y, x, c]
                expected[m, y, x] = depth[m, y, x] / max(a, LEAST)


@njit
def _forward(team, count, *arguments):
    spread(_forward_some, team, count, arguments)


@njit(part=True)
def _backward_some(
    begin, end, alpha, depth, backdrop, grad_colour, grad_expected, grad_alpha, grad_depth, grad_backdrop
):
    frames, _, width = alpha.shape
    for y in range(begin, end):
        grad_backdrop[y] = ZERO
        for m in range(frames):
            for x in range(width):
                a = alpha[m, y, x]
                inverse = ONE / max(a, LEAST)
                g = grad_expected[m, y, x] * inverse
                grad_depth[m, y, x] = g
                of_alpha = -g * depth[m, y, x] * inverse if a >= LEAST else ZERO
                for c in range(3):
                    of_alpha -= grad_colour[m, y, x, c] * backdrop[y, x, c]
                    grad_backdrop[y, x, c] += (ONE - a) * grad_colour[m, y, x, c]
                grad_alpha[m, y, x] = of_alpha


@njit
def _backward(team, count, *arguments):
    spread(_backward_some, team, count, arguments)


def _planes(frames: Tensor, backdrop: Tensor, *channels: int) -> np.ndarray:
    """[M, H, W, *channels] of however many frames."""
    return frames.detach().view(-1, *backdrop.shape[:2], *channels).numpy()


def forward(colour: Tensor, alpha: Tensor, depth: Tensor, backdrop: Tensor) -> tuple[Tensor, Tensor]:
    """Of frames [..., H, W, 3] over a backdrop [H, W, 3]."""
    out, expected = torch.empty_like(colour), torch.empty_like(alpha)
    with kernel_lock:
        _forward(
            team(), len(backdrop), _planes(colour, backdrop, 3), _planes(alpha, backdrop), _planes(depth, backdrop),
            backdrop.detach().numpy(), _planes(out, backdrop, 3), _planes(expected, backdrop),
        )  # fmt: skip
    return out, expected


def backward(
    alpha: Tensor, depth: Tensor, backdrop: Tensor, grad_colour: Tensor, grad_expected: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of alpha, depth and backdrop; that of colour is `grad_colour`."""
    found = torch.empty_like(alpha), torch.empty_like(depth), torch.empty_like(backdrop)
    with kernel_lock:
        _backward(
            team(), len(backdrop), _planes(alpha, backdrop), _planes(depth, backdrop), backdrop.detach().numpy(),
            _planes(grad_colour, backdrop, 3), _planes(grad_expected, backdrop),
            _planes(found[0], backdrop), _planes(found[1], backdrop), found[2].numpy(),
        )  # fmt: skip
    return found
