"""Training without some of the Gaussians, others in each step: against what few photos would make up, and against
learning the grain of many.

In: the scene, a share and a key. Out: the scene without that share, for one step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from macrosplat.scene.gaussians import Gaussians
from macrosplat.train.random import uniform

GONE = 20.0  # taken off an opacity's logit: nothing is left


def thinned(gaussians: Gaussians, share: float, key: int | Tensor) -> Gaussians:
    """The scene without a random `share` of its Gaussians, the others as much more opaque (DropGaussian, Park et al.
    2025): what few photos see cannot be hidden behind what suits them one by one.

    `key`: of `random.key_of`; or [1] float64 on the device, inside a recorded step.
    """
    draw = uniform(key, len(gaussians), gaussians.means.device)
    opacity = (torch.sigmoid(gaussians.opacity_logits) / (1 - share)).clamp(1e-6, 0.999)
    logits = torch.logit(opacity)
    return gaussians.with_(opacity_logits=torch.where(draw >= share, logits, logits - GONE))
