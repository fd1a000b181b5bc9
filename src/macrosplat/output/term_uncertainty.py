"""How surely the photos tell a term of the lens: from the curvature of the loss, and from how the photos differ.

In: a model after its last step, which stays as it is, and the photos. Out: variances of the numbers of a term.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.lens import Sampling
from macrosplat.model.model import Model
from macrosplat.support.dispatch import one_torch_thread
from macrosplat.train.loss import taken_loss
from macrosplat.train.targets import Targets

PHOTOS = 12  # that are looked at: evenly among all
SCALE = 0.5  # of the training width: a quarter of the work
# px, ln, px, px: between which the slope of the gradient is taken.
STEP = {"lens.colour": 0.1, "lens.vignetting": 0.05, "lens.curvature": 0.1, "lens.lateral": 0.1}


def covariance(model: Model, targets: Targets, name: str, sampling: Sampling) -> NDArray[np.float64]:
    """[n, n] of the n numbers of a parameter of the lens, in its units.

    H^-1 S H^-1 / V (White 1982): H the curvature of the loss, S how the gradients of the V photos differ. The scene is
    as it is: what it would take over, if the term were another, is not counted.
    """
    lens, found = model.lens, model.lens.parameters[name]
    photos = np.unique(np.linspace(0, len(targets) - 1, min(PHOTOS, len(targets))).round().astype(int)).tolist()

    def gradients(value: Tensor) -> NDArray[np.float64]:
        """[photos, n] at another value."""
        lens.parameters[name] = leaf = value.detach().clone().requires_grad_()
        rows = []
        for photo in photos:
            target, frame = targets.at(photo, SCALE)
            taken = model.photograph(photo, sampling, frame, with_alpha=target.alpha_target is not None)
            loss = taken_loss(taken, target, lens.plan(1.0).dssim_weight, 0.0)
            rows.append(torch.autograd.grad(loss, leaf)[0])
        return torch.stack(rows).double().cpu().numpy()

    try:
        with one_torch_thread():
            columns, here = [], []
            for k in range(found.numel()):
                step = torch.zeros_like(found)
                step.view(-1)[k] = STEP[name]
                above, below = gradients(found + step), gradients(found - step)
                columns.append((above - below).mean(0) / (2 * STEP[name]))
                here.append((above + below) / 2)
    finally:
        lens.parameters[name] = found
    curvature = np.stack(columns, 1)
    spread = np.atleast_2d(np.cov(np.mean(here, 0).T))
    inverse = np.linalg.pinv((curvature + curvature.T) / 2)
    return inverse @ spread @ inverse / len(photos)
