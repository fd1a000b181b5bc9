"""Where a training run stands: what is learned, what by, how far; and the numbers of its next step.

It changes nothing: `eager` and `graphs` take steps of it, `trainer` what lies between.
"""

from __future__ import annotations

import math
from dataclasses import replace

from macrosplat.lens import Sampling
from macrosplat.model.model import Model
from macrosplat.train.adam import Adam
from macrosplat.train.density import NOISE
from macrosplat.train.random import Purpose, key_of
from macrosplat.train.ranks import Ranks
from macrosplat.train.schedule import GOLDEN, RATES, Plan, Schedule
from macrosplat.train.step import Weights
from macrosplat.train.targets import Targets

# Smallest standard deviation of a Gaussian, in px of the training width at the object: half a pixel across two of them.
# Finer ones alias between photos and turn to needles when the scene is seen from nearer.
SMALLEST = 0.25
# The longest standard deviation of a Gaussian, in its middle one: a surface asks for two long axes, what is guessed
# where no photo is in focus turns to needles (experiments: needles).
SLENDER = 6.0


class Training:
    """All of its state is in `model`, `adam` and `done`."""

    def __init__(self, model: Model, targets: Targets, schedule: Schedule, pixel: float, seed: int) -> None:
        """Args: pixel: scene units of one px of the training width at the object."""
        self.model, self.targets, self.schedule, self.pixel, self.seed = model, targets, schedule, pixel, seed
        for parameter in model.parameters().values():
            parameter.requires_grad_()
        self.ranks, self.batch = Ranks(), 1  # who trains together, photos of a step
        self.adam = Adam(model.parameters(), dict.fromkeys(model.parameters(), 0.0))
        self.start = len(model.gaussians)
        self.done = 0
        self.smallest = math.log(SMALLEST * pixel)  # ln of the least standard deviation
        self.slender = math.log(SLENDER)  # ln of the longest in the middle one, at most
        self.weights = Weights(
            drop=schedule.drop,
            mask=schedule.mask_weight,
            opacity=schedule.opacity_weight,
            size=schedule.scale_weight / 3 / (1000 * pixel),
        )

    def turns(self) -> range:
        """The photos of this step that are this rank's, as places in the order in which photos are taken: what `done`
        counts. Chance, too, goes by them, so that nothing depends on how many ranks there are."""
        return range(self.done + self.ranks.rank, self.done + self.batch, self.ranks.count)

    def photo(self, turn: int) -> int:
        """Which photo is taken in a turn."""
        return self.targets.photo_of(turn, self.seed)

    def moving(self, photo: int) -> bool:
        """Whether a photo is taken as one that moved. Photos of a batch all are if any did: their sums are of the same
        parameters."""
        lens = self.model.lens
        return lens.moved(photo) if self.batch == 1 else lens.some_moved()

    def angle(self, plan: Plan, turn: int) -> float:
        """By which the ring of aperture samples is turned, radians."""
        return float(plan.sampling.angle) + GOLDEN * (turn - self.done)

    def last_sampling(self) -> Sampling:
        """Of the aperture, in the last step of the schedule."""
        last = self.schedule.at(max(0, self.schedule.steps - 1), self.start, self.model.lens)
        return replace(last.sampling, learned=0)

    def key(self, purpose: Purpose, turn: int | None = None) -> int:
        """Of the random numbers of this step, or of a turn in it."""
        return key_of(self.seed, self.done if turn is None else turn, purpose)

    def passes(self, every: int) -> bool:
        """Whether a multiple of `every` lies in this step, its end included."""
        return (self.done + self.batch) // every > self.done // every

    def rates(self, plan: Plan) -> dict[str, float]:
        """Learning rates of a step, in the parameters' units; see `ranks` for a batch."""
        rates = {**plan.rates, "means": plan.rates["means"] * self.pixel}
        return rates if self.batch == 1 else {name: rate * math.sqrt(self.batch) for name, rate in rates.items()}

    def noise(self, plan: Plan) -> float:
        """How far MCMC's noise moves a Gaussian that is fully transparent: times its covariance, scene units^-1."""
        of_batch = math.sqrt(self.batch)  # a random walk goes as far in as many photos
        return of_batch * plan.noise * plan.rates["means"] / RATES["means"] * NOISE / (1000 * self.pixel)
