"""Stage 2: splats to pixels, front to back: C = sum_i T_i alpha_i c_i, T_i = prod_{j<i} (1 - alpha_j); so depth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from macrosplat.render.camera import Plane
from macrosplat.render.constants import SPLAT
from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.render.rasterize"


def rasterize(
    splats: Tensor, extents: Tensor, width: int, height: int, plane: Plane | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Composite splats in the order of their depth.

    Args:
        splats: [N, 10], extents: [N, 2] as `project` makes them; or those of M views, with M in front.
        plane: of views in which each Gaussian has one depth, which then need not be sorted one by one.

    Returns:
        colour [H, W, 3] premultiplied, alpha [H, W], depth [H, W] (the alpha-weighted sum); M in front for M views.
    """
    shape = splats.shape[:-1]
    assert splats.ndim in (2, 3) and splats.shape[-1] == SPLAT, (
        f"splats has shape {tuple(splats.shape)}, expected (N, {SPLAT}) or (M, N, {SPLAT})"
    )
    assert extents.shape == (*shape, 2), f"extents has shape {tuple(extents.shape)}, expected {(*shape, 2)}"
    kernels = kernels_for(STAGE, splats)
    if not kernels.__name__.endswith("_reference"):
        return _Rasterize.apply(kernels, splats, extents, width, height, plane)  # type: ignore[return-value]
    if splats.ndim == 2:
        return kernels.rasterize(splats, extents, width, height)
    each = [kernels.rasterize(*view, width, height) for view in zip(splats, extents, strict=True)]
    return tuple(map(torch.stack, zip(*each, strict=True)))  # type: ignore[return-value]


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: Any, splats: Tensor, extents: Tensor, width: int, height: int, plane: Plane | None):
        # `bins` say which splats lie over which tile; the backward pass replays the same lists.
        colour, alpha, depth, bins = kernels.forward(splats, extents, width, height, plane)
        ctx.kernels, ctx.bins = kernels, bins
        ctx.save_for_backward(splats, colour, alpha, depth)
        return colour, alpha, depth

    @staticmethod
    def backward(ctx: Any, grad_colour: Tensor, grad_alpha: Tensor, grad_depth: Tensor):  # type: ignore[override]
        splats, *drawn = ctx.saved_tensors
        incoming = (grad_colour.contiguous(), grad_alpha.contiguous(), grad_depth.contiguous())
        return None, ctx.kernels.backward(splats, ctx.bins, *drawn, *incoming), None, None, None, None
