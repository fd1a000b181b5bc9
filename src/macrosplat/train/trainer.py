"""The training step, and what it changes.

In: frames (photos to compare with), a start for everything learned, a schedule. Out: the same, learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from macrosplat.devices import one_torch_thread
from macrosplat.lens import Lens, Reshape, Sharp
from macrosplat.render import Pinhole, render
from macrosplat.scene.backdrop import Backdrop
from macrosplat.scene.gaussians import Gaussians
from macrosplat.scene.poses import Poses
from macrosplat.train.adam import Adam
from macrosplat.train.density import densify, jitter
from macrosplat.train.extra import add_anywhere
from macrosplat.train.frames import Frames
from macrosplat.train.loss import photo_loss
from macrosplat.train.schedule import RATES, Plan, Schedule

# Smallest standard deviation of a Gaussian, in px of the training width at the object: half a pixel across two of them.
# Finer ones alias between photos and turn to needles when the scene is seen from nearer.
SMALLEST = 0.25


@dataclass
class Learned:
    """Everything that training changes."""

    gaussians: Gaussians
    lens: Lens
    poses: Poses
    backdrop: Backdrop

    def parameters(self) -> dict[str, Tensor]:
        """All leaves by name."""
        return {
            **self.gaussians.tensors(),
            **self.lens.parameters,
            **self.poses.parameters,
            "backdrop": self.backdrop.grids,
        }

    def to(self, device: torch.device) -> Learned:
        """The same on a device."""
        self.gaussians = self.gaussians.map(lambda t: t.detach().to(device))
        self.lens.to(device)
        self.poses.to(device)
        self.backdrop = Backdrop(self.backdrop.grids.detach().to(device))
        return self

    def draw(
        self,
        view: Tensor,
        pinhole: Pinhole,
        photo: int | None,
        degree: int | None = None,
        reshape: Reshape | None = None,
    ) -> Sharp:
        """What a pinhole sees from `view`, over the backdrop of a photo (None: a view that is no photo's)."""
        gaussians = self.gaussians if reshape is None else reshape(self.gaussians)
        seen = render(gaussians, view, pinhole, degree)
        size = pinhole.width, pinhole.height
        backdrop = self.backdrop.mean(*size) if photo is None else self.backdrop.at(photo, *size)
        return Sharp(seen.over(backdrop), seen.alpha, seen.expected_depth())


class Trainer:
    """Takes one step after the other. All of its state is in `learned`, `adam` and `done`."""

    def __init__(self, learned: Learned, frames: Frames, schedule: Schedule, pixel: float, seed: int) -> None:
        """Args: pixel: scene units of one px of the training width at the object."""
        self.learned, self.frames, self.schedule, self.pixel, self.seed = learned, frames, schedule, pixel, seed
        for parameter in learned.parameters().values():
            parameter.requires_grad_()
        rates = dict.fromkeys(learned.parameters(), 0.0)
        self.adam = Adam(learned.parameters(), rates)
        self.start = len(learned.gaussians)
        self.done = 0

    def step(self) -> Tensor:
        """One photo: render, take the photo, compare, improve. Returns the loss (a scalar on the device)."""
        plan = self.schedule.at(self.done, self.start, self.learned.lens.rates)
        photo = self.frames.photo_of(self.done, self.seed)
        target, pinhole = self.frames.at(photo, plan.scale)

        def draw(view: Tensor, reshape: Reshape | None = None) -> Sharp:
            return self.learned.draw(view, pinhole, photo, plan.sh_degree, reshape)

        with one_torch_thread():
            view = self.learned.poses.view(photo)
            taken = self.learned.lens.photograph(draw, view, pinhole, photo, plan.through)
            loss = photo_loss(taken, target, self.schedule.dssim_weight)
            self._improve(loss, plan)
        self.done += 1
        return loss.detach()

    @torch.no_grad()
    def _improve(self, loss: Tensor, plan: Plan) -> None:
        names = [name for name in self.learned.parameters() if name in plan.rates]
        leaves = [self.adam.parameters[name] for name in names]
        gradients = dict(zip(names, torch.autograd.grad(loss, leaves, allow_unused=True), strict=True))
        self._regularise(gradients)
        self.adam.rates.update(plan.rates)
        self.adam.rates["means"] = plan.rates["means"] * self.pixel
        self.adam.step(gradients)
        gaussians = self.learned.gaussians
        gaussians.log_scales.clamp_min_(math.log(SMALLEST * self.pixel))
        if plan.noise > 0:
            gaussians.means.add_(
                jitter(gaussians, plan.noise * plan.rates["means"] / RATES["means"], self.pixel, self.seed, self.done)
            )
        if plan.extra:
            room = self.schedule.gaussians - len(gaussians)
            gaussians = add_anywhere(gaussians, self.adam, min(plan.extra, room), self.seed, self.done)
            self.learned.gaussians = gaussians
        if plan.densify:
            self.learned.gaussians = densify(gaussians, self.adam, plan.densify, self.seed, self.done)

    def _regularise(self, gradients: dict[str, Any]) -> None:
        """Mild L1 on opacity and size (MCMC): what the photos do not ask for fades, and moves to where it is needed."""
        gaussians, n = self.learned.gaussians, len(self.learned.gaussians)
        opacity = torch.sigmoid(gaussians.opacity_logits)
        gradients["opacity_logits"] += opacity * (1 - opacity) * (self.schedule.opacity_weight / n)
        size = gaussians.log_scales.exp() / (1000 * self.pixel)
        gradients["log_scales"] += size * (self.schedule.scale_weight / (3 * n))
