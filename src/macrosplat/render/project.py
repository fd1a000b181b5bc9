"""Stage 1: Gaussians to splats: mean, conic, opacity, colour and depth of every Gaussian as this camera sees it.

EWA splatting (Zwicker et al. 2001) with the pixel's footprint and opacity compensation of Mip-Splatting (Yu et al.
2024).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from macrosplat.render.camera import Camera, Frame
from macrosplat.render.centre import camera_centre
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.render.project"


def project(gaussians: Gaussians, camera: Camera, degree: int, centre: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Project N Gaussians; differentiable in all of their parameters, in the view and in the intrinsics.

    Args:
        degree: of the spherical harmonics in use.
        centre: [3] or [M, 3] from where colours are seen; by default where the camera stands.

    Returns:
        splats: [N, 10] columns as in `constants`: mean (px), conic (1/px^2), opacity, colour (linear), depth.
        extents: [N, 2] half width and height (px) within which alpha reaches 1/255; 0: nothing is drawn. No gradient.
        Of M cameras [M, N, 10] and [M, N, 2].
    """
    kernels = kernels_for(STAGE, gaussians.means)
    if camera.view.ndim == 3 and kernels.__name__.endswith("_reference"):  # takes one at a time
        seen_from = [None] * len(camera) if centre is None else list(centre)
        each = [project(gaussians, *one) for one in zip(camera.each(), [degree] * len(camera), seen_from, strict=True)]
        splats, extents = zip(*each, strict=True)
        return torch.stack(splats), torch.stack(extents)
    centre = camera_centre(camera.view) if centre is None else centre
    inputs = (*gaussians.tensors().values(), camera.view, centre, camera.intrinsics)
    if kernels.__name__.endswith("_reference"):
        return kernels.project(*inputs, camera.frame, degree)
    return _Project.apply(kernels, camera.frame, degree, *inputs)  # type: ignore[return-value]


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: Any, frame: Frame, degree: int, *inputs: Tensor):
        ctx.set_materialize_grads(False)  # or extents would get one
        splats, extents = kernels.forward(*inputs, frame, degree)
        ctx.kernels, ctx.frame, ctx.degree = kernels, frame, degree
        ctx.save_for_backward(*inputs, extents)
        ctx.mark_non_differentiable(extents)
        return splats, extents

    @staticmethod
    def backward(ctx: Any, grad_splats: Tensor, _: Any):  # type: ignore[override]
        *inputs, extents = ctx.saved_tensors
        given = (*inputs, ctx.frame, ctx.degree, extents, grad_splats.contiguous())
        *_, view, centre, intrinsics = ctx.needs_input_grad
        return (None, None, None, *ctx.kernels.backward(*given, views=view or centre, intrinsics=intrinsics))
