"""The scene as the run's lens would take it, focused anywhere: what `video` and `focus-stack` are made of.

In: a finished RUN. Out: pictures, 8 bit sRGB. The pupil is the one that was found; the blur that even what is in focus
had in the photos (sigma0) is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.lens import Sampling
from macrosplat.render import Camera
from macrosplat.render.surface import surface_depth
from macrosplat.run import Run
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.progress import Progress
from macrosplat.train import checkpoint
from macrosplat.train.checkpoint import Checkpoint

SAMPLES = 4  # of the aperture, as in training
# Of the distance: the pupil of a run whose lens model has none.
PUPIL_ELSE = 0.12


@dataclass(frozen=True)
class Refocus:
    """A run's scene, and a lens to see it through."""

    state: Checkpoint
    pupil: float  # diameter, scene units

    @torch.no_grad()
    def taken(self, camera: Camera, photo: int | None, focus: float) -> NDArray[np.uint8]:
        """[H, W, 3] as the lens takes it, focused at `focus` (camera z, scene units).

        `photo`: whose backdrop is behind, and whose exposure it has; None: their mean.
        """
        return as_bytes(self.state.model.refocused(camera, self.pupil, focus, Sampling(SAMPLES), photo))

    @torch.no_grad()
    def sharp(self, camera: Camera, photo: int | None) -> NDArray[np.uint8]:
        """[H, W, 3] all in focus."""
        return as_bytes(self.state.model.sharp(camera, photo))

    def depths(self, camera: Camera) -> tuple[float, float]:
        """Camera z between which nearly all of what is seen lies, scene units."""
        width, height = camera.frame.width, camera.frame.height
        small = camera.scaled(*(max(16, round(side * min(1.0, 320 / width))) for side in (width, height)))
        depth = surface_depth(self.state.model.gaussians.detach(), small).numpy()
        seen = depth[depth > 0]
        if not len(seen):
            middle = float(self.state.model.rig.pivot_depth.median())
            return 0.95 * middle, 1.05 * middle
        near, far = np.percentile(seen, [2, 98])
        return float(near), float(far)


def load_refocus(run: Path, progress: Progress) -> Refocus:
    """The scene of RUN and its lens.

    Raises:
        MacrosplatError: RUN holds no run.
    """
    state = checkpoint.load(Run(run).checkpoint)
    lens = state.model.estimate()
    if lens is not None:
        return Refocus(state, lens.pupil_diameter)
    progress.note(
        f"The lens model `{state.model.lens.name}` knows no aperture: one as wide as {PUPIL_ELSE} of the distance is "
        "used."
    )
    return Refocus(state, PUPIL_ELSE * float(state.model.rig.pivot_depth.median()))


def as_bytes(linear: torch.Tensor) -> NDArray[np.uint8]:
    """8 bit sRGB of linear light [H, W, 3]."""
    return to_bytes(to_srgb(linear.clamp(0, 1)).numpy())
