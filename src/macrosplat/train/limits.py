"""What the photos cannot tell of a Gaussian is not left to chance: bounds of its size, its shape, and its right to be.

In: the scene, the cameras, how far out of focus each photo shows a depth. Out: bounds that the trainer keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from macrosplat.render import Pinhole
from macrosplat.scene.gaussians import Gaussians

# Signed radius (px) of the circle of confusion of depths [N] in photo number v.
Radius = Callable[[Tensor, int], Tensor]

GONE = 20.0  # taken off an opacity's logit: nothing is left


@torch.no_grad()
def sighted(
    means: Tensor,  # [N, 3] world
    views: Tensor,  # [V, 4, 4] world to camera
    pinholes: Sequence[Pinhole],  # V
    radius: Radius,
) -> tuple[Tensor, Tensor]:
    """How many photos have each Gaussian in their frame [N], and the finest that one of them can show of it [N].

    The finest is the least radius of its circle of confusion over those photos, in scene units at its depth; where none
    has it in the frame, 0.
    """
    count = torch.zeros(len(means), device=means.device)
    finest = torch.full_like(count, math.inf)
    for v, pinhole in enumerate(pinholes):
        x, y, z = (means @ views[v, :3, :3].T + views[v, :3, 3]).unbind(1)
        ahead = z.clamp_min(pinhole.near)
        px, py = x / ahead * pinhole.fx + pinhole.cx, y / ahead * pinhole.fy + pinhole.cy
        inside = (z > pinhole.near) & (px > 0) & (px < pinhole.width) & (py > 0) & (py < pinhole.height)
        blurred = radius(ahead, v).abs() * ahead / pinhole.fx
        count += inside
        finest = torch.where(inside, torch.minimum(finest, blurred), finest)
    return count, torch.where(count > 0, finest, torch.zeros_like(finest))


def slimmed(log_scales: Tensor, longest: float) -> Tensor:
    """[N, 3] with the largest of each three no more than `longest` times the middle one: discs may be, needles not."""
    middle = log_scales.sum(1) - log_scales.amax(1) - log_scales.amin(1)
    return torch.minimum(log_scales, (middle + math.log(longest))[:, None])


def thinned(gaussians: Gaussians, share: float, seed: float | Tensor) -> Gaussians:
    """The scene without a random `share` of its Gaussians, the others as much more opaque (DropGaussian, Park et al.
    2025): what few photos see cannot be hidden behind what suits them one by one.

    `seed`: a number, or [1] float64 on the device; the choice is a function of it and the row.
    """
    rows = torch.arange(len(gaussians), dtype=torch.float64, device=gaussians.means.device)
    # Digits of a sine that lie far behind the point are as good as random, and the same on every device to most bits.
    draw = ((rows * 12.9898 + seed * 78.233).sin() * 43758.5453).frac().abs()
    opacity = (torch.sigmoid(gaussians.opacity_logits) / (1 - share)).clamp(1e-6, 0.999)
    logits = torch.logit(opacity)
    return gaussians.with_(opacity_logits=torch.where(draw >= share, logits, logits - GONE))
