"""`render`: the two stages in a row, and the records that go in and out.

Naming: `means` are world, `*_cam` camera, `*_px` pixels; `depth` is camera z; a pixel's centre lies at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from macrosplat.render.centre import camera_centre
from macrosplat.render.over import over
from macrosplat.render.pinhole import Pinhole
from macrosplat.render.project import project
from macrosplat.render.rasterize import rasterize
from macrosplat.scene.gaussians import Gaussians


@dataclass(frozen=True)
class Render:
    """What a pinhole sees, in linear light; of M views each with M in front."""

    colour: Tensor  # [H, W, 3] premultiplied by alpha: add (1 - alpha) * backdrop
    alpha: Tensor  # [H, W]
    depth: Tensor  # [H, W] alpha-weighted sum of camera z: divide by alpha for the expected depth

    def over(self, backdrop: Tensor) -> tuple[Tensor, Tensor]:
        """Before a backdrop [H, W, 3] or [3]: opaque colour [H, W, 3], and the expected depth [H, W]; of M views each
        with M in front, before one backdrop."""
        return over(self.colour, self.alpha, self.depth, backdrop)


def render(gaussians: Gaussians, view: Tensor, pinhole: Pinhole, sh_degree: int | None = None) -> Render:
    """Draw a scene through a pinhole; differentiable in every Gaussian parameter and in the view.

    Args:
        gaussians: N Gaussians.
        view: [4, 4] world to camera, OpenCV axes; any affine matrix (a lens shears it). Or M of them, [M, 4, 4], which
            a GPU draws at once.
        pinhole: intrinsics and size.
        sh_degree: how much of the colour's direction is used; the scene's own degree by default.
    """
    assert view.ndim in (2, 3) and view.shape[-2:] == (4, 4), (
        f"view has shape {tuple(view.shape)}, expected (4, 4) or (M, 4, 4)"
    )
    degree = gaussians.sh_degree if sh_degree is None else min(sh_degree, gaussians.sh_degree)
    splats, extents = project(gaussians, view, camera_centre(view), pinhole, degree)
    return Render(*rasterize(splats, extents, pinhole.width, pinhole.height))
