"""`over` on a GPU, pixel by pixel."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from macrosplat.render import over as definition

LEAST = tl.constexpr(definition.ALPHA_LEAST)
BLOCK = 512  # px a program


@triton.jit
def _forward(colour, alpha, depth, backdrop, out, expected, pixels, BLOCK: tl.constexpr):
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = p < pixels
    a = tl.load(alpha + p, mask=inside, other=0.0)
    for c in tl.static_range(3):
        value = tl.load(colour + p * 3 + c, mask=inside, other=0.0)
        behind = tl.load(backdrop + p * 3 + c, mask=inside, other=0.0)
        tl.store(out + p * 3 + c, value + (1.0 - a) * behind, mask=inside)
    z = tl.load(depth + p, mask=inside, other=0.0)
    tl.store(expected + p, z / tl.maximum(a, LEAST), mask=inside)


@triton.jit
def _backward(
    alpha, depth, backdrop, by_colour, by_expected, by_alpha, by_depth, by_backdrop, pixels, BLOCK: tl.constexpr
):
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = p < pixels
    a = tl.load(alpha + p, mask=inside, other=0.0)
    held = 1.0 / tl.maximum(a, LEAST)
    g = tl.load(by_expected + p, mask=inside, other=0.0) * held
    tl.store(by_depth + p, g, mask=inside)
    total = tl.where(a >= LEAST, -g * tl.load(depth + p, mask=inside, other=0.0) * held, 0.0)
    for c in tl.static_range(3):
        by = tl.load(by_colour + p * 3 + c, mask=inside, other=0.0)
        total -= by * tl.load(backdrop + p * 3 + c, mask=inside, other=0.0)
        tl.store(by_backdrop + p * 3 + c, (1.0 - a) * by, mask=inside)
    tl.store(by_alpha + p, total, mask=inside)


def forward(colour: Tensor, alpha: Tensor, depth: Tensor, backdrop: Tensor) -> tuple[Tensor, Tensor]:
    out, expected, pixels = torch.empty_like(colour), torch.empty_like(alpha), alpha.numel()
    _forward[(triton.cdiv(pixels, BLOCK),)](colour, alpha, depth, backdrop, out, expected, pixels, BLOCK=BLOCK)
    return out, expected


def backward(
    alpha: Tensor, depth: Tensor, backdrop: Tensor, by_colour: Tensor, by_expected: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of alpha, depth and backdrop; that of colour is `by_colour`."""
    by_alpha, by_depth, by_backdrop = torch.empty_like(alpha), torch.empty_like(alpha), torch.empty_like(backdrop)
    pixels = alpha.numel()
    _backward[(triton.cdiv(pixels, BLOCK),)](
        alpha, depth, backdrop, by_colour, by_expected, by_alpha, by_depth, by_backdrop, pixels, BLOCK=BLOCK
    )
    return by_alpha, by_depth, by_backdrop
