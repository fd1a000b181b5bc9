"""What a visitor of the live view sees: the scene from any angle, sharp, through a lens, or half and half.

In: what is being learned, and a look. Out: a picture, sRGB. Lengths in scene units, OpenCV axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from macrosplat.lens import Sampling
from macrosplat.model.model import Model
from macrosplat.render import Pinhole
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.dispatch import one_torch_thread

Kind = Literal["sharp", "blurred", "split"]
STEP = 8  # px: widths and heights are multiples, so that a window that is drawn larger needs few sizes
SEAM = 1.0  # sRGB of the line between the halves


@dataclass(frozen=True)
class Look:
    """Where somebody stands, and what they want to see."""

    position: tuple[float, ...]  # [3] world
    turn: tuple[float, ...]  # w, x, y, z: camera to world
    fov: float  # radians, from top to bottom
    aspect: float  # width / height of the window
    kind: Kind
    aperture: float  # of the pupil that was found
    focus: float  # camera z of the plane in focus

    def view(self) -> NDArray[np.float64]:
        """[4, 4] world to camera."""
        turn = Rotation.from_quat(self.turn, scalar_first=True).as_matrix()
        view = np.eye(4)
        view[:3, :3], view[:3, 3] = turn.T, -turn.T @ np.array(self.position)
        return view


def pinhole_of(look: Look, pixels: float, near: float) -> Pinhole:
    """The camera of a look, of about so many pixels."""
    height = math.sqrt(pixels / look.aspect)
    width, height = (max(1, round(side / STEP)) * STEP for side in (height * look.aspect, height))
    half = math.tan(look.fov / 2)  # both sides by the window's own shape, which the rounded one only comes near
    fy, fx = height / 2 / half, width / 2 / (half * look.aspect)
    return Pinhole(fx, fy, width / 2, height / 2, width, height, near)


@torch.no_grad()
def picture(model: Model, look: Look, pinhole: Pinhole, pupil: float, sigma0: float) -> NDArray[np.uint8]:
    """[H, W, 3] sRGB.

    Args:
        pupil: diameter of the entrance pupil that was found, scene units.
        sigma0: px of this picture: blur that is left in focus.
    """
    with one_torch_thread():
        camera = pinhole.at(torch.tensor(look.view(), dtype=torch.float32, device=model.gaussians.means.device))
        sharp = model.sharp(camera) if look.kind != "blurred" else None
        seen = sharp
        if look.kind != "sharp":
            seen = model.refocused(camera, look.aperture * pupil, look.focus, Sampling(), sigma0=sigma0)
        assert seen is not None
        pixels = to_srgb(seen.clamp(0, 1))
        if sharp is not None and look.kind == "split":
            half = pinhole.width // 2
            pixels[:, half:] = to_srgb(sharp[:, half:].clamp(0, 1))
            pixels[:, half - 1 : half + 1] = SEAM
        return to_bytes(pixels.cpu().numpy())
