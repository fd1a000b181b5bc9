"""Training without some of the Gaussians, others in each step: against what few photos would make up, and against
learning the grain of many.

In: the scene, a share and a seed. Out: the scene without that share, for one step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from macrosplat.scene.gaussians import Gaussians

GONE = 20.0  # taken off an opacity's logit: nothing is left


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
