"""Where a camera stands: the point that an affine view maps to the camera's origin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from macrosplat.support.dispatch import on_gpu


def camera_centre(view: Tensor) -> Tensor:
    """The point [3] that an affine view [4, 4] maps to the camera's origin, or those [M, 3] of views [M, 4, 4];
    differentiable."""
    if on_gpu(view):
        return _Centre.apply(view)  # type: ignore[return-value]
    # Cramer's rule, as the kernel has it.
    x, y, z, shift = view[..., :3, :].unbind(-1)
    across = torch.linalg.cross(torch.stack([y, z, x], -2), torch.stack([z, x, y], -2))
    return -(across @ shift[..., None])[..., 0] / (across[..., 0, :] * x).sum(-1, keepdim=True)


class _Centre(torch.autograd.Function):
    """One launch each way, where torch needs thirty."""

    @staticmethod
    def forward(ctx: Any, view: Tensor) -> Tensor:
        from macrosplat.render import centre_cuda

        view = view.contiguous()
        ctx.save_for_backward(view)
        return centre_cuda.forward(view)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        from macrosplat.render import centre_cuda

        (view,) = ctx.saved_tensors
        return centre_cuda.backward(view, gradient.contiguous())
