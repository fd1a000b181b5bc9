"""The training step, and what it changes.

In: frames (photos to compare with), a start for everything learned, a schedule. Out: the same, learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from macrosplat.lens import Lens, Number, Pupil, Reshape, Sharp
from macrosplat.model.backdrop import Backdrop
from macrosplat.model.exposure import Exposure
from macrosplat.model.poses import Poses
from macrosplat.render import Camera, Frame, Pinhole, render
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.dispatch import one_torch_thread, select_row
from macrosplat.train.adam import Adam
from macrosplat.train.density import NOISE, densify, jitter
from macrosplat.train.drop import thinned
from macrosplat.train.extra import add_anywhere
from macrosplat.train.frames import Frames
from macrosplat.train.loss import taken_loss
from macrosplat.train.recorded import AHEAD, Recorder
from macrosplat.train.schedule import RATES, Plan, Schedule
from macrosplat.train.seen import astray
from macrosplat.train.target import Target

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
    exposure: Exposure

    def parameters(self) -> dict[str, Tensor]:
        """All leaves by name."""
        return {
            **self.gaussians.tensors(),
            **self.lens.parameters,
            **self.poses.parameters,
            "backdrop": self.backdrop.grids,
            "exposure": self.exposure.log_gains,
        }

    def to(self, device: torch.device) -> Learned:
        """The same on a device."""
        self.gaussians = self.gaussians.map(lambda t: t.detach().to(device))
        self.lens.to(device)
        self.poses.to(device)
        self.backdrop = Backdrop(self.backdrop.grids.detach().to(device))
        self.exposure = Exposure(self.exposure.log_gains.detach().to(device))
        return self

    def rigid(self, pinholes: Sequence[Pinhole]) -> tuple[Learned, tuple[Pinhole, ...]]:
        """The same before cameras as they are: rigid views, true depths, V pinholes of the corrected focal length.

        Nothing is copied that need not be: not to be trained further. Waits for the device.
        """
        f = self.poses.focal()
        if f == 1:
            return self, tuple(pinholes)
        longer = tuple(replace(p, fx=f * p.fx, fy=f * p.fy, near=f * p.near) for p in pinholes)
        return replace(self, lens=self.lens.farther(f), poses=self.poses.rigid()), longer

    def draw(
        self,
        camera: Camera,
        photo: Number | None,
        degree: int | None = None,
        reshape: Reshape | None = None,
        behind: Tensor | None = None,
    ) -> Sharp:
        """What a camera sees, over the backdrop of a photo (None: a view that is no photo's).

        In the scene's light: a photo shows it with its own exposure (`Exposure.expose`).
        `behind` is that backdrop, for who draws over it more than once.
        """
        gaussians = self.gaussians if reshape is None else reshape(self.gaussians)
        seen = render(gaussians, camera, degree)
        if behind is None:
            behind = self.behind(photo, camera.frame)
        colour, depth = seen.over(behind)
        return Sharp(colour, seen.alpha, depth)

    def behind(self, photo: Number | None, frame: Frame) -> Tensor:
        """[H, W, 3] the backdrop of a photo (None: of a view that is no photo's), in the scene's light."""
        # Grids are kept in their photo's own light: what is seen of them then says nothing about its exposure.
        if photo is None:
            poses = sorted(set(self.poses.leader))
            grid = torch.stack([self.backdrop.grids[p] / self.exposure.gain(p) for p in poses]).mean(0)
        else:
            # Slices of one pose see the same: with backdrops of their own each would keep some of its blur in it.
            leader = self.poses.leading(photo)
            grid = select_row(self.backdrop.grids, leader) / self.exposure.gain(leader)
        return self.backdrop.spread(grid, frame.width, frame.height)


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
        # On a GPU steps are recorded and replayed; the CPU takes each as it comes.
        self._recorder = Recorder(self) if frames.device.type == "cuda" else None

    def step(self) -> Tensor:
        """One photo: render, take the photo, compare, improve. Returns the loss (a scalar on the device).

        `done` counts it. On a GPU up to `AHEAD` steps may turn out to want more room and be taken back (`settle`).
        """
        step = self.done
        plan = self.schedule.at(step, self.start, self.learned.lens.rates)
        photo = self.frames.photo_of(step, self.seed)
        with one_torch_thread():
            loss = self._recorder.step(plan, photo) if self._recorder else self._step(plan, photo)
            self.done = step + 1
            last = self.done % AHEAD == 0 or self.done == self.schedule.steps
            if last or plan.extra or plan.densify:
                self.settle()
            if self.done == step + 1:
                self._change_density(plan, step)
        return loss

    def settle(self) -> None:
        """Make sure that all steps that `done` counts were taken: those that were not are taken off it."""
        if self._recorder:
            self.done -= self._recorder.settle()

    def gradients(
        self,
        photo: Number,
        target: Target,
        frame: Frame,
        intrinsics: Tensor,  # [4] of the photo in that frame
        through: Pupil,
        degree: int,
        names: list[str],
        seed: float | Tensor = 0.0,
    ) -> tuple[Tensor, dict[str, Any]]:
        """The loss of one photo, and its gradients by the parameters named (None: it does not depend on them)."""
        drop = self.schedule.drop

        def draw(camera: Camera, reshape: Reshape | None = None) -> Sharp:
            def reshaped(scene: Gaussians) -> Gaussians:
                scene = scene if reshape is None else reshape(scene)
                return thinned(scene, drop, seed) if drop > 0 else scene

            sharp = self.learned.draw(camera, photo, degree, reshaped, behind)
            if target.cover is None:
                return sharp
            # Alpha is blurred along with the colours.
            return replace(sharp, colour=torch.cat([sharp.colour, sharp.alpha[..., None]], -1))

        # One backdrop for all points of the pupil; this name keeps it until the gradients are there.
        behind = self.learned.behind(photo, frame)
        poses = self.learned.poses
        view = poses.view(photo) if any(name in poses.parameters for name in names) else poses.held(photo)
        taken = self.learned.lens.photograph(draw, Camera(view, intrinsics, frame), photo, through)
        taken = self.learned.exposure.expose(taken, photo)  # a blur and a gain may change places
        loss = taken_loss(taken, target, self.schedule.dssim_weight, self.schedule.mask_weight)
        names = [name for name in self.learned.parameters() if name in names]
        leaves = [self.adam.parameters[name] for name in names]
        gradients = dict(zip(names, torch.autograd.grad(loss, leaves, allow_unused=True), strict=True))
        with torch.no_grad():
            self._regularise(gradients)
            self.learned.lens.believe(gradients)
        return loss, gradients

    @property
    def chance(self) -> int:
        """What the chance of this step depends on."""
        return self.seed * 1_000_003 + self.done

    def rates(self, plan: Plan) -> dict[str, float]:
        """Learning rates of a step, in the parameters' units."""
        return {**plan.rates, "means": plan.rates["means"] * self.pixel}

    def noise(self, plan: Plan) -> float:
        """How far MCMC's noise moves a Gaussian that is fully transparent: times its covariance, scene units^-1."""
        return plan.noise * plan.rates["means"] / RATES["means"] * NOISE / (1000 * self.pixel)

    def drift(self, noise: Tensor, seed: Tensor, stopped: Tensor) -> None:
        """What follows Adam, by numbers that are on the GPU; see `drift_cuda`."""
        from macrosplat.train import drift_cuda

        drift_cuda.drift(self.learned.gaussians, self._smallest, noise, seed, stopped)

    @property
    def _smallest(self) -> float:
        return math.log(SMALLEST * self.pixel)

    def _step(self, plan: Plan, photo: int) -> Tensor:
        target, frame = self.frames.at(photo, plan.scale)
        intrinsics = self.frames.intrinsics(photo, plan.scale)
        loss, gradients = self.gradients(
            photo, target, frame, intrinsics, plan.through, plan.sh_degree, list(plan.rates), self.chance
        )
        with torch.no_grad():
            self.adam.rates.update(self.rates(plan))
            self.adam.step(gradients)
            gaussians = self.learned.gaussians
            gaussians.log_scales.clamp_min_(self._smallest)
            self.learned.lens.confine()
            if plan.noise > 0:
                gaussians.means.add_(jitter(gaussians, self.noise(plan), self.seed, self.done))
        return loss.detach()

    @torch.no_grad()
    def _change_density(self, plan: Plan, step: int) -> None:
        gaussians = self.learned.gaussians
        if plan.extra:
            room = self.schedule.gaussians - len(gaussians)
            gaussians = add_anywhere(gaussians, self.adam, min(plan.extra, room), self.seed, step)
            self.learned.gaussians = gaussians
        if plan.densify:
            lost = self._astray()
            self.learned.gaussians = densify(gaussians, self.adam, plan.densify, self.seed, step, lost)

    def _astray(self) -> Tensor:
        """[N] which Gaussians too few poses hold. Poses as they began: they have moved by a few px since."""
        means, poses, schedule = self.learned.gaussians.means, self.learned.poses, self.schedule
        leaders = sorted(set(poses.leader))
        cameras = [self.frames.pinholes[photo].at(poses.views[photo]) for photo in leaders]
        return astray(means, cameras, schedule.least_views, schedule.least_views_near)

    def _regularise(self, gradients: dict[str, Any]) -> None:
        """Mild L1 on opacity and size (MCMC): what the photos do not ask for fades, and moves to where it is needed."""
        gaussians, n = self.learned.gaussians, len(self.learned.gaussians)
        by_opacity = self.schedule.opacity_weight / n
        by_size = self.schedule.scale_weight / (3 * n) / (1000 * self.pixel)
        if self._recorder:
            from macrosplat.train import drift_cuda

            drift_cuda.fade(gaussians, gradients["opacity_logits"], gradients["log_scales"], by_opacity, by_size)
            return
        opacity = torch.sigmoid(gaussians.opacity_logits)
        gradients["opacity_logits"] += opacity * (1 - opacity) * by_opacity
        gradients["log_scales"] += gaussians.log_scales.exp() * by_size
