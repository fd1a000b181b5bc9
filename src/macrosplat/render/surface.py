"""Where a camera's rays meet the scene: for measuring, where `render`'s depth is for blurring.

In: Gaussians, a camera. Out: camera z per pixel. The expected depth of `render` is a mean over all that a ray passes:
at an edge it lies between object and background, and in a haze before the surface. Here a ray ends where half of its
light is gone, at the place where the Gaussian that takes it is densest along the ray. Without gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from macrosplat.render.camera import Camera
from macrosplat.render.constants import CA, DEPTH
from macrosplat.render.project import project
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.render.surface"
# A ray that grazes a flat Gaussian may pass densest far outside it: clamped to so many of its standard deviations in z.
REACH = 3.0
LEFT = 0.5  # transmittance at which a ray has met the surface: the median of where its light comes from


@torch.no_grad()
def surface_depth(gaussians: Gaussians, camera: Camera, left: float = LEFT) -> Tensor:
    """[H, W] camera z (scene units) where the transmittance falls below `left`; 0 where it never does.

    Args:
        gaussians: N, float32. camera: one, rigid, on the same device.
    """
    assert gaussians.means.dtype == torch.float32 and camera.view.ndim == 2, "float32 and one camera"
    splats, extents = project(gaussians, camera, 0)
    width, height = camera.frame.width, camera.frame.height
    kernels = kernels_for(STAGE, splats)
    takers = kernels.takers(splats, extents, width, height, left)
    shapes = gaussians.quats.detach(), gaussians.log_scales.detach()
    return kernels.densest(splats[:, DEPTH], *shapes, splats[:, :CA], takers, camera, REACH)
