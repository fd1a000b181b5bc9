"""Cat's eyes: the pupil as places away from the middle of the frame see it, clipped by the rims of a lens's ends.

What is left of a pupil of radius 1 is what two discs of its size have in common, moved apart along the way from the
middle of the frame: a lemon, which is narrower in that direction. `t` is how far each is moved, in pupil radii: what is
learned is that of the corner, and between it grows in proportion. Areas and second moments of lemons are closed forms;
for t < 0 the formulas go on smoothly, which noise may need.

The light that is lost is the mechanical part of vignetting. A capture's rims are those of its lens: a pupil that is
stopped down is clipped where it reaches out as far.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

RATE = 5e-4  # pupil radii, of Adam, per step
BELIEF = 1e-5  # of the loss per (pupil radius)^2: pulls to none what no photo tells
WHOLE = 0.1  # pupil radii in the corner: as much is found of pupils that are seen whole (experiments: blades)
LEAST = 0.15  # 19 % of the pupil is lost there; less is said to be none
MOST = 0.5  # likewise: two fifths of the pupil are left
LOWEST = -0.2


def moments(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of lemons [...]: their area as a share of the disc's, and their variances along and across."""
    angle, height = torch.acos(t), (1 - t.square()).sqrt()
    # Integrals from t to 1 of sqrt(1 - z^2) times 1, z and z^2, and of its third power.
    none, one = (angle - t * height) / 2, height**3 / 3
    two = (angle + t * height * (1 - 2 * t.square())) / 8
    cubed = (3 * angle - t * height * (5 - 2 * t.square())) / 8
    return 4 / math.pi * none, (two - 2 * t * one) / none + t.square(), cubed / (3 * none)


def left(corner: float) -> float:
    """The share of the pupil that is left in the corner."""
    return float(moments(torch.tensor(float(corner), dtype=torch.float64))[0])


def remaining(vignetting: Tensor, corner: Tensor) -> Tensor:
    """[2] coefficients of `vignetting` less the light that the pupil loses: it is said once.

    Args:
        corner: [1] t there.
    """
    rho = torch.linspace(0, 1, 65, dtype=corner.dtype, device=corner.device)[1:]
    powers = torch.stack([rho.square(), rho**4], 1) * rho[:, None].sqrt()  # as much of a frame is that far out
    lost = moments(corner * rho)[0].log() * rho.sqrt()
    return vignetting - torch.linalg.lstsq(powers.cpu(), lost.cpu()[:, None]).solution[:, 0].to(vignetting)


def stopped_down(t: Tensor, relative: Tensor) -> Tensor:
    """[...] t of a pupil that is `relative` [] as wide as the widest: the same rims reach into it less."""
    return torch.maximum((t - 1 + relative) / relative, t.clamp_max(0))


def narrowed(depth: Tensor, focus: Tensor, t: Tensor) -> Tensor:
    """[..., H, W] depths that a round pupil blurs as one that is clipped blurs those that are seen, on average over the
    directions: nearer to the plane of focus.

    Args:
        focus: [] d0. t: [H, W].
    """
    _, along, across = moments(t)
    narrow = (2 * (along + across)).sqrt()  # sigma, of that of the whole pupil
    # 1 / focus + narrow (1 / depth - 1 / focus), of depths that may be 0 where nothing is seen
    return depth * focus / (depth * (1 - narrow) + focus * narrow)


def weights(u: Tensor, v: Tensor, t: Tensor, towards: Tensor, one_ring: bool) -> Tensor:
    """[M, H, W] what each sample counts for, on average 1: with the residual blur, narrowed as well, they have the
    second moments of the lemon. Which of them a rim shades is not asked: each stands for a part of the pupil.

    Args:
        u, v: [M] in the pupil's radius. t: [H, W]. towards: [2, H, W] of `directions`.
        one_ring: none lies farther in than the others, so that they have no say in how wide the pupil is.
    """
    square = u.square() + v.square()
    second, fourth = square.mean(), square.square().mean()
    _, along, across = moments(t)
    sideways = 2 * (along - across) / fourth
    aligned = (u.square() - v.square())[:, None, None] * towards[0] + (2 * u * v)[:, None, None] * towards[1]
    each = 1 + aligned * sideways
    if not one_ring:
        wider = 2 * (along + across) - 1  # of the sum of both variances
        each = each + (square - second)[:, None, None] * (second / (fourth - second.square()) * wider)
    each = each.clamp_min(0)
    return each / each.mean(0)


def directions(width: int, height: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """[H, W] the share of the way from the middle of a frame to its corner, and [2, H, W] cosine and sine of twice the
    angle of that way."""
    x = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5 - width / 2
    y = (torch.arange(height, dtype=like.dtype, device=like.device) + 0.5 - height / 2)[:, None]
    square = (x.square() + y.square()).clamp_min(1e-6)
    towards = torch.stack([(x.square() - y.square()) / square, 2 * x * y / square])
    return square.sqrt() / (0.5 * math.hypot(width, height)), towards
