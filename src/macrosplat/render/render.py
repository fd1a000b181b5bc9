"""`render`: the two stages in a row, and the records that go in and out.

Naming: `means` are world, `*_cam` camera, `*_px` pixels; `depth` is camera z; a pixel's centre lies at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from macrosplat.render.pinhole import Pinhole
from macrosplat.render.project import project
from macrosplat.render.rasterize import rasterize
from macrosplat.scene.gaussians import Gaussians


@dataclass(frozen=True)
class Render:
    """What a pinhole sees, in linear light."""

    colour: Tensor  # [H, W, 3] premultiplied by alpha: add (1 - alpha) * backdrop
    alpha: Tensor  # [H, W]
    depth: Tensor  # [H, W] alpha-weighted sum of camera z: divide by alpha for the expected depth

    def over(self, backdrop: Tensor) -> Tensor:
        """The colour before a backdrop [H, W, 3] or [3]: [H, W, 3]."""
        return self.colour + (1 - self.alpha)[..., None] * backdrop

    def expected_depth(self) -> Tensor:
        """[H, W] camera z, the mean along the ray; meaningless where alpha is small."""
        return self.depth / self.alpha.clamp_min(1e-6)


def camera_centre(view: Tensor) -> Tensor:
    """The point [3] that an affine view [4, 4] maps to the camera's origin."""
    # Cramer's rule: `linalg.solve` looks whether the matrix is singular, for which a GPU's host has to wait.
    x, y, z, shift = view[:3].unbind(1)
    across = torch.stack([torch.linalg.cross(y, z), torch.linalg.cross(z, x), torch.linalg.cross(x, y)])
    return -(across @ shift) / (across[0] @ x)


def render(gaussians: Gaussians, view: Tensor, pinhole: Pinhole, sh_degree: int | None = None) -> Render:
    """Draw a scene through a pinhole; differentiable in every Gaussian parameter and in the view.

    Args:
        gaussians: N Gaussians.
        view: [4, 4] world to camera, OpenCV axes; any affine matrix (a lens shears it).
        pinhole: intrinsics and size.
        sh_degree: how much of the colour's direction is used; the scene's own degree by default.
    """
    assert view.shape == (4, 4), f"view has shape {tuple(view.shape)}, expected (4, 4)"
    degree = gaussians.sh_degree if sh_degree is None else min(sh_degree, gaussians.sh_degree)
    splats, extents = project(gaussians, view, camera_centre(view), pinhole, degree)
    return Render(*rasterize(splats, extents, pinhole.width, pinhole.height))
