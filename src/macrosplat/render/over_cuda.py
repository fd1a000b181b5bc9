"""`over` on a GPU, pixel by pixel of the backdrop, through all frames over it."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from macrosplat.render.constants import ALPHA_LEAST

LEAST = tl.constexpr(ALPHA_LEAST)
BLOCK = 512  # px a program


@triton.jit
def _forward(colour, alpha, depth, backdrop, out, expected, pixels, frames, BLOCK: tl.constexpr):
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = p < pixels
    red = tl.load(backdrop + p * 3, mask=inside, other=0.0)
    green = tl.load(backdrop + p * 3 + 1, mask=inside, other=0.0)
    blue = tl.load(backdrop + p * 3 + 2, mask=inside, other=0.0)
    q = p.to(tl.int64)
    k = 0
    while k < frames:
        a = tl.load(alpha + q, mask=inside, other=0.0)
        through = 1.0 - a
        at = q * 3
        tl.store(out + at, tl.load(colour + at, mask=inside, other=0.0) + through * red, mask=inside)
        tl.store(out + at + 1, tl.load(colour + at + 1, mask=inside, other=0.0) + through * green, mask=inside)
        tl.store(out + at + 2, tl.load(colour + at + 2, mask=inside, other=0.0) + through * blue, mask=inside)
        z = tl.load(depth + q, mask=inside, other=0.0)
        tl.store(expected + q, z / tl.maximum(a, LEAST), mask=inside)
        q += pixels
        k += 1


@triton.jit
def _backward(
    alpha, depth, backdrop, grad_colour, grad_expected, grad_alpha, grad_depth, grad_backdrop, pixels, frames,
    BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = p < pixels
    red = tl.load(backdrop + p * 3, mask=inside, other=0.0)
    green = tl.load(backdrop + p * 3 + 1, mask=inside, other=0.0)
    blue = tl.load(backdrop + p * 3 + 2, mask=inside, other=0.0)
    grad_red, grad_green, grad_blue = tl.zeros_like(red), tl.zeros_like(red), tl.zeros_like(red)
    q = p.to(tl.int64)
    k = 0
    while k < frames:
        a = tl.load(alpha + q, mask=inside, other=0.0)
        inverse = 1.0 / tl.maximum(a, LEAST)
        g = tl.load(grad_expected + q, mask=inside, other=0.0) * inverse
        tl.store(grad_depth + q, g, mask=inside)
        r = tl.load(grad_colour + q * 3, mask=inside, other=0.0)
        v = tl.load(grad_colour + q * 3 + 1, mask=inside, other=0.0)
        b = tl.load(grad_colour + q * 3 + 2, mask=inside, other=0.0)
        grad_alpha_of_depth = tl.where(a >= LEAST, -g * tl.load(depth + q, mask=inside, other=0.0) * inverse, 0.0)
        tl.store(grad_alpha + q, grad_alpha_of_depth - r * red - v * green - b * blue, mask=inside)
        grad_red += (1.0 - a) * r
        grad_green += (1.0 - a) * v
        grad_blue += (1.0 - a) * b
        q += pixels
        k += 1
    tl.store(grad_backdrop + p * 3, grad_red, mask=inside)
    tl.store(grad_backdrop + p * 3 + 1, grad_green, mask=inside)
    tl.store(grad_backdrop + p * 3 + 2, grad_blue, mask=inside)


def forward(colour: Tensor, alpha: Tensor, depth: Tensor, backdrop: Tensor) -> tuple[Tensor, Tensor]:
    """Of frames [..., H, W, 3] over a backdrop [H, W, 3]."""
    out, expected, pixels = torch.empty_like(colour), torch.empty_like(alpha), backdrop.numel() // 3
    frames = alpha.numel() // pixels
    _forward[(triton.cdiv(pixels, BLOCK),)](colour, alpha, depth, backdrop, out, expected, pixels, frames, BLOCK=BLOCK)
    return out, expected


def backward(
    alpha: Tensor, depth: Tensor, backdrop: Tensor, grad_colour: Tensor, grad_expected: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of alpha, depth and backdrop; that of colour is `grad_colour`."""
    grad_alpha, grad_depth, grad_backdrop = torch.empty_like(alpha), torch.empty_like(alpha), torch.empty_like(backdrop)
    pixels = backdrop.numel() // 3
    _backward[(triton.cdiv(pixels, BLOCK),)](
        alpha, depth, backdrop, grad_colour, grad_expected, grad_alpha, grad_depth, grad_backdrop, pixels,
        alpha.numel() // pixels, BLOCK=BLOCK,
    )  # fmt: skip
    return grad_alpha, grad_depth, grad_backdrop
