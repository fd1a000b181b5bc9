"""A trainer on the small capture, ready to step."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch

from macrosplat.lens import LENSES, LensStart
from macrosplat.model.backdrop import Backdrop, grid_of
from macrosplat.model.exposure import Exposure
from macrosplat.model.model import Model
from macrosplat.model.rig import Rig
from macrosplat.scene import Gaussians
from macrosplat.scene.start import start_scene
from macrosplat.train.schedule import Schedule
from macrosplat.train.targets import Targets
from macrosplat.train.trainer import Trainer
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
    alpha_masks: Sequence[np.ndarray | None] = (),
    moves: Sequence[bool] | None = None,
    **schedule,
) -> tuple[Trainer, LensStart]:
    """`pupil` is where the lens starts; its focus starts at the truth. `moves`: V cameras that are refined; None: all.
    Of `schedule`, what the lens plans is its."""
    capture = capture or made()
    cameras = capture.cameras
    focal = tuple((cameras.intrinsics[:, 0] / cameras.sizes[:, 0]).tolist())
    start = LensStart(pupil, capture.focus, (1.0,) * len(cameras), sigma0=0.3, width=WIDTH, focal=focal)
    model_of_lens = LENSES[lens](start)
    for name in [name for name in schedule if hasattr(model_of_lens, name)]:
        setattr(model_of_lens, name, schedule.pop(name))
    sizes = [pinhole_of(cameras, n).frame for n in range(len(cameras))]
    if scene is None:
        scene = start_scene(capture.points, cameras, capture.photos, cameras.sizes, PIXEL, 900, 2, seed)
    views, intrinsics = (torch.tensor(x, dtype=torch.float32) for x in (cameras.views, cameras.intrinsics))
    moving = None if moves is None else torch.tensor(moves, dtype=torch.float32)
    model = Model(
        scene.map(lambda t: t.clone()),
        Rig(views, intrinsics, sizes, torch.full((len(cameras),), DISTANCE), PIXEL, moves=moving),
        model_of_lens,
        Backdrop(torch.stack([grid_of(linear(photo)) for photo in capture.photos])),
        Exposure(torch.zeros(len(cameras), 3)),
    )
    targets = Targets(capture.photos, sizes, [None] * len(cameras), alpha_masks=alpha_masks)
    return Trainer(model, targets, Schedule(steps, gaussians=1200, **schedule), PIXEL, seed), start
