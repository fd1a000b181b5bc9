"""When what happens: every learning rate, weight and switching point of a training run in one place.

In: a step number, and a lens model with its own plan. Out: a `Plan`, the values that this step runs with. A feature of
training is a value here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, cos, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.lens import Lens, Sampling
from macrosplat.photos.grain import grain
from macrosplat.render import Frame
from macrosplat.train.step import Kind

# Learning rates of Adam per step, at the start. Those of the scene are 3DGS's; `means` is in px of the training width
# at the object (scenes in mm and scenes of unknown scale train alike).
RATES = {
    "means": 0.3,  # px; 3DGS has 0.16 (experiments: means-rate)
    "log_scales": 5e-3,
    "quats": 1e-3,
    "opacity_logits": 5e-2,
    "sh0": 2.5e-3,
    "sh_rest": 2.5e-3 / 20,
    "backdrop": 1e-3,  # linear light
    "exposure": 1e-3,  # ln of a photo's gain
    "pose.turn": 1e-4,  # radians about the object
    "pose.shift": 1e-2,  # px
    # ln of the capture's focal length: as fast as it can be without going past it (experiments: focal-rate).
    "pose.focal": 3e-5,
    "pose.breathing": 3e-5,  # relative spread of the photos' focal lengths: likewise
}
MEANS_END = 0.02  # of the first rate of `means`, reached exponentially
REST_END = 0.1  # of every other rate, over the last part
GOLDEN = 2.399963  # radians, the golden angle: turns of the ring of aperture samples that never repeat
COOLING = 0.15  # the share of the steps in which those fall

# Where a run that is continued goes on: all of the resolution, several aperture samples, and rates
# that can still change something before they fall again.
REOPENED = 0.7

# So many poses are few: what each photo alone sees has to be kept from being made up to suit it, by dropping more and
# by colours that do not change with the view (experiments: few-poses).
FEW_POSES = 12
FEW = {"drop": 0.3, "sh_degree": 0}
# A Gaussian is relocated if fewer poses have it in the frame than this share of those that have a typical point
# of the object: behind the object's middle, and before it. What one or two of few photos see is made up, a floater in
# all others. Before the object it is in the way; behind it, asking for more poses costs the ground's margins
# (experiments: weakly-observed).
BEHIND, NEAR_OF_FEW = 0.3, 0.6
# Of many photos three fix a point, before the object or behind it (experiments: weakly-observed).
ENOUGH = 3
# Grain from which on D-SSIM counts for less, sRGB of a range of 1, and how many photos are looked at: where nothing
# else is to be seen it compares grain, and a scene learns to have some (experiments: grain).
GRAINY, OF_PHOTOS = 1.2 / 255, 8


@dataclass(frozen=True)
class Plan:
    """The values of one step."""

    scale: float  # resolution: 1 is the training width
    sh_degree: int
    rates: dict[str, float]
    extra: int  # Gaussians to add anywhere after this step
    densify: int  # Gaussians wanted after this step; 0: leave density alone
    noise: float  # of the means, relative to MCMC's own
    sampling: Sampling  # of the aperture
    dssim_weight: float
    terms: tuple[str, ...]  # of the lens that act

    def kind(self, frame: Frame, moving: bool = False) -> Kind:
        """What its launches depend on, for a photo of this size, that moved during its exposure or did not."""
        lens, learns = self.sampling, tuple(sorted(self.rates))
        how = self.sh_degree, learns, self.dssim_weight, lens.learned, moving, self.terms
        return Kind(frame, lens.samples, *how)


@dataclass(frozen=True)
class Schedule:
    """A whole run. Switching points are shares of `steps`; of `reopened`, where a run that was to end there goes on:
    the steps beyond are its last part once more, from `REOPENED` on."""

    steps: int
    gaussians: int  # the most there may be
    reopened: int | None = None  # steps
    sh_degree: int = 2
    refine_poses: bool = False  # structure from motion on blurred photos is 0.2-2 % off
    refine_focal: bool = True  # with them; False: some cameras were given, and know it
    breathing: bool = False  # likewise how focal lengths follow the focus
    half_from: float = 0.1  # resolution 1/4 before, at which the photos are nearly in focus
    full_from: float = 0.4
    learn_exposure: bool = True  # else the photos' gains are frozen where they start
    sh_from: tuple[float, ...] = (0.3, 0.45, 0.6)  # degree 1, 2, 3
    densify_every: int = 100  # steps
    densify_from: float = 0.05
    grown: float = 0.5  # when the last Gaussian has been added
    densify_until: float = 0.85
    least_views: int = 0  # a Gaussian that fewer poses have in the frame is moved elsewhere (`seen.weakly_observed`)
    least_views_near: int = 0  # the same for one that is nearer than the middle of the object
    opacity_weight: float = 0.01
    scale_weight: float = 0.003
    drop: float = 0.0  # share of the Gaussians that a step does without (`drop.thinned`)
    dssim_share: float = 1.0  # of the lens model's weight of D-SSIM (`dssim_share`)
    mask_weight: float = 0.1  # of alpha against the masks, where there are any

    def share(self, step: float) -> float:
        """How far a step is, 0 to 1."""
        first = self.reopened or self.steps  # steps of the run as it was planned
        if step < first:
            return step / first
        return REOPENED + (1 - REOPENED) * (step - first) / max(1, self.steps - first)

    def at(self, step: int, start: int, lens: Lens, batch: int = 1) -> Plan:
        """The plan of a step that takes `batch` photos, for a scene that began with `start` Gaussians."""
        t = self.share(step)
        of_lens = lens.plan(t)
        cooled = 1.0
        if t > 1 - COOLING:
            cooled = REST_END + (1 - REST_END) * 0.5 * (1 + cos(pi * (t - 1 + COOLING) / COOLING))
        rates = {name: rate * cooled * of_lens.scene_rate for name, rate in RATES.items()}
        rates["means"] = RATES["means"] * MEANS_END**t * of_lens.scene_rate
        if not (self.refine_poses and of_lens.poses):
            rates = {name: rate for name, rate in rates.items() if not name.startswith("pose.")}
        elif not (self.refine_focal and of_lens.focal):
            rates = {name: rate for name, rate in rates.items() if name not in ("pose.focal", "pose.breathing")}
        if not self.breathing:
            rates.pop("pose.breathing", None)
        if not self.learn_exposure:
            del rates["exposure"]
        rates |= {name: rate * cooled for name, rate in of_lens.rates.items()}
        before = lens.plan(self.share(step - batch)).extra if step >= batch else 0.0
        ring = of_lens.sampling.samples > 1
        return Plan(
            scale=self.scale(t),
            sh_degree=min(self.sh_degree, sum(t >= begin for begin in self.sh_from)),
            rates=rates,
            extra=max(0, round((of_lens.extra - before) * self.gaussians)),
            densify=self._wanted(t, start) if step >= batch and step % self.densify_every < batch else 0,
            noise=cooled if t < self.densify_until else 0.0,
            sampling=replace(of_lens.sampling, angle=step * GOLDEN) if ring else of_lens.sampling,
            dssim_weight=of_lens.dssim_weight * self.dssim_share,
            terms=of_lens.terms,
        )

    def _wanted(self, t: float, start: int) -> int:
        if not self.densify_from <= t <= self.densify_until:
            return 0
        return round(start * (self.gaussians / start) ** self.share_grown(t))

    def scale(self, t: float) -> float:
        """Of the training width, when a run is so far."""
        return 0.25 if t < self.half_from else 0.5 if t < self.full_from else 1.0

    def share_grown(self, t: float) -> float:
        """How far the number of Gaussians is from that of the start to that of the end, in their logarithm."""
        return min(1.0, max(0.0, (t - self.densify_from) / (self.grown - self.densify_from)))


def by_poses(poses: int, typical: float) -> dict[str, Any]:
    """What of `Schedule` depends on how many poses there are, and how many have a typical point in the frame."""
    if poses <= FEW_POSES:
        return FEW | {"least_views": ceil(BEHIND * typical), "least_views_near": ceil(NEAR_OF_FEW * typical)}
    return dict.fromkeys(("least_views", "least_views_near"), min(ENOUGH, ceil(BEHIND * typical)))


def dssim_share(photos: Sequence[NDArray[np.uint8]]) -> float:
    """What D-SSIM is worth of its weight, 0 to 1, by the grain of V photos [H, W, 3] sRGB at the training width."""
    some = range(0, len(photos), max(1, len(photos) // OF_PHOTOS))
    seen = float(np.median([grain(photos[v]) for v in some]))
    return min(1.0, (GRAINY / seen) ** 2) if seen > 0 else 1.0
