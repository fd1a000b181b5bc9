"""Steps one after the other, as each comes: on a CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from macrosplat.train.density import confine_shapes
from macrosplat.train.noise_cpu import add_position_noise
from macrosplat.train.random import Purpose
from macrosplat.train.step import gradients

if TYPE_CHECKING:
    from macrosplat.train.schedule import Plan
    from macrosplat.train.training import Training


class Eager:
    """Takes the steps of a training."""

    def __init__(self, training: Training) -> None:
        self._training = training

    def step(self, plan: Plan) -> Tensor:
        """Take a step. Returns the loss (a scalar)."""
        training, model = self._training, self._training.model
        each = [self._gradients(plan, turn) for turn in training.turns()]
        loss, found = each[0] if training.batch == 1 else self._mean(each)
        with torch.no_grad():
            training.adam.rates.update(training.rates(plan))
            training.adam.step(found)
            gaussians = model.gaussians
            confine_shapes(gaussians.log_scales, training.smallest, training.slender)
            model.lens.confine()
            if plan.noise > 0:
                noise = training.noise(plan), training.key(Purpose.NOISE)
                of = gaussians.means, gaussians.log_scales, gaussians.quats, gaussians.opacity_logits
                add_position_noise(*of, *noise)
        return loss

    def _gradients(self, plan: Plan, turn: int) -> tuple[Tensor, Mapping[str, Tensor | None]]:
        """Of the photo whose turn it is."""
        training, photo = self._training, self._training.photo(turn)
        target, frame = training.targets.at(photo, plan.scale)
        numbers = training.angle(plan, turn), training.key(Purpose.DROP, turn), training.weights
        return gradients(training.model, plan.kind(frame, training.moving(photo)), photo, target, *numbers)

    @torch.no_grad()
    def _mean(self, each: Sequence[tuple[Tensor, Mapping[str, Tensor | None]]]) -> tuple[Tensor, dict[str, Tensor]]:
        """Of the photos of a step, those of other ranks included."""
        names = [name for name, gradient in each[0][1].items() if gradient is not None]
        flats = [torch.cat([loss[None], *(found[name].flatten() for name in names)]) for loss, found in each]  # type: ignore[union-attr]
        flat = torch.stack(flats).sum(0) if len(flats) > 1 else flats[0]
        self._training.ranks.sum(flat)
        flat /= self._training.batch
        shapes = [self._training.model.parameters()[name].shape for name in names]
        parts = flat[1:].split([shape.numel() for shape in shapes])
        return flat[0], {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}

    @property
    def pending(self) -> bool:
        """Whether steps may be refused yet."""
        return False

    def settle(self) -> int:
        """By how much `done` is too high: no step is ever refused."""
        return 0
