"""A trainer on the small capture, ready to step."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch

from macrosplat.lens import LENSES, LensStart
from macrosplat.model.backdrop import Backdrop, grid_of
from macrosplat.model.exposure import Exposure
from macrosplat.model.poses import Poses
from macrosplat.scene import Gaussians
from macrosplat.scene.start import start_scene
from macrosplat.train.frames import Frames
from macrosplat.train.schedule import Schedule
from macrosplat.train.trainer import Learned, Trainer
from making_captures import DISTANCE, FOCAL, PUPIL, WIDTH, Made, linear, make, pinhole_of

PIXEL = DISTANCE / FOCAL
made = functools.cache(make)  # nobody changes it


def make_trainer(
    steps: int,
    seed: int = 0,
    lens: str = "thin",
    pupil: float = PUPIL,
    scene: Gaussians | None = None,
    capture: Made | None = None,
    covers: Sequence[np.ndarray | None] = (),
    **schedule,
) -> tuple[Trainer, LensStart]:
    """`pupil` is where the lens starts; its focus starts at the truth."""
    capture = capture or made()
    cameras = capture.cameras
    start = LensStart(pupil, capture.focus, (1.0,) * len(cameras), sigma0=0.3, width=WIDTH)
    if scene is None:
        scene = start_scene(capture.points, cameras, capture.photos, cameras.sizes, PIXEL, 900, 2, seed)
    learned = Learned(
        scene.map(lambda t: t.clone()),
        LENSES[lens](start),
        Poses(torch.tensor(cameras.views, dtype=torch.float32), torch.full((len(cameras),), DISTANCE), PIXEL),
        Backdrop(torch.stack([grid_of(linear(photo)) for photo in capture.photos])),
        Exposure(torch.zeros(len(cameras), 3)),
    )
    frames = Frames(
        capture.photos, [pinhole_of(cameras, n) for n in range(len(cameras))], [None] * len(cameras), covers=covers
    )
    return Trainer(learned, frames, Schedule(steps, gaussians=1200, **schedule), PIXEL, seed), start
