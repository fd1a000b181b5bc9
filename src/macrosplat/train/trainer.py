"""Training: one step after the other, and what changes between two of them.

In: targets (photos to compare with), a model at its start, a schedule. Out: the same model, learned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from macrosplat.lens.rim import RimTold
from macrosplat.model.model import Model
from macrosplat.support.dispatch import kind_of, one_torch_thread
from macrosplat.train.density import densify
from macrosplat.train.eager import Eager
from macrosplat.train.extra import add_anywhere
from macrosplat.train.motion import look_for_motion
from macrosplat.train.ranks import Ranks
from macrosplat.train.rim_look import look_at_rim
from macrosplat.train.schedule import Plan, Schedule
from macrosplat.train.seen import weakly_observed
from macrosplat.train.step import AHEAD
from macrosplat.train.targets import Targets
from macrosplat.train.training import Training


class Trainer(Training):
    """Takes one step after the other."""

    def __init__(self, model: Model, targets: Targets, schedule: Schedule, pixel: float, seed: int) -> None:
        """Args: pixel: scene units of one px of the training width at the object."""
        super().__init__(model, targets, schedule, pixel, seed)
        if kind_of(targets.device) == "cuda":
            from macrosplat.train.graphs import Graphs

            self._steps = Graphs(self)
        else:
            self._steps = Eager(self)

    def step(self) -> Tensor:
        """One photo: take it, compare, improve. Returns the loss (a scalar on the device).

        `done` counts it. On a GPU up to `AHEAD` steps may turn out to want more room and be taken back (`settle`).
        """
        lens = self.model.lens
        if lens.undecided(self.schedule.share(self.done)):
            self.settle()  # may go back
            if lens.undecided(self.schedule.share(self.done)):
                lens.decide(self._told_of_rim)
        if lens.looks(self.schedule.share(self.done)):
            self.settle()
            if lens.looks(t := self.schedule.share(self.done)):
                look_for_motion(self.model, self.targets, self.schedule.scale(t))
                lens.looked(t)
                self.ranks.take_from_first([p for name, p in lens.parameters.items() if name.startswith("lens.motion")])
        step = self.done
        plan = self.schedule.at(step, self.start, self.model.lens, self.batch)
        with one_torch_thread():
            look = self.passes(AHEAD)
            loss = self._steps.step(plan)
            self.done = min(step + self.batch, self.schedule.steps)
            if look or self.done == self.schedule.steps or plan.extra or plan.densify:
                self.settle()
            if self.done > step:
                self._change_density(plan, step)
        return loss

    def share(self, ranks: Ranks, batch: int) -> None:
        """Train together with others from here on, `batch` photos a step, at least one for each rank."""
        assert batch >= ranks.count, f"a batch of {batch} for {ranks.count} ranks"
        self.settle()
        self.ranks, self.batch, self.adam.batch = ranks, batch, batch
        if batch > 1 and not isinstance(self._steps, Eager):
            from macrosplat.train.shared import SharedGraphs

            self._steps = SharedGraphs(self)

    @property
    def settled(self) -> bool:
        """Whether it is known that all steps were taken that `done` counts; always so after at most `AHEAD`."""
        return not self._steps.pending

    def settle(self) -> None:
        """Make sure that all steps that `done` counts were taken: those that were not are taken off it.

        Of several ranks all have to do so after the same step: in between only who finds it `settled` may ask.
        """
        self.done -= self._steps.settle()

    def _told_of_rim(self) -> RimTold:
        """What the photos tell of the pupil's shape: to all ranks the same, or they would train different lenses."""
        told = look_at_rim(self.model, self.targets)
        numbers = [torch.from_numpy(part).to(self.targets.device) for part in (told.step, told.covariance)]
        self.ranks.take_from_first(numbers)
        return RimTold(*(part.cpu().numpy() for part in numbers))

    @torch.no_grad()
    def _change_density(self, plan: Plan, step: int) -> None:
        gaussians = self.model.gaussians
        if plan.extra:
            room = self.schedule.gaussians - len(gaussians)
            gaussians = add_anywhere(gaussians, self.adam, min(plan.extra, room), self.seed, step)
            self.model.gaussians = gaussians
        if plan.densify:
            weak = self._weakly_observed()
            self.model.gaussians = densify(gaussians, self.adam, plan.densify, self.seed, step, weak)
        if plan.extra or plan.densify:
            self.ranks.take_from_first(self._state())

    def _state(self) -> list[Tensor]:
        """What all ranks have to agree on."""
        adam = self.adam
        return [t for name in adam.parameters for t in (adam.parameters[name], adam.first[name], adam.second[name])]

    def _weakly_observed(self) -> Tensor:
        """[N] which Gaussians too few poses have in their frame."""
        rig, schedule = self.model.rig, self.schedule
        cameras = [rig.begun(photo) for photo in sorted(set(rig.leader))]
        return weakly_observed(self.model.gaussians.means, cameras, schedule.least_views, schedule.least_views_near)
