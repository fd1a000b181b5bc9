"""Depth to blur: the thin lens' circle of confusion, as the sigma of a Gaussian.

In: depth (camera z, scene units) and alpha of a render, the lens. Out: sigma [H, W] in px of this frame, or one for
each channel, where colours have foci of their own. The formula, and what the backdrop does, stand in
`coc_reference.py`.
"""

from __future__ import annotations

import torch

from macrosplat.lens import coc_reference
from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.lens.coc"


class _Defocus(torch.autograd.Function):
    @staticmethod
    def forward(ctx, depth, weight, fx, pupil, focus, sigma0, colours):
        ctx.kernels = kernels_for(STAGE, depth)
        sigma, saved = ctx.kernels.forward(depth, weight, fx, pupil, focus, sigma0, colours)
        ctx.coloured = colours is not None
        lens = [fx, pupil, focus, sigma0] + ([colours] if ctx.coloured else [])
        ctx.save_for_backward(weight, *lens, sigma, *saved)
        return sigma

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # type: ignore[override]
        weight, fx, pupil, focus, sigma0, *rest = ctx.saved_tensors
        colours, *saved = rest if ctx.coloured else (None, *rest)
        numbers = weight, fx, pupil, focus, sigma0, colours
        grad_depth, grad_lens, grad_colours = ctx.kernels.backward(gradient, *numbers, *saved)
        return grad_depth, None, *grad_lens, grad_colours


def defocus(
    depth: torch.Tensor,  # [H, W], or [M, H, W] for M frames: camera z, scene units; only read where weight >= 0.5
    weight: torch.Tensor,  # likewise, alpha of the render; no gradient
    fx: torch.Tensor,  # [] px, focal length of this frame
    pupil: torch.Tensor,  # [] scene units, diameter of the entrance pupil
    focus: torch.Tensor,  # [] scene units, distance of the focal plane
    sigma0: torch.Tensor,  # [] px of this frame, blur in focus
    colours: torch.Tensor | None = None,  # [C] 1 / scene units: by what 1 / focus is more for each channel
) -> torch.Tensor:  # as depth, px; [..., C] where colours have foci of their own
    """Differentiable in depth (where weight >= 0.5), fx, pupil, focus, sigma0 and colours."""
    assert depth.ndim in (2, 3), f"depth must be [H, W] or [M, H, W], not {tuple(depth.shape)}"
    assert weight.shape == depth.shape, f"weight must be {tuple(depth.shape)}, not {tuple(weight.shape)}"
    for name, scalar in (("fx", fx), ("pupil", pupil), ("focus", focus), ("sigma0", sigma0)):
        assert scalar.numel() == 1 and scalar.ndim == 0, f"{name} must be [], not {tuple(scalar.shape)}"
    assert colours is None or colours.ndim == 1, f"colours must be [C], not {tuple(colours.shape)}"
    weight = weight.detach()
    if depth.ndim == 2:
        return defocus(depth[None], weight[None], fx, pupil, focus, sigma0, colours).squeeze(0)
    if depth.dtype == torch.float64:
        frames = zip(depth, weight, strict=True)
        return torch.stack([coc_reference.defocus(d, w, fx, pupil, focus, sigma0, colours) for d, w in frames])
    assert depth.dtype == torch.float32, f"depth must be float32 or float64, not {depth.dtype}"
    return _Defocus.apply(depth.contiguous(), weight.contiguous(), fx, pupil, focus, sigma0, colours)
