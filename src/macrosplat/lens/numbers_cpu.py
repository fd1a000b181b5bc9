"""A thin lens' pupil, focus distance and blur in focus of one photo, on a CPU: in the host's own numbers.

torch would need forty operations, of one number each. The definitions stand in `ThinLens`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def widest(
    log_pupil: Tensor, start: Tensor, photo: int, intrinsics: Tensor, width: int, training: int
) -> tuple[float, float]:
    """The pupil where the relative aperture is 1, scene units, and fx in px of the training width."""
    fx = float(intrinsics.detach().numpy()[0])
    away = float(start.numpy()[photo]) * width / fx if len(start) else 1.0
    return math.exp(log_pupil.item()) / away, fx * training / width


class Numbers(torch.autograd.Function):
    """ln of the pupil [], offsets of the focus [V], ln of sigma0 [], references and relative apertures [V], focal
    lengths at the start [V] (empty: the camera's), a photo and its camera's intrinsics [4]; the frame's width, its
    share of the training width and the bounds of sigma0 -> pupil, focus and sigma0 []."""

    @staticmethod
    def forward(
        ctx: Any, log_pupil, offsets, log_sigma0, reference, aperture, start, photo, intrinsics, *width_and_bounds
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        width, scale, least, most = width_and_bounds
        ctx.dolly, fx = len(start) > 0, float(intrinsics.detach().numpy()[0])
        away = float(start.numpy()[photo]) * width / fx if ctx.dolly else 1.0
        relative = 1 + float(offsets.detach().numpy()[photo])
        pupil = math.exp(log_pupil) / away * float(aperture.numpy()[photo])
        focus = 1 / (float(reference.numpy()[photo]) * relative * away)
        own = math.exp(log_sigma0)
        sigma0 = min(max(own, least), most) * scale
        ctx.found, ctx.photo, ctx.photos = (pupil, focus, sigma0, relative, fx), photo, len(offsets)
        ctx.inside = least <= own <= most
        return log_pupil.new_tensor(pupil), log_pupil.new_tensor(focus), log_pupil.new_tensor(sigma0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None):  # type: ignore[override]
        pupil, focus, sigma0, relative, fx = ctx.found
        by_pupil, by_focus, by_sigma0 = (None if g is None else float(g) for g in gradients)
        like = next(g for g in gradients if g is not None)
        grads: list[Tensor | None] = [None] * 4
        if by_pupil is not None:
            grads[0] = like.new_tensor(by_pupil * pupil)
        if by_focus is not None:
            grads[1] = like.new_zeros(ctx.photos)
            grads[1].numpy()[ctx.photo] = -by_focus * focus / relative
        if by_sigma0 is not None:
            grads[2] = like.new_tensor(by_sigma0 * sigma0 if ctx.inside else 0.0)
        if ctx.dolly and ctx.needs_input_grad[7] and (by_pupil is not None or by_focus is not None):
            by_fx = ((by_pupil or 0.0) * pupil + (by_focus or 0.0) * focus) / fx
            grads[3] = like.new_tensor([by_fx, 0.0, 0.0, 0.0])
        return *grads[:3], *(None,) * 4, grads[3], *(None,) * 4
