"""A render over its backdrop: opaque colour, and the expected depth, the mean of camera z along the ray."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from macrosplat.render import over_reference
from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.render.over"


def over(colour: Tensor, alpha: Tensor, depth: Tensor, backdrop: Tensor) -> tuple[Tensor, Tensor]:
    """Differentiable in all four.

    Args:
        colour: [H, W, 3] premultiplied, alpha: [H, W], depth: [H, W] alpha-weighted sum; or M of each, [M, ...].
        backdrop: [H, W, 3] or [3].

    Returns:
        colour [H, W, 3], expected depth [H, W] (meaningless where alpha is small), with M in front where there are M.
    """
    if colour.dtype == torch.float32 and backdrop.shape == colour.shape[-3:]:
        return _Over.apply(colour, alpha, depth, backdrop)  # type: ignore[return-value]
    return over_reference.over(colour, alpha, depth, backdrop)


class _Over(torch.autograd.Function):
    """One sweep each way over whole frames, where torch needs five and a dozen."""

    @staticmethod
    def forward(ctx: Any, colour: Tensor, alpha: Tensor, depth: Tensor, backdrop: Tensor):
        ctx.kernels = kernels_for(STAGE, colour)
        colour, alpha, depth, backdrop = (t.contiguous() for t in (colour, alpha, depth, backdrop))
        ctx.save_for_backward(alpha, depth, backdrop)
        return ctx.kernels.forward(colour, alpha, depth, backdrop)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_colour: Tensor, grad_depth: Tensor):  # type: ignore[override]
        alpha, depth, backdrop = ctx.saved_tensors
        grad_colour = grad_colour.contiguous()
        return grad_colour, *ctx.kernels.backward(alpha, depth, backdrop, grad_colour, grad_depth.contiguous())
