"""Stage 1: Gaussians to splats: mean, conic, opacity, colour and depth of every Gaussian as this camera sees it.

EWA splatting (Zwicker et al. 2001) with the pixel's footprint and opacity compensation of Mip-Splatting (Yu et al.
2024).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from macrosplat.render.pinhole import Pinhole
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.render.project"


def project(gaussians: Gaussians, view: Tensor, centre: Tensor, pinhole: Pinhole, degree: int) -> tuple[Tensor, Tensor]:
    """Project N Gaussians.

    Args:
        view: [4, 4] affine, world to camera; or several, [M, 4, 4]. centre: [3] its centre, from which colours are
            seen, or [M, 3].
        degree: of the spherical harmonics in use.

    Returns:
        splats: [N, 10] columns as in `constants`: mean (px), conic (1/px^2), opacity, colour (linear), depth.
        extents: [N, 2] half width and height (px) within which alpha reaches 1/255; 0: nothing is drawn. No gradient.
        Of several views [M, N, 10] and [M, N, 2].
    """
    kernels = kernels_for(STAGE, gaussians.means)
    if view.ndim == 3 and not kernels.__name__.endswith("_cuda"):  # the others take one at a time
        each = [project(gaussians, *one, pinhole, degree) for one in zip(view, centre, strict=True)]
        splats, extents = zip(*each, strict=True)
        return torch.stack(splats), torch.stack(extents)
    tensors = tuple(gaussians.tensors().values())
    if kernels.__name__.endswith("_reference"):
        return kernels.project(*tensors, view, centre, pinhole, degree)
    return _Project.apply(kernels, pinhole, degree, *tensors, view, centre)  # type: ignore[return-value]


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: Any, pinhole: Pinhole, degree: int, *inputs: Tensor):
        splats, extents = kernels.forward(*inputs, pinhole, degree)
        ctx.kernels, ctx.pinhole, ctx.degree = kernels, pinhole, degree
        ctx.save_for_backward(*inputs, extents)
        ctx.mark_non_differentiable(extents)
        return splats, extents

    @staticmethod
    def backward(ctx: Any, g_splats: Tensor, _: Any):  # type: ignore[override]
        *inputs, extents = ctx.saved_tensors
        given = (*inputs, ctx.pinhole, ctx.degree, extents, g_splats.contiguous())
        gradients = ctx.kernels.backward(*given, views=any(ctx.needs_input_grad[-2:]))
        return (None, None, None, *gradients)
