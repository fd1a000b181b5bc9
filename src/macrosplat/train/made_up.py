"""Made-up scenes, always the same for a size: what is measured, and what kernels are loaded with."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from macrosplat.lens import LensStart
from macrosplat.lens.thin import ThinLens
from macrosplat.model.backdrop import Backdrop
from macrosplat.model.exposure import Exposure
from macrosplat.model.model import Model
from macrosplat.model.rig import Rig
from macrosplat.render import Pinhole, render
from macrosplat.scene.gaussians import SH_REST, Gaussians
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.train.schedule import Schedule
from macrosplat.train.targets import Targets
from macrosplat.train.trainer import Trainer

DISTANCE = 10.0  # scene units to the object's middle, which is in focus
DEPTH = 1.0  # scene units that the object reaches to either side of it
MOST_BLUR = 1 / 80  # of the width: sigma of the object's nearest point


@dataclass(frozen=True)
class Size:
    gaussians: int
    width: int
    height: int
    degree: int  # of the spherical harmonics

    def __str__(self) -> str:
        return f"{self.gaussians:,} Gaussians, SH {self.degree}, {self.width} x {self.height}"


@dataclass(frozen=True)
class Setting:
    """A made-up capture of one photo."""

    gaussians: Gaussians
    pinhole: Pinhole
    pupil: float  # scene units

    @property
    def pixel(self) -> float:
        """Scene units of a px at the object."""
        return DISTANCE / self.pinhole.fx


def make_setting(size: Size, seed: int = 0) -> Setting:
    """An ellipsoid full of Gaussians of about 1.8 px, before a camera at the origin."""
    random = torch.Generator().manual_seed(seed)
    n, k = size.gaussians, SH_REST[size.degree]

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    fx = 5.0 * size.width
    half_frame = torch.tensor([size.width, size.height]) / 2 * DISTANCE / fx
    place = torch.nn.functional.normalize(normal(n, 3), dim=1) * torch.rand(n, 1, generator=random) ** (1 / 3)
    means = place * torch.tensor([*(0.95 * half_frame), DEPTH]) + torch.tensor([0.0, 0.0, DISTANCE])
    gaussians = Gaussians(
        means=means,
        log_scales=math.log(1.8 * DISTANCE / fx) + 0.5 * normal(n, 3),
        quats=normal(n, 4),
        opacity_logits=1.5 * normal(n),
        sh0=normal(n, 3),
        sh_rest=0.2 * normal(n, k, 3),
    )
    # sigma = D / 4 fx |1 / d0 - 1 / d|
    pupil = 4 * MOST_BLUR * size.width / fx / abs(1 / DISTANCE - 1 / (DISTANCE - DEPTH))
    pinhole = Pinhole(fx, fx, size.width / 2, size.height / 2, size.width, size.height, near=0.2 * DISTANCE)
    return Setting(gaussians, pinhole, pupil)


def make_trainer(
    setting: Setting,
    samples: int,
    photos: int = 1,
    device: torch.device | str = "cpu",
    terms: bool = False,
    learned: int = 0,
    degree: int | None = None,
    whole: bool = False,
) -> Trainer:
    """A trainer that stays at full resolution and density, and takes so many aperture samples, of which gradients go
    through so many (0: all); with `terms` it learns those of the lens beyond the blur; colours change with the view
    by harmonics up to a `degree` (None: by all that the scene has). `whole`: cameras and alpha are learned."""
    gaussians, pinhole = setting.gaussians.map(lambda t: t.to(device, copy=True)), setting.pinhole
    with torch.no_grad():
        seen, _ = render(gaussians, pinhole.at(torch.eye(4, device=device))).over(torch.full((3,), 0.2, device=device))
    photo = to_bytes(to_srgb(seen.clamp(0, 1)).cpu().numpy())
    # Something to learn: the photo is the scene one pixel away.
    taken = [np.roll(photo, 1 + i, axis=1) for i in range(photos)]
    views = torch.eye(4).repeat(photos, 1, 1)
    start = LensStart(
        setting.pupil,
        (DISTANCE,) * photos,
        (1.0,) * photos,
        width=pinhole.width,
        focal=(pinhole.fx / pinhole.width,) * photos,
    )
    lens = ThinLens(replace(start, settings={"aberrations": "auto"} if terms else {}))
    lens.learn_from = lens.pupil_from = 0.0
    lens.spans = ((0.0, 1.0, samples, learned),) if samples > 1 else ()
    intrinsics, frames = pinhole.at(views[0]).intrinsics.repeat(photos, 1), [pinhole.frame] * photos
    if whole:
        lens.poses_from = 0.0
    model = Model(
        gaussians=gaussians,
        lens=lens,
        rig=Rig(views, intrinsics, frames, torch.full((photos,), DISTANCE), setting.pixel),
        backdrop=Backdrop(torch.full((photos, 3, 4, 3), 0.2)),
        exposure=Exposure(torch.zeros(photos, 3)),
    )
    schedule = Schedule(
        steps=10**6,
        gaussians=len(gaussians),
        sh_degree=gaussians.sh_degree,
        half_from=0.0,
        full_from=0.0,
        sh_from=tuple(0.0 if degree is None or n < degree else math.inf for n in range(3)),
        densify_every=10**9,
        refine_poses=whole,
    )
    masks = [np.full(photo.shape[:2], 255, np.uint8)] * photos if whole else ()
    targets = Targets(taken, frames, [None] * photos, device, alpha_masks=masks)
    return Trainer(model.to(torch.device(device)), targets, schedule, setting.pixel, seed=0)
