"""Steps one after the other, as each comes: on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from macrosplat.train.density import position_noise
from macrosplat.train.random import Purpose
from macrosplat.train.step import gradients

if TYPE_CHECKING:
    from macrosplat.train.schedule import Plan
    from macrosplat.train.training import Training


class Eager:
    """Takes the steps of a training."""

    def __init__(self, training: Training) -> None:
        self._training = training

    def step(self, plan: Plan, photo: int) -> Tensor:
        """Take a step. Returns the loss (a scalar)."""
        training, model = self._training, self._training.model
        target, frame = training.targets.at(photo, plan.scale)
        numbers = plan.sampling.angle, training.key(Purpose.DROP), training.weights
        loss, found = gradients(model, plan.kind(frame), photo, target, *numbers)
        with torch.no_grad():
            training.adam.rates.update(training.rates(plan))
            training.adam.step(found)
            gaussians = model.gaussians
            gaussians.log_scales.clamp_min_(training.smallest)
            model.lens.confine()
            if plan.noise > 0:
                gaussians.means.add_(position_noise(gaussians, training.noise(plan), training.key(Purpose.NOISE)))
        return loss

    def settle(self) -> int:
        """Steps that were refused: none."""
        return 0
