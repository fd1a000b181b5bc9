"""Where a training run stands: what is learned, what by, how far; and the numbers of its next step.

It changes nothing: `eager` and `graphs` take steps of it, `trainer` what lies between.
"""

from __future__ import annotations

import math

from macrosplat.model.model import Model
from macrosplat.train.adam import Adam
from macrosplat.train.density import NOISE
from macrosplat.train.random import Purpose, key_of
from macrosplat.train.schedule import RATES, Plan, Schedule
from macrosplat.train.step import Weights
from macrosplat.train.targets import Targets

# Smallest standard deviation of a Gaussian, in px of the training width at the object: half a pixel across two of them.
# Finer ones alias between photos and turn to needles when the scene is seen from nearer.
SMALLEST = 0.25


class Training:
    """All of its state is in `model`, `adam` and `done`."""

    def __init__(self, model: Model, targets: Targets, schedule: Schedule, pixel: float, seed: int) -> None:
        """Args: pixel: scene units of one px of the training width at the object."""
        self.model, self.targets, self.schedule, self.pixel, self.seed = model, targets, schedule, pixel, seed
        for parameter in model.parameters().values():
            parameter.requires_grad_()
        self.adam = Adam(model.parameters(), dict.fromkeys(model.parameters(), 0.0))
        self.start = len(model.gaussians)
        self.done = 0
        self.smallest = math.log(SMALLEST * pixel)  # ln of the least standard deviation
        self.weights = Weights(
            drop=schedule.drop,
            mask=schedule.mask_weight,
            opacity=schedule.opacity_weight,
            size=schedule.scale_weight / 3 / (1000 * pixel),
        )

    def key(self, purpose: Purpose) -> int:
        """Of the random numbers of this step."""
        return key_of(self.seed, self.done, purpose)

    def rates(self, plan: Plan) -> dict[str, float]:
        """Learning rates of a step, in the parameters' units."""
        return {**plan.rates, "means": plan.rates["means"] * self.pixel}

    def noise(self, plan: Plan) -> float:
        """How far MCMC's noise moves a Gaussian that is fully transparent: times its covariance, scene units^-1."""
        return plan.noise * plan.rates["means"] / RATES["means"] * NOISE / (1000 * self.pixel)
