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

SURE = 4.0  # standard deviations of a photo at rest: a motion of less is said to be none
# px, of photos at rest, which were found to have moved by up to 1.9; and how far ways of photos that moved are off,
# relative: they come out too short (experiments: motion).
LEAST, SHARE = 0.6, 0.5


@torch.no_grad()
def motion_uncertainties(model: Model, targets: Targets) -> dict[int, float]:
    """Of each photo that moved, by its index: by how surely the blur is told that it has beyond its model's; infinite
    where more is left than was found, or one at rest may be found to have as much."""
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
            found[photo] = math.inf
            continue
        left, sure = blur.along(shift / px)
        at_rest = math.hypot(LEAST, 6 * sure / px)  # variances of light are px^2 / 12
        told = abs(left) <= px**2 / 12 and px >= SURE * at_rest
        found[photo] = math.hypot(at_rest, SHARE * px) if told else math.inf
    return found
