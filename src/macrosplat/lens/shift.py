"""Moves each channel of a picture by parts of a pixel: what a sub-aperture view does where colours focus apart or the
field of focus is curved, and a photo where a lens distorts, or magnifies colours differently.

In: frames [M, H, W, C] in linear light, how their content moves, in px. Out: frames [M, H, W, C]. What is interpolated,
and what happens at the borders, stands in `shift_reference.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from macrosplat.lens import shift_reference
from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.lens.shift"


class _Shift(torch.autograd.Function):
    @staticmethod
    def forward(ctx, frames, offsets, bends, moving):
        ctx.kernels, ctx.bent = kernels_for(STAGE, frames), bends is not None
        ctx.learned = moving if any(ctx.needs_input_grad[1:3]) else ()
        moved, kept = ctx.kernels.forward(frames, offsets, bends)
        # The frames themselves only serve the gradients of how they move.
        ctx.save_for_backward(offsets, offsets if bends is None else bends, kept if ctx.learned else offsets)
        return moved

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # type: ignore[override]
        offsets, bends, kept = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0], ctx.learned
        return *ctx.kernels.backward(gradient, kept, offsets, bends if ctx.bent else None, *wanted), None


def shifted(
    frames: torch.Tensor,  # [M, H, W, C] C = 1 ... 4
    offsets: torch.Tensor,  # [M, C, 2] px to the right and down
    # [M, C, 4] further ones that grow outwards: px to the right and down in the corner, as rho^2; shares of the
    # distance from the middle, everywhere and as rho^2.
    bends: torch.Tensor | None = None,
    moving: Sequence[int] | None = None,  # channels that may move; None: all. The others' numbers are 0 and stay so.
) -> torch.Tensor:  # [M, H, W, C]
    """Differentiable in frames, offsets and bends. float32 takes the kernels, float64 plain torch."""
    assert frames.ndim == 4 and 1 <= frames.shape[3] <= 4, f"frames must be [M, H, W, 1..4], not {tuple(frames.shape)}"
    wanted = (len(frames), frames.shape[3], 2)
    assert offsets.shape == wanted, f"offsets must be {wanted}, not {tuple(offsets.shape)}"
    assert bends is None or bends.shape == (*wanted[:2], 4), f"bends must be [M, C, 4], not {tuple(bends.shape)}"
    assert frames.dtype == offsets.dtype, f"frames are {frames.dtype}, offsets {offsets.dtype}"
    if frames.dtype == torch.float64:
        return shift_reference.shifted(frames, offsets, bends)
    assert frames.dtype == torch.float32, f"frames must be float32 or float64, not {frames.dtype}"
    moving = range(frames.shape[3]) if moving is None else moving
    return _Shift.apply(frames, offsets.contiguous(), None if bends is None else bends.contiguous(), tuple(moving))  # type: ignore[return-value]
