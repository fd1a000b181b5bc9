"""How far a blurred render is from its photo: L1 + D-SSIM behind the sRGB curve.

In: blurred [H, W, 3] in linear light, a `Target` made once per photo and resolution. Out: one number. The definition
stands in `loss_reference.py`.
"""

from __future__ import annotations

import torch

from macrosplat.support.dispatch import kernels_for
from macrosplat.train import loss_reference
from macrosplat.train.target import Target

STAGE = "macrosplat.train.loss"

LAMBDA_DSSIM = 0.2  # as in 3D Gaussian Splatting (Kerbl et al. 2023)


def make_target(
    photo: torch.Tensor,  # [H, W, 3] uint8, sRGB
    mask: torch.Tensor | None = None,  # [H, W] uint8, 255 = counts
    alpha_target: torch.Tensor | None = None,  # [H, W] float32, as in `Target`
    total: float | None = None,  # sum of mask / 255, where the caller knows it: asking a GPU would wait for it
) -> Target:
    assert photo.ndim == 3 and photo.shape[2] == 3 and photo.dtype == torch.uint8, (
        f"photo must be [H, W, 3] uint8, not {tuple(photo.shape)} {photo.dtype}"
    )
    size = photo.shape[:2]
    if mask is None:
        weight = torch.ones(size, device=photo.device)
    else:
        assert mask.shape == size and mask.dtype == torch.uint8, (
            f"mask must be {tuple(size)} uint8, not {tuple(mask.shape)} {mask.dtype}"
        )
        weight = mask.float() / 255.0
    total = float(weight.sum(dtype=torch.float64)) if total is None else total
    assert total > 0.0, "the mask leaves no pixel of the photo"
    planes = photo.permute(2, 0, 1).contiguous()
    y = planes.float() / 255.0
    mean = loss_reference.window_mean(y)
    grey = loss_reference.GREY
    variance = loss_reference.window_mean((y - grey) ** 2) - (mean - grey) ** 2
    return Target(planes, weight, total, mean.contiguous(), variance.clamp(min=0.0).contiguous(), alpha_target)


def taken_loss(
    taken: torch.Tensor,  # [H, W, 3] or [H, W, 4] linear light, and its alpha
    target: Target,
    lambda_dssim: float,
    mask_weight: float,  # of the mean absolute difference of alpha and mask
) -> torch.Tensor:  # []
    """`photo_loss` and, with an alpha, how far that is from the mask."""
    if target.alpha_target is None:
        return photo_loss(taken, target, lambda_dssim)
    loss = photo_loss(taken[..., :3], target, lambda_dssim)
    wanted = target.alpha_target.to(taken.dtype)
    return loss + mask_weight * ((taken[..., 3] - wanted).abs() * (wanted >= 0)).mean()


class _PhotoLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, blurred, target, lambda_dssim, with_gradient):
        ctx.kernels = kernels_for(STAGE, blurred)
        loss, ctx.saved = ctx.kernels.forward(blurred, target, lambda_dssim, with_gradient)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # type: ignore[override]
        return ctx.kernels.backward(gradient, ctx.saved), None, None, None


def photo_loss(
    blurred: torch.Tensor,  # [H, W, 3] linear light
    target: Target,
    lambda_dssim: float = LAMBDA_DSSIM,
) -> torch.Tensor:  # []
    """Differentiable in `blurred`. float32 takes the kernels, float64 the reference."""
    size = tuple(target.weight.shape[-2:])
    assert blurred.shape == (*size, 3), f"blurred must be {(*size, 3)}, not {tuple(blurred.shape)}"
    if blurred.dtype == torch.float64:
        return loss_reference.photo_loss(blurred, target.alone(), lambda_dssim)
    assert blurred.dtype == torch.float32, f"blurred must be float32 or float64, not {blurred.dtype}"
    with_gradient = torch.is_grad_enabled() and blurred.requires_grad
    return _PhotoLoss.apply(blurred.contiguous(), target, lambda_dssim, with_gradient)
