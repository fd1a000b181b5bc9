"""What training steps take, reckoned by the schedule: of Gaussians, px and aperture samples, each at its time.

In: a schedule, and what the lens asks for. Out: seconds of a step, on one core of a CPU or on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from macrosplat.lens import Sampling
from macrosplat.train.schedule import Schedule
from macrosplat.train.trainer import Trainer

MOMENTS = 200  # of a training that are looked at


@dataclass(frozen=True)
class Costs:
    """Seconds of a step, and of each aperture sample that is drawn and learned from: as such, per Gaussian, per px."""

    step: float
    sample: float
    gaussian: float
    px: float
    drawing: float  # the share of a sample's that drawing alone takes

    def of(self, gaussians: float, px: float, sampling: Sampling) -> float:
        """Of a step with so many Gaussians, and px of a photo as it is seen in this step."""
        samples = max(1, sampling.samples)
        if 0 < sampling.learned < samples:  # all are drawn, for the comparison, besides those that are learned from
            samples = sampling.learned + self.drawing * samples
        return self.step + samples * (self.sample + self.gaussian * gaussians + self.px * px)


# Experiments: what-a-run-takes.
CORE = Costs(step=11.6e-3, sample=2.5e-3, gaussian=1.0e-6, px=9.6e-8, drawing=0.1)
GPU = Costs(step=1.0e-3, sample=0.3e-3, gaussian=3.0e-9, px=1.8e-9, drawing=0.31)


def steps_of(
    schedule: Schedule, sampling: Callable[[float], Sampling], first: int, px: float, costs: Costs
) -> list[float]:
    """Seconds of a step in each of the `MOMENTS` of a training, at the middle of it.

    Args:
        sampling: of the aperture, when a run is so far, 0 to 1; first: Gaussians at the start; px: of a photo.
    """
    found = []
    for moment in range(MOMENTS):
        t = schedule.share((moment + 0.5) / MOMENTS * schedule.steps)
        gaussians = first * (schedule.gaussians / first) ** schedule.share_grown(t)
        found.append(costs.of(gaussians, px * schedule.scale(t) ** 2, sampling(t)))
    return found


def work_of(trainer: Trainer) -> Callable[[int], float]:
    """What the first n steps of a training take, as reckoned now: growing with n."""
    schedule, targets = trainer.schedule, trainer.targets
    px = float(np.mean([frame.width * frame.height for frame in targets.frames]))
    costs = GPU if targets.device.type == "cuda" else CORE
    each = steps_of(schedule, lambda t: trainer.model.lens.plan(t).sampling, trainer.start, px, costs)
    ends = np.linspace(0, schedule.steps, MOMENTS + 1)
    taken = np.concatenate([[0.0], np.cumsum(each)]) * schedule.steps / MOMENTS
    return lambda n: float(np.interp(n, ends, taken))
