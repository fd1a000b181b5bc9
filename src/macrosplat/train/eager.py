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
    from macrosplat.train.trainer import Trainer


class Eager:
    """Takes the steps of a trainer."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def step(self, plan: Plan, photo: int) -> Tensor:
        """Take a step. Returns the loss (a scalar)."""
        trainer, model = self._trainer, self._trainer.model
        target, frame = trainer.frames.at(photo, plan.scale)
        numbers = plan.sampling.angle, trainer.key(Purpose.DROP), trainer.weights
        loss, found = gradients(model, plan.kind(frame), photo, target, *numbers)
        with torch.no_grad():
            trainer.adam.rates.update(trainer.rates(plan))
            trainer.adam.step(found)
            gaussians = model.gaussians
            gaussians.log_scales.clamp_min_(trainer.smallest)
            if plan.noise > 0:
                gaussians.means.add_(position_noise(gaussians, trainer.noise(plan), trainer.key(Purpose.NOISE)))
        return loss

    def settle(self) -> int:
        """Steps that were refused: none."""
        return 0
