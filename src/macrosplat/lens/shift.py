"""Moves each channel of a picture by a part of a pixel: what a sub-aperture view does where colours focus apart.

In: frames [M, H, W, C] in linear light, offsets [M, C, 2] in px, right and down. Out: frames [M, H, W, C]. What is
interpolated, and what happens at the borders, stands in `shift_reference.py`.
"""

from __future__ import annotations

import torch

from macrosplat.lens import shift_reference
from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.lens.shift"


class _Shift(torch.autograd.Function):
    @staticmethod
    def forward(ctx, frames, offsets):
        ctx.kernels = kernels_for(STAGE, frames)
        # The frames themselves only serve the offsets' gradient.
        ctx.save_for_backward(offsets, frames if ctx.needs_input_grad[1] else offsets)
        return ctx.kernels.forward(frames, offsets)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # type: ignore[override]
        offsets, frames = ctx.saved_tensors
        return ctx.kernels.backward(gradient.contiguous(), frames, offsets, *ctx.needs_input_grad)


def shifted(
    frames: torch.Tensor,  # [M, H, W, C] C = 1 ... 4
    offsets: torch.Tensor,  # [M, C, 2] px to the right and down
) -> torch.Tensor:  # [M, H, W, C]
    """Differentiable in both. float32 takes the kernels, float64 plain torch."""
    assert frames.ndim == 4 and 1 <= frames.shape[3] <= 4, f"frames must be [M, H, W, 1..4], not {tuple(frames.shape)}"
    wanted = (len(frames), frames.shape[3], 2)
    assert offsets.shape == wanted, f"offsets must be {wanted}, not {tuple(offsets.shape)}"
    assert frames.dtype == offsets.dtype, f"frames are {frames.dtype}, offsets {offsets.dtype}"
    if frames.dtype == torch.float64:
        return shift_reference.shifted(frames, offsets)
    assert frames.dtype == torch.float32, f"frames must be float32 or float64, not {frames.dtype}"
    return _Shift.apply(frames.contiguous(), offsets.contiguous())  # type: ignore[return-value]
