"""A thin lens' pupil, focus distance and blur in focus of one photo, on a GPU: a launch each way.

torch would need forty launches, of one number each. The definitions stand in `ThinLens`.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256  # photos a program


@triton.jit
def _forward(
    log_pupil, offsets, log_sigma0, reference, aperture, start, photo, fx, pupil, focus, sigma0,
    width, scale, least, most, DOLLY: tl.constexpr,
):  # fmt: skip
    v = tl.load(photo)
    away = 1.0  # by what depths are multiplied to be those of the start
    if DOLLY:
        away = tl.load(start + v) * width / tl.load(fx)
    tl.store(pupil, tl.exp(tl.load(log_pupil)) / away * tl.load(aperture + v))
    tl.store(focus, 1.0 / (tl.load(reference + v) * (1.0 + tl.load(offsets + v)) * away))
    tl.store(sigma0, tl.minimum(tl.maximum(tl.exp(tl.load(log_sigma0)), least), most) * scale)


@triton.jit(do_not_specialize=["photos"])
def _backward(
    offsets, log_sigma0, photo, fx, pupil, focus, sigma0, by_pupil, by_focus, by_sigma0,
    grad_pupil, grad_offsets, grad_sigma0, grad_fx, photos, least, most,
    DOLLY: tl.constexpr, PUPIL: tl.constexpr, FOCUS: tl.constexpr, SIGMA0: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    v = tl.load(photo)
    of_pupil, of_focus, of_sigma0 = 0.0, 0.0, 0.0
    if PUPIL:
        of_pupil = tl.load(by_pupil) * tl.load(pupil)
    if FOCUS:
        of_focus = tl.load(by_focus) * tl.load(focus)
    if SIGMA0:
        own = tl.exp(tl.load(log_sigma0))
        of_sigma0 = tl.where((own >= least) & (own <= most), tl.load(by_sigma0) * tl.load(sigma0), 0.0)
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = k < photos
    g = tl.where(k == v, -of_focus / (1.0 + tl.load(offsets + k, mask=inside, other=0.0)), 0.0)
    tl.store(grad_offsets + k, g, mask=inside)
    if tl.program_id(0) == 0:
        tl.store(grad_pupil, of_pupil)
        tl.store(grad_sigma0, of_sigma0)
        if DOLLY:
            tl.store(grad_fx, (of_pupil + of_focus) / tl.load(fx))


class Numbers(torch.autograd.Function):
    """ln of the pupil [], offsets of the focus [V], ln of sigma0 [], references and relative apertures [V], focal
    lengths at the start [V] (empty: the camera's), a photo [1] and its camera's fx []; the frame's width, its share of
    the training width and the bounds of sigma0 -> pupil, focus and sigma0 []."""

    @staticmethod
    def forward(
        ctx: Any, log_pupil, offsets, log_sigma0, reference, aperture, start, photo, fx, width, scale, least, most
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        pupil, focus, sigma0 = (torch.empty_like(log_pupil) for _ in range(3))
        ctx.dolly, ctx.bounds = len(start) > 0, (least, most)
        _forward[(1,)](
            log_pupil, offsets, log_sigma0, reference, aperture, start if ctx.dolly else reference, photo, fx,
            pupil, focus, sigma0, float(width), scale, least, most, DOLLY=ctx.dolly, num_warps=1,
        )  # fmt: skip
        ctx.save_for_backward(offsets, log_sigma0, photo, fx, pupil, focus, sigma0)
        return pupil, focus, sigma0

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None):  # type: ignore[override]
        offsets, log_sigma0, photo, fx, *numbers = ctx.saved_tensors
        grad_pupil, grad_sigma0, grad_fx = (torch.empty_like(log_sigma0) for _ in range(3))
        grad_offsets = torch.empty_like(offsets)
        there = [g is not None for g in gradients]
        _backward[(triton.cdiv(len(offsets), BLOCK),)](
            offsets, log_sigma0, photo, fx, *numbers, *(log_sigma0 if g is None else g for g in gradients),
            grad_pupil, grad_offsets, grad_sigma0, grad_fx, len(offsets), *ctx.bounds,
            DOLLY=ctx.dolly, PUPIL=there[0], FOCUS=there[1], SIGMA0=there[2], BLOCK=BLOCK, num_warps=1,
        )  # fmt: skip
        grads = (grad_pupil, grad_offsets, grad_sigma0)
        grads = (g if used else None for g, used in zip(grads, there, strict=True))
        nothing = (None,) * 4
        return *grads, *nothing, grad_fx if ctx.dolly and (there[0] or there[1]) else None, *nothing
