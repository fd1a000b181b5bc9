"""When what happens: every learning rate, weight and switching point of a training run in one place.

In: a step number. Out: a `Plan`, the values that this step runs with. A feature of training is a value here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, pi
from typing import Any

from macrosplat.lens import Pupil

# Learning rates of Adam per step, at the start. Those of the scene are 3DGS's; `means` is in px of the training width
# at the object (scenes in mm and scenes of unknown scale train alike).
RATES = {
    "means": 0.3,  # px; 0.16, as 3DGS has it, loses 0.1 dB in 3000 steps
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
}
MEANS_END = 0.02  # of the first rate of `means`, reached exponentially
REST_END = 0.1  # of every other rate, over the last part
PUPIL_END = 0.1  # of the pupil's first rate, reached linearly when it is held: it has far to go and then to settle
GOLDEN = 2.399963  # radians, the golden angle: turns of the pupil's ring that never repeat
COOLING = 0.15  # the share of the steps in which those fall

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


@dataclass(frozen=True)
class Plan:
    """The values of one step."""

    scale: float  # resolution: 1 is the training width
    sh_degree: int
    rates: dict[str, float]
    extra: int  # Gaussians to add anywhere after this step
    densify: int  # Gaussians wanted after this step; 0: leave density alone
    noise: float  # of the means, relative to MCMC's own
    through: Pupil  # how the lens is looked through


@dataclass(frozen=True)
class Schedule:
    """A whole run. Switching points are shares of `steps`."""

    steps: int
    gaussians: int  # the most there may be
    sh_degree: int = 2
    refine_poses: bool = False  # with the focal length: structure from motion on blurred photos is 0.2-2 % off
    half_from: float = 0.1  # resolution 1/4 before, at which the photos are nearly in focus
    full_from: float = 0.4
    lens_from: float = 0.05  # the lens's numbers are held until there is a scene to judge them by
    blur_from: float = 0.0  # before, the photos are taken to be a pinhole's
    slow: tuple[float, float] = (0.0, 0.0)  # a span in which the scene learns at `slow_rate`: its lens catches up
    slow_rate: float = 1.0
    extra: float = 0.0  # Gaussians added anywhere at `extra_at`, as a share of `gaussians`
    extra_at: float = 0.0
    learn_exposure: bool = True  # else the photos' gains are held where they start
    poses_from: float = 0.4  # after the blur has settled
    # When the lens is looked through at several points, which costs as many renders: early at resolution 1/2, where it
    # is cheap and finds the lens, and at the end. Between them, detail is drawn through the pupil's centre alone and
    # the lens is held: learned that way, the pupil comes out 20 % too small where much is occluded. The pupil itself is
    # learned in the first span only: at full resolution, parts that no photo has in focus keep their blur in the scene
    # and pull it down by another 5 %. Begin, end, points (see also `lens.thin.SPANS`).
    pupil_spans: tuple[tuple[float, float, int], ...] = ((0.12, 0.4, 8), (0.7, 1.0, 4))
    sh_from: tuple[float, ...] = (0.3, 0.45, 0.6)  # degree 1, 2, 3
    densify_every: int = 100  # steps
    densify_from: float = 0.05
    grown: float = 0.5  # when the last Gaussian has been added
    densify_until: float = 0.85
    least_views: int = 0  # a Gaussian that fewer poses have in the frame is moved elsewhere (`seen.astray`)
    least_views_near: int = 0  # the same for one that is nearer than the middle of the object
    opacity_weight: float = 0.003
    scale_weight: float = 0.003
    dssim_weight: float = 0.2
    drop: float = 0.0  # share of the Gaussians that a step does without (`drop.thinned`)
    mask_weight: float = 0.1  # of alpha against the masks, where there are any

    def at(self, step: int, start: int, lens_rates: dict[str, float]) -> Plan:
        """The plan of a step, for a scene that began with `start` Gaussians."""
        t = step / self.steps
        cooled = 1.0
        if t > 1 - COOLING:
            cooled = REST_END + (1 - REST_END) * 0.5 * (1 + cos(pi * (t - 1 + COOLING) / COOLING))
        rates = {name: rate * cooled for name, rate in (RATES | lens_rates).items()}
        rates["means"] = RATES["means"] * MEANS_END**t
        if "lens.pupil" in rates and self.pupil_spans:
            begin, settled_at = self.lens_from, self.pupil_spans[0][1]
            rates["lens.pupil"] *= 1 - (1 - PUPIL_END) * min(1.0, max(0.0, (t - begin) / (settled_at - begin)))
        through = self._through(t, step)
        settled = t >= self.pupil_spans[0][1] if self.pupil_spans else False
        held = [*(lens_rates if t < self.lens_from or (settled and through.points < 2) else ())]
        held += ["lens.pupil"] if settled else []
        held += [] if self.learn_exposure else ["exposure"]
        held += [
            name for name in rates if name.startswith("pose.") and not (self.refine_poses and t >= self.poses_from)
        ]
        slowed = self.slow_rate if self.slow[0] <= t < self.slow[1] else 1.0
        rates = {name: rate * (slowed if name in RATES else 1) for name, rate in rates.items() if name not in held}
        return Plan(
            scale=0.25 if t < self.half_from else 0.5 if t < self.full_from else 1.0,
            sh_degree=min(self.sh_degree, sum(t >= begin for begin in self.sh_from)),
            rates=rates,
            extra=round(self.extra * self.gaussians) if step == round(self.extra_at * self.steps) else 0,
            densify=self._wanted(t, start) if step > 0 and step % self.densify_every == 0 else 0,
            noise=cooled if t < self.densify_until else 0.0,
            through=through,
        )

    def _through(self, t: float, step: int) -> Pupil:
        if t < self.blur_from:
            return Pupil(0)
        points = [points for begin, end, points in self.pupil_spans if begin <= t < end]
        return Pupil(points[0], step * GOLDEN) if points else Pupil()

    def _wanted(self, t: float, start: int) -> int:
        if not self.densify_from <= t <= self.densify_until:
            return 0
        grown = min(1.0, (t - self.densify_from) / (self.grown - self.densify_from))
        return round(start * (self.gaussians / start) ** grown)


def by_poses(poses: int, typical: float) -> dict[str, Any]:
    """What of `Schedule` depends on how many poses there are, and how many have a typical point in the frame."""
    if poses <= FEW_POSES:
        return FEW | {"least_views": ceil(BEHIND * typical), "least_views_near": ceil(NEAR_OF_FEW * typical)}
    return dict.fromkeys(("least_views", "least_views_near"), min(ENOUGH, ceil(BEHIND * typical)))
