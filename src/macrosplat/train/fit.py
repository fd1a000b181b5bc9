"""How well training matches the photos just now, in dB: each photo against what the lens makes of the scene,
where the photo counts (its mask).

In: a trainer between two steps, which stays as it is. Out: the mean PSNR over the photos last looked at.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.lens import Sampling
from macrosplat.model.model import Model
from macrosplat.render import Frame
from macrosplat.support.colour import to_srgb
from macrosplat.support.dispatch import one_torch_thread
from macrosplat.support.metrics import psnr
from macrosplat.train.trainer import Trainer

PHOTOS = 5  # that the mean is taken over: single photos differ by some dB
SHARE = 0.02  # of the training's time that may be spent on looking


@torch.no_grad()
def photographed(
    model: Model, photo: int, sampling: Sampling, frame: Frame | None = None, degree: int | None = None
) -> NDArray[np.float32]:
    """[H, W, 3] sRGB in [0, 1]: a photo as the lens makes it of the scene."""
    taken = model.photograph(photo, sampling, frame, degree=degree)
    return to_srgb(taken.clamp(0, 1)).cpu().numpy()


class Fit:
    """Looks at the photo of the last step, now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: deque[float] = deque(maxlen=PHOTOS)
        self._scale = 0.0
        self._looks, self._next = 0, 0.0

    def psnr(self, trainer: Trainer) -> float:
        """In dB. Looks at a photo unless that would cost too much of the time; the first look always happens.

        Call it when no step is pending (`Trainer.settle`).
        """
        began = self._clock()
        if self._looks and began < self._next:
            return float(np.mean(self._found))
        step = max(0, trainer.done - 1)
        plan = trainer.schedule.at(step, trainer.start, trainer.model.lens)
        photo = trainer.targets.photo_of(step, trainer.seed)
        seen, counts, frame = trainer.targets.seen(photo, plan.scale)
        if plan.scale != self._scale:  # coarse photos are matched better: they are not comparable
            self._scale = plan.scale
            self._found.clear()
        with one_torch_thread():
            taken = photographed(trainer.model, photo, plan.sampling, frame, plan.sh_degree)
        self._found.append(psnr(taken, seen / 255.0, counts))
        self._looks += 1
        now = self._clock()
        # On a GPU the first look compiles, which says nothing of the next ones.
        self._next = now + (now - began) / SHARE if self._looks > 1 else now
        return float(np.mean(self._found))
