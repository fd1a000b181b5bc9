"""Where the Gaussians are: dead ones move to live ones, and new ones are added under a cap.

3DGS as Markov chain Monte Carlo (Kheradmand et al. 2024): a blur low-passes the gradient, so thresholds on gradients
would starve exactly the places where detail is missing; this needs none. All surgery goes through `remap`.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.dispatch import on_gpu
from macrosplat.train.adam import Adam
from macrosplat.train.constants import DEAD
from macrosplat.train.random import Purpose, key_of, uniform64

MOST_COPIES = 51  # of one Gaussian in one go, as the paper's code has it
# The paper has 80: 5e5 * 1.6e-4, its noise times its learning rate of the means, in units of 1000 px. Under a blur
# more is better (experiments: relocation-noise).
NOISE = 1500.0


def densify(
    gaussians: Gaussians, adam: Adam, wanted: int, seed: int, step: int, weak: Tensor | None = None
) -> Gaussians:
    """Relocate the dead, grow to `wanted` Gaussians, and sort along a space-filling curve.

    Args:
        weak: [N] whether a Gaussian counts as dead whatever its opacity: it is weakly observed.
    """
    n, device = len(gaussians), gaussians.means.device
    opacity = torch.sigmoid(gaussians.opacity_logits)
    dead = opacity <= DEAD
    if weak is not None:
        dead = dead | weak
    source = torch.arange(n, device=device)
    empty = torch.cat([source[dead], torch.arange(n, max(n, wanted), device=device)])  # rows to fill
    if len(empty) == 0 or dead.all():
        return gaussians
    weights = torch.where(dead, torch.zeros_like(opacity), opacity).double()
    # Inverse transform sampling: `torch.multinomial` refuses more than 2^24 categories and is no faster.
    key = key_of(seed, step, Purpose.RELOCATE)
    draws = torch.from_numpy(uniform64(key, len(empty))).to(device) * weights.sum()
    chosen = torch.searchsorted(weights.cumsum(0), draws, right=True).clamp_max(n - 1)
    copies = torch.bincount(chosen, minlength=n) + 1
    parents = copies > 1
    logits, log_scales = gaussians.opacity_logits.clone(), gaussians.log_scales.clone()
    rows = torch.nonzero(parents)[:, 0]
    fewer = _share(opacity[rows], log_scales[rows], copies[rows].clamp_max(MOST_COPIES))
    logits[rows], log_scales[rows] = fewer

    source = torch.cat([source, torch.empty(len(empty) - int(dead.sum()), dtype=torch.int64, device=device)])
    source[empty] = chosen
    fresh = torch.cat([parents, torch.zeros(len(source) - n, dtype=torch.bool, device=device)])
    fresh[empty] = True
    order = z_order(gaussians.means[source])
    shared = gaussians.with_(opacity_logits=logits, log_scales=log_scales)
    return remap(shared, adam, source[order], fresh[order])


def remap(gaussians: Gaussians, adam: Adam, source: Tensor, fresh: Tensor) -> Gaussians:
    """Scene and optimiser state from their rows `source`; rows marked `fresh` start with empty moments."""
    moved = gaussians.map(lambda t: t.detach()[source].contiguous().requires_grad_())
    adam.remap(moved.tensors(), source, fresh)
    return moved


def _share(opacity: Tensor, log_scales: Tensor, copies: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity logits and log scales of each of `copies` equal Gaussians that together draw what one did (eq. 9)."""
    o = opacity.double()
    new = 1 - (1 - o) ** (1 / copies)
    powers = new[:, None] ** torch.arange(1, MOST_COPIES + 1, device=o.device)
    total = (_polynomials().to(o.device)[copies] * powers).sum(1)
    new = new.clamp(DEAD * 1.01, 1 - 1e-6)
    return torch.logit(new).float(), log_scales + torch.log(o / total)[:, None].float()


@functools.cache
def _polynomials() -> Tensor:
    """[copies, k]: by how much the k-th power of the new opacity (from 1) enters, for so many copies.

    The sum over i = 1 ... copies and j < i of binomial(i - 1, j) (-1)^j new^(j + 1) / sqrt(j + 1), that over i done.
    """
    return torch.tensor(
        [
            [math.comb(copies, k) * (-1) ** (k - 1) / math.sqrt(k) for k in range(1, MOST_COPIES + 1)]
            for copies in range(MOST_COPIES + 1)
        ],
        dtype=torch.float64,
    )


def add_regulariser_gradient(
    gaussians: Gaussians, grad_logits: Tensor, grad_log_scales: Tensor, opacity_weight: float, size_weight: float
) -> None:
    """Adds to gradients [N] and [N, 3] those of opacity_weight * sum(opacity) + size_weight * sum(standard deviations).

    MCMC's mild L1: what the photos do not ask for fades, and moves to where it is needed.
    """
    if on_gpu(gaussians.means):
        from macrosplat.train import noise_cuda

        noise_cuda.add_regulariser_gradient(gaussians, grad_logits, grad_log_scales, opacity_weight, size_weight)
        return
    opacity = torch.sigmoid(gaussians.opacity_logits)
    grad_logits += opacity * (1 - opacity) * opacity_weight
    grad_log_scales += gaussians.log_scales.exp() * size_weight


def confine_shapes(log_scales: Tensor, smallest: float, slender: float) -> None:
    """Changes log scales [N, 3] in place: none below `smallest`, and of each Gaussian the longest at most `slender`
    above the middle one. On the CPU; on a GPU see `noise_cuda`."""
    from macrosplat.train import shapes_cpu

    shapes_cpu.confine(log_scales, smallest, slender)


def z_order(means: Tensor) -> Tensor:
    """[N] order along a Morton curve of 10 bits an axis: neighbours in space become neighbours in memory."""
    low, high = means.amin(0), means.amax(0)
    cell = ((means - low) / (high - low).clamp_min(1e-12) * 1023).long()
    code = torch.zeros(len(means), dtype=torch.int64, device=means.device)
    for axis in range(3):
        x = cell[:, axis]
        for bits, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
            x = (x | (x << bits)) & mask
        code |= x << axis
    return torch.argsort(code, stable=True)
