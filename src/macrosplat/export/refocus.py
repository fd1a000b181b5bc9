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

from macrosplat.lens import LensStart, Pupil, Reshape, Sharp
from macrosplat.lens.thin import SIGMA0_MIN, ThinLens
from macrosplat.render import Camera, Pinhole
from macrosplat.render.surface import surface_depth
from macrosplat.run import Run
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.progress import Progress
from macrosplat.train import checkpoint
from macrosplat.train.checkpoint import Checkpoint

PUPIL_POINTS = 4  # as in training: the photo is their mean, with what they leave out as blur
# Of the distance: the pupil of a run whose lens model has none.
PUPIL_ELSE = 0.12


@dataclass(frozen=True)
class Refocus:
    """A run's scene before a lens."""

    state: Checkpoint
    pupil: float  # diameter, scene units

    @torch.no_grad()
    def taken(self, view: torch.Tensor, pinhole: Pinhole, photo: int | None, focus: float) -> NDArray[np.uint8]:
        """[H, W, 3] as the lens takes it from `view`, focused at `focus` (camera z, scene units).

        `photo`: whose backdrop is behind, and whose exposure it has; None: their mean.
        """
        lens = ThinLens(LensStart(self.pupil, (focus,), (1.0,), sigma0=SIGMA0_MIN, width=pinhole.width))

        def draw(camera: Camera, reshape: Reshape | None = None) -> Sharp:
            return self.state.learned.draw(camera, photo, None, reshape)

        taken = lens.photograph(draw, pinhole.at(view), 0, Pupil(PUPIL_POINTS))
        return _bytes(self.state.learned.exposure.expose(taken, photo))

    @torch.no_grad()
    def sharp(self, view: torch.Tensor, pinhole: Pinhole, photo: int | None) -> NDArray[np.uint8]:
        """[H, W, 3] all in focus."""
        seen = self.state.learned.draw(pinhole.at(view), photo)
        return _bytes(self.state.learned.exposure.expose(seen.colour, photo))

    def depths(self, view: torch.Tensor, pinhole: Pinhole) -> tuple[float, float]:
        """Camera z between which nearly all of what is seen lies, scene units."""
        small = pinhole.scaled(*(max(16, round(side * min(1.0, 320 / pinhole.width))) for side in _size(pinhole)))
        depth = surface_depth(self.state.learned.gaussians.detach(), small.at(view))
        seen = depth[depth > 0]
        if not len(seen):
            middle = float(self.state.learned.poses.pivot_depth.median())
            return 0.95 * middle, 1.05 * middle
        near, far = np.percentile(seen, [2, 98])
        return float(near), float(far)


def load_refocus(run: Path, progress: Progress) -> Refocus:
    """The scene of RUN and its lens.

    Raises:
        MacrosplatError: RUN holds no run.
    """
    state = checkpoint.load(Run(run).checkpoint).rigid()
    found = state.learned.lens.found()
    if "pupil_diameter" in found:
        return Refocus(state, float(found["pupil_diameter"]))
    progress.note(
        f"The lens model `{found['model']}` knows no aperture: one as wide as {PUPIL_ELSE} of the distance is used."
    )
    return Refocus(state, PUPIL_ELSE * float(state.learned.poses.pivot_depth.median()))


def _size(pinhole: Pinhole) -> tuple[int, int]:
    return pinhole.width, pinhole.height


def _bytes(linear: torch.Tensor) -> NDArray[np.uint8]:
    return to_bytes(to_srgb(linear.clamp(0, 1)).numpy())
