"""A trainer of a made-up scene, for who wants to know what a run will do, or to have it done once before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from macrosplat.lens import Lens, LensStart
from macrosplat.render import Pinhole
from macrosplat.scene.backdrop import GRID, Backdrop
from macrosplat.scene.exposure import Exposure
from macrosplat.scene.gaussians import SH_REST, Gaussians
from macrosplat.scene.poses import Poses
from macrosplat.train.frames import Frames
from macrosplat.train.schedule import Schedule
from macrosplat.train.trainer import Learned, Trainer

PHOTOS = 2  # Triton compiles anew for 1


def made_up(
    count: int,
    width: int,
    height: int,
    device: torch.device,
    lens: Callable[[LensStart], Lens],
    settings: dict[str, Any],
    schedule: Callable[[Lens], Schedule],
    masked: bool,
) -> Trainer:
    """A trainer of `count` Gaussians in a ball of radius 0.3, seen from 1 away."""
    random = torch.Generator().manual_seed(0)
    pinhole = Pinhole(float(width), float(width), width / 2, height / 2, width=width, height=height, near=0.2)
    photos = [np.full((height, width, 3), 128, np.uint8)] * PHOTOS
    masks = [np.full((height, width), 255, np.uint8) if masked else None] * PHOTOS
    used = lens(LensStart(0.02, (1.0,) * PHOTOS, (1.0,) * PHOTOS, width=width, settings=settings))
    planned = schedule(used)
    frames = Frames(photos, [pinhole] * PHOTOS, used.look(photos, masks), device, covers=masks)
    scene = Gaussians(
        means=0.1 * torch.randn(count, 3, generator=random).clamp(-3, 3),
        log_scales=torch.full((count, 3), -5.0),
        quats=torch.randn(count, 4, generator=random),
        opacity_logits=torch.zeros(count),
        sh0=torch.zeros(count, 3),
        sh_rest=torch.zeros(count, SH_REST[planned.sh_degree], 3),
    )
    views = torch.eye(4).repeat(PHOTOS, 1, 1)
    views[:, 2, 3] = 1.0
    poses = Poses(views, torch.ones(PHOTOS), 1 / width)
    backdrop = Backdrop(torch.full((PHOTOS, *GRID, 3), 0.2))
    learned = Learned(scene, used, poses, backdrop, Exposure(torch.zeros(PHOTOS, 3)))
    return Trainer(learned.to(device), frames, planned, 1 / width, seed=0)
