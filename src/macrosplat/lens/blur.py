"""Blurs a sharp frame pixel by pixel: every pixel of the result gathers with its own Gaussian.

In: sharp [H, W, C] in linear light, sigma [H, W] in px of this frame (0 ... 64), or one for each channel [H, W, C].
Out: blurred [H, W, C].
Kernels follow the √2 ladder (`ladder.py`); it stays within 0.5 % of the exact gather (`blur_reference.py`).
"""

from __future__ import annotations

import torch

from macrosplat.lens.blur_reference import gather_blur
from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.lens.blur"


class _MeanBlur(torch.autograd.Function):
    @staticmethod
    def forward(ctx, sharp, sigma, with_slopes, pivot):
        ctx.kernels = kernels_for(STAGE, sharp)
        blurred, ctx.saved = ctx.kernels.forward(sharp, sigma, with_slopes, pivot)
        return blurred

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # type: ignore[override]
        return *ctx.kernels.backward(gradient.contiguous(), ctx.saved, *ctx.needs_input_grad[:2]), None, None


def variable_blur(
    sharp: torch.Tensor,  # [H, W, C] linear light, C = 1 ... 4
    sigma: torch.Tensor,  # [H, W] or [H, W, C] px, standard deviation at each output pixel
) -> torch.Tensor:  # [H, W, C]
    """Differentiable in both. float32 takes the kernels, float64 the exact gather."""
    assert sharp.ndim == 3 and 1 <= sharp.shape[2] <= 4, f"sharp must be [H, W, 1..4], not {tuple(sharp.shape)}"
    assert sigma.shape in (sharp.shape[:2], sharp.shape), f"sigma {tuple(sigma.shape)} for {tuple(sharp.shape)}"
    return mean_blur(sharp[None], sigma[None])


def mean_blur(
    sharp: torch.Tensor,  # [M, H, W, C] linear light, C = 1 ... 4
    sigma: torch.Tensor,  # [M, H, W] or [M, H, W, C] px, standard deviation at each output pixel
    pivot: int | None = None,  # of sigma [M, H, W, C]: the channel about which the blur of the others is linear
) -> torch.Tensor:  # [H, W, C]
    """The mean of M frames, each blurred on its own; otherwise as `variable_blur`.

    With a `pivot`, the others are what the blur by the pivot's sigma and its slope there make of theirs: as good
    where they differ by little, and one look into the table serves all.
    """
    assert sharp.ndim == 4 and 1 <= sharp.shape[3] <= 4, f"sharp must be [M, H, W, 1..4], not {tuple(sharp.shape)}"
    assert sigma.shape in (sharp.shape[:3], sharp.shape), f"sigma {tuple(sigma.shape)} for {tuple(sharp.shape)}"
    assert sharp.dtype == sigma.dtype, f"sharp is {sharp.dtype}, sigma {sigma.dtype}"
    assert pivot is None or sigma.ndim == 4, "a pivot is a channel of many"
    if sharp.dtype == torch.float64:
        blurred = [gather_blur(*frame, pivot) for frame in zip(sharp, sigma, strict=True)]
        return blurred[0] if len(blurred) == 1 else torch.stack(blurred).mean(0)
    assert sharp.dtype == torch.float32, f"sharp must be float32 or float64, not {sharp.dtype}"
    with_slopes = torch.is_grad_enabled() and sigma.requires_grad
    return _MeanBlur.apply(sharp, sigma, with_slopes, pivot)


@torch.no_grad()
def each_blurred(sharp: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """M frames [M, H, W, C], each blurred on its own, as `variable_blur` does it; without gradients."""
    if sharp.dtype == torch.float64:
        return torch.stack([gather_blur(*frame, None) for frame in zip(sharp, sigma, strict=True)])
    return kernels_for(STAGE, sharp).each(sharp, sigma)
