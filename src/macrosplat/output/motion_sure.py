"""How surely photos tell by how much they moved during their exposure.

In: a model after its last step, the photos. Out: standard deviations, px of the training width.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from macrosplat.lens.thin import ThinLens
from macrosplat.model.model import Model
from macrosplat.support.dispatch import one_torch_thread
from macrosplat.train.motion import blur_of
from macrosplat.train.targets import Targets

SURE = 2.0  # standard deviations: a motion of less is said to be none
# What runs with known motion were off: px, and relative (experiments: motion).
LEAST, SHARE = 0.3, 0.25


@torch.no_grad()
def motion_uncertainties(model: Model, targets: Targets) -> dict[int, float]:
    """Of each photo that moved, by its index: by how surely the blur is told that it has beyond its model's; as much as
    all of it where more is left than was found."""
    lens = model.lens
    assert isinstance(lens, ThinLens), f"{lens.name} knows no motion"
    found: dict[int, float] = {}
    for photo in range(len(targets)):
        shift = lens.motion(photo)[:2].double().cpu().numpy()
        px = float(np.linalg.norm(shift))
        if px == 0:
            continue
        with one_torch_thread():
            blur = blur_of(model, targets, photo, 1.0)
        if blur is None:
            found[photo] = px
            continue
        left, sure = blur.along(shift / px)
        # Variances of light are px^2 / 12.
        found[photo] = px if abs(left) > px**2 / 12 else math.hypot(LEAST, SHARE * px, 6 * sure / px)
    return found
