"""Where everything that is learned begins.

In: a `TrainingInput` and its photos at the training width. Out: how they lie in space (`Geometry`), the start of the
lens, and `ModelStart`, which makes the same `Model` with any lens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.brackets.recognise import poses_of
from macrosplat.cameras.records import Cameras
from macrosplat.capture.records import TrainingInput
from macrosplat.lens import Lens, LensStart
from macrosplat.lens.breathing import expected
from macrosplat.lens.start import start_lens
from macrosplat.model.backdrop import Backdrop, grid_of
from macrosplat.model.exposure import Exposure
from macrosplat.model.model import Model
from macrosplat.model.rig import Rig, leaders
from macrosplat.photos.decode import TABLE_8
from macrosplat.render import Camera, Frame
from macrosplat.scene.gaussians import Gaussians
from macrosplat.scene.start import observed_depths, start_scene
from macrosplat.support.threads import ordered

# Nearest drawn depth, as a share of the distance to the object: nothing stands in front of a macro lens.
NEAR = 0.2
# Gaussians to begin with, per px of a photo: they have to settle while the photos have a quarter of their width. More
# than find a surface to settle on stay a fog before it, which blurs all photos alike (experiments: first-gaussians).
FIRST = 0.1


@dataclass(frozen=True)
class Geometry:
    """How photos lie in space, at the width they are trained at; lengths in scene units."""

    cameras: Cameras  # V, at the training width
    depths: NDArray[np.float64]  # [O] camera z of every observation
    distance: float  # to the object: the median of them
    pixel: float  # size of one px of the training width at the object
    frames: list[Frame]  # V
    poses: tuple[tuple[int, ...], ...]  # photos taken from one place

    @staticmethod
    def of(given: TrainingInput) -> Geometry:
        small = given.cameras.resized(given.width)
        depths = observed_depths(given.points, given.cameras)
        distance = float(np.median(depths))
        pixel = distance / float(np.median(small.intrinsics[:, 0]))
        frames = [Frame(int(width), int(height), NEAR * distance) for width, height in small.sizes]
        return Geometry(small, depths, distance, pixel, frames, poses_of(given.photos))

    def first_cameras(self) -> list[Camera]:
        """One camera of each pose."""
        small = self.cameras
        return [
            Camera(torch.tensor(small.views[v]), torch.tensor(small.intrinsics[v]), self.frames[v])
            for v in (group[0] for group in self.poses)
        ]


def lens_of(
    given: TrainingInput,
    geometry: Geometry,
    photos: Sequence[NDArray[np.uint8]],
    seed: int,
    settings: dict[str, Any],
    all_blurred: bool,
) -> LensStart:
    """Where the lens of these photos begins.

    Args:
        settings: the lens model's own options.
        all_blurred: whether nothing is in focus in any photo.
    """
    small = geometry.cameras
    return replace(
        start_lens(given.points, geometry.depths, small, given.cameras.sizes, photos, given.photos),
        focal=tuple((small.intrinsics[:, 0] / small.sizes[:, 0]).tolist()),
        centre=tuple(np.median(given.points.xyz, 0).tolist()),
        distance=geometry.distance,
        spread=max(float(geometry.depths.std()), 1e-9 * geometry.distance),
        all_blurred=all_blurred,
        seed=seed,
        settings=settings,
    )


@dataclass(frozen=True)
class ModelStart:
    """All of a model but its lens; called with one it gives a model of its own."""

    geometry: Geometry
    scene: Gaussians
    grids: Tensor  # [V, rows, columns, 3] of the backdrop
    exposure: Exposure
    device: torch.device
    # fx / width that the lens has at infinity, where EXIF knows it and the cameras were found from the photos, so that
    # their poses hide how it breathes; None: the focal lengths stay as they are given.
    nominal: float | None = None
    moves: tuple[bool, ...] | None = None  # V whether training may move the camera; None: all

    @staticmethod
    def of(
        given: TrainingInput,
        geometry: Geometry,
        photos: Sequence[NDArray[np.uint8]],
        exposure: Exposure,
        most: int,  # Gaussians at the end
        sh_degree: int,
        seed: int,
        device: torch.device,
        threads: int,
        nominal: float | None = None,
        moves: tuple[bool, ...] | None = None,
    ) -> ModelStart:
        first = round(FIRST * max(frame.width * frame.height for frame in geometry.frames))
        count = max(min(most, len(given.points)), min(most // 3, first))
        small, sizes = geometry.cameras, given.cameras.sizes
        scene = start_scene(given.points, small, photos, sizes, geometry.pixel, count, sh_degree, seed)
        grids = list(ordered(lambda v: grid_of(torch.from_numpy(TABLE_8[photos[v]])), range(len(photos)), threads))
        return ModelStart(geometry, scene, torch.stack(grids), exposure, device, nominal, moves)

    def __call__(self, lens: Lens) -> Model:
        geometry, small = self.geometry, self.geometry.cameras
        rig = Rig(
            torch.tensor(small.views, dtype=torch.float32),
            torch.tensor(small.intrinsics, dtype=torch.float32),
            geometry.frames,
            torch.full((len(small),), geometry.distance),
            geometry.pixel,
            leaders(geometry.poses),
            None if self.moves is None else torch.tensor(self.moves, dtype=torch.float32),
        )
        if self.nominal is not None:
            found = float(np.median(small.intrinsics[:, 0] / small.sizes[:, 0]))
            rig.parameters["pose.breathing"].fill_(expected(self.nominal, found, lens.spread))
        model = Model(
            gaussians=self.scene.map(torch.clone),
            lens=lens,
            rig=rig,
            backdrop=Backdrop(self.grids.clone()),
            exposure=Exposure(self.exposure.log_gains.clone()),
        )
        return model.to(self.device)
