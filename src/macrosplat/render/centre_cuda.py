"""`camera_centre` on a GPU: A c + t = 0 solved by Cramer's rule; back, u = A^-T g, dA = -u c^T, dt = -u."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _inverse(view):
    """Rows of A^-1 of a view's linear part A."""
    a, b, c = tl.load(view), tl.load(view + 1), tl.load(view + 2)
    d, e, f = tl.load(view + 4), tl.load(view + 5), tl.load(view + 6)
    g, h, i = tl.load(view + 8), tl.load(view + 9), tl.load(view + 10)
    p, q, r = e * i - f * h, f * g - d * i, d * h - e * g
    s = 1.0 / (a * p + b * q + c * r)
    first = (p * s, (c * h - b * i) * s, (b * f - c * e) * s)
    second = (q * s, (a * i - c * g) * s, (c * d - a * f) * s)
    third = (r * s, (b * g - a * h) * s, (a * e - b * d) * s)
    return first, second, third


@triton.jit
def _centre(view):
    x, y, z = _inverse(view)
    t, u, v = tl.load(view + 3), tl.load(view + 7), tl.load(view + 11)
    return (
        -(x[0] * t + x[1] * u + x[2] * v),
        -(y[0] * t + y[1] * u + y[2] * v),
        -(z[0] * t + z[1] * u + z[2] * v),
    )


@triton.jit
def _forward(view, centre):
    view, centre = view + 16 * tl.program_id(0), centre + 3 * tl.program_id(0)
    c = _centre(view)
    tl.store(centre, c[0])
    tl.store(centre + 1, c[1])
    tl.store(centre + 2, c[2])


@triton.jit
def _backward(view, gradient, grad_view):
    view, grad_view = view + 16 * tl.program_id(0), grad_view + 16 * tl.program_id(0)
    gradient += 3 * tl.program_id(0)
    x, y, z = _inverse(view)
    c = _centre(view)
    g, h, i = tl.load(gradient), tl.load(gradient + 1), tl.load(gradient + 2)
    for k in tl.static_range(3):
        u = -(x[k] * g + y[k] * h + z[k] * i)
        tl.store(grad_view + 4 * k, u * c[0])
        tl.store(grad_view + 4 * k + 1, u * c[1])
        tl.store(grad_view + 4 * k + 2, u * c[2])
        tl.store(grad_view + 4 * k + 3, u)
        tl.store(grad_view + 12 + k, 0.0 * u)
    tl.store(grad_view + 15, 0.0 * g)


def forward(view: Tensor) -> Tensor:
    """view [..., 4, 4] -> centre [..., 3]."""
    centre = view.new_empty(*view.shape[:-2], 3)
    _forward[(view.numel() // 16,)](view, centre, num_warps=1)
    return centre


def backward(view: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of the view [..., 4, 4]."""
    grad_view = torch.empty_like(view)
    _backward[(view.numel() // 16,)](view, gradient, grad_view, num_warps=1)
    return grad_view
