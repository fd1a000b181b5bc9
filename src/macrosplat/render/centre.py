"""Where a camera stands: the point that an affine view maps to the camera's origin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.render.centre"


def camera_centre(view: Tensor) -> Tensor:
    """The point [3] that an affine view [4, 4] maps to the camera's origin, or those [M, 3] of views [M, 4, 4];
    differentiable."""
    if view.dtype == torch.float32:
        return _Centre.apply(view)  # type: ignore[return-value]
    # Cramer's rule, as the kernels have it.
    x, y, z, shift = view[..., :3, :].unbind(-1)
    across = torch.linalg.cross(torch.stack([y, z, x], -2), torch.stack([z, x, y], -2))
    return -(across @ shift[..., None])[..., 0] / (across[..., 0, :] * x).sum(-1, keepdim=True)


class _Centre(torch.autograd.Function):
    """One call each way, where torch needs thirty."""

    @staticmethod
    def forward(ctx: Any, view: Tensor) -> Tensor:
        view = view.contiguous()
        ctx.kernels = kernels_for(STAGE, view)
        ctx.save_for_backward(view)
        return ctx.kernels.forward(view.detach())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (view,) = ctx.saved_tensors
        return ctx.kernels.backward(view.detach(), gradient.contiguous())
