"""What stands before and after Adam on a GPU, a launch each: MCMC's regulariser, a note of the step, and MCMC's noise.

The noise is `noise_reference.position_noise`'s, its random numbers those of `random.normal`.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from macrosplat.render.projection_cuda import axes_of, load_unit
from macrosplat.scene.gaussians import Gaussians
from macrosplat.train import constants

BLOCK = 128  # Gaussians a program
DEAD, SHARPNESS = tl.constexpr(constants.DEAD), tl.constexpr(constants.NOISE_SHARPNESS)


@triton.jit(do_not_specialize=["n"])
def _add_noise(means, log_scales, quats, logits, noise, key, stopped, smallest, slender, n, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = (i < n) & (tl.load(stopped) == 0)
    s0 = tl.maximum(tl.load(log_scales + i * 3, mask=inside, other=0.0), smallest)
    s1 = tl.maximum(tl.load(log_scales + i * 3 + 1, mask=inside, other=0.0), smallest)
    s2 = tl.maximum(tl.load(log_scales + i * 3 + 2, mask=inside, other=0.0), smallest)
    pair = tl.maximum(s0, s1)
    longest = tl.maximum(tl.minimum(s0, s1), tl.minimum(pair, s2)) + slender
    s0, s1, s2 = tl.minimum(s0, longest), tl.minimum(s1, longest), tl.minimum(s2, longest)
    tl.store(log_scales + i * 3, s0, mask=inside)
    tl.store(log_scales + i * 3 + 1, s1, mask=inside)
    tl.store(log_scales + i * 3 + 2, s2, mask=inside)
    opacity = 1 / (1 + tl.exp(-tl.load(logits + i, mask=inside, other=0.0)))
    far = tl.load(noise).to(tl.float32) / (1 + tl.exp(SHARPNESS * (opacity - DEAD)))
    w, x, y, z, _ = load_unit(quats, i, inside)
    a, b, c, _ = tl.randn4x(tl.load(key).to(tl.int64), i.to(tl.int32))
    # Covariance times draw = R S^2 R^T draw, R by columns.
    u, v, t = axes_of(w, x, y, z)
    p = tl.exp(2 * s0) * (u[0] * a + u[1] * b + u[2] * c) * far
    q = tl.exp(2 * s1) * (v[0] * a + v[1] * b + v[2] * c) * far
    r = tl.exp(2 * s2) * (t[0] * a + t[1] * b + t[2] * c) * far
    moved = inside & (far > 0)
    row = means + i * 3
    tl.store(row, tl.load(row, mask=moved, other=0.0) + (p * u[0] + q * v[0] + r * t[0]), mask=moved)
    tl.store(row + 1, tl.load(row + 1, mask=moved, other=0.0) + (p * u[1] + q * v[1] + r * t[1]), mask=moved)
    tl.store(row + 2, tl.load(row + 2, mask=moved, other=0.0) + (p * u[2] + q * v[2] + r * t[2]), mask=moved)


@triton.jit(do_not_specialize=["n"])
def _add_gradient(
    log_scales, logits, grad_logits, grad_log_scales, opacity_weight, size_weight, n, BLOCK: tl.constexpr
):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    opacity = 1 / (1 + tl.exp(-tl.load(logits + i, mask=inside, other=0.0)))
    g = tl.load(grad_logits + i, mask=inside, other=0.0) + opacity * (1 - opacity) * opacity_weight
    tl.store(grad_logits + i, g, mask=inside)
    for k in tl.static_range(3):
        size = tl.exp(tl.load(log_scales + i * 3 + k, mask=inside, other=0.0))
        g = tl.load(grad_log_scales + i * 3 + k, mask=inside, other=0.0) + size * size_weight
        tl.store(grad_log_scales + i * 3 + k, g, mask=inside)


@triton.jit
def _note(truncated, loss, stopped, applied, kept):
    stop = tl.maximum(tl.load(stopped), tl.load(truncated).to(tl.int64))
    tl.store(stopped, stop)
    tl.store(applied, tl.load(applied) + 1 - stop)
    tl.store(kept, tl.load(loss))


def note(truncated: Tensor, loss: Tensor, stopped: Tensor, applied: Tensor, kept: Tensor) -> None:
    """A step's loss, and whether it was stopped, on the device: `stopped` stays so, `applied` counts the others."""
    _note[(1,)](truncated, loss, stopped, applied, kept, num_warps=1)


def add_regulariser_gradient(
    gaussians: Gaussians, grad_logits: Tensor, grad_log_scales: Tensor, opacity_weight: float, size_weight: float
) -> None:
    """Adds to gradients [N] and [N, 3] those of `density.add_regulariser_gradient`."""
    n = len(gaussians)
    assert grad_logits.is_contiguous() and grad_log_scales.is_contiguous(), "gradients must be contiguous"
    tensors = (gaussians.log_scales.detach(), gaussians.opacity_logits.detach(), grad_logits, grad_log_scales)
    _add_gradient[(max(triton.cdiv(n, BLOCK), 1),)](*tensors, opacity_weight, size_weight, n, BLOCK=BLOCK)


def add_position_noise(
    gaussians: Gaussians, smallest: float, slender: float, noise: Tensor, key: Tensor, stopped: Tensor
) -> None:
    """Changes log_scales and means in place.

    Args:
        smallest: ln of the least standard deviation. slender: ln of the most that the longest axis may be, times the
            middle one.
        noise: [1] float64, times a Gaussian's covariance (scene units^2) and a normal draw it is what a fully
            transparent one moves; 0: none do. key: [1] of `random.key_of`, as float64. stopped: [1] not 0: nothing
            changes.
    """
    n = len(gaussians)
    tensors = (gaussians.means, gaussians.log_scales, gaussians.quats, gaussians.opacity_logits)
    blocks = (max(triton.cdiv(n, BLOCK), 1),)
    _add_noise[blocks](*(t.detach() for t in tensors), noise, key, stopped, smallest, slender, n, BLOCK=BLOCK)
