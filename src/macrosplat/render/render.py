"""`render`: the two stages in a row, and the records that go in and out.

Naming: `means` are world, `*_cam` camera, `*_px` pixels; `depth` is camera z; a pixel's centre lies at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from macrosplat.render.camera import Camera
from macrosplat.render.over import over
from macrosplat.render.project import project
from macrosplat.render.rasterize import rasterize
from macrosplat.scene.gaussians import Gaussians


@dataclass(frozen=True)
class Render:
    """What a camera sees, in linear light; of M cameras each with M in front."""

    colour: Tensor  # [H, W, 3] premultiplied by alpha: add (1 - alpha) * backdrop
    alpha: Tensor  # [H, W]
    depth: Tensor  # [H, W] alpha-weighted sum of camera z: divide by alpha for the expected depth

    def over(self, backdrop: Tensor) -> tuple[Tensor, Tensor]:
        """Over a backdrop [H, W, 3] or [3]: opaque colour [H, W, 3], and the expected depth [H, W]; of M views each
        with M in front, over one backdrop."""
        return over(self.colour, self.alpha, self.depth, backdrop)


def render(gaussians: Gaussians, camera: Camera, sh_degree: int | None = None) -> Render:
    """Draw a scene; differentiable in every Gaussian parameter, in the view and in the intrinsics.

    Args:
        gaussians: N Gaussians.
        camera: one, or M of them, which a GPU draws at once.
        sh_degree: how much of the colour's direction is used; the scene's own degree by default.
    """
    degree = gaussians.sh_degree if sh_degree is None else min(sh_degree, gaussians.sh_degree)
    splats, extents = project(gaussians, camera, degree)
    return Render(*rasterize(splats, extents, camera.frame.width, camera.frame.height, camera.plane))
