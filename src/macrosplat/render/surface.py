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
from macrosplat.render.project_reference import rotations
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
    if kernels.__name__.endswith("_cpu"):
        shapes = gaussians.quats.detach(), gaussians.log_scales.detach(), splats[:, :CA]
        return kernels.densest(splats[:, DEPTH], *shapes, takers, camera, REACH)
    y, x = torch.nonzero(takers >= 0, as_tuple=True)
    taker = takers[y, x].long()
    depth = splats.new_zeros(height, width)
    depth[y, x] = _densest(gaussians, camera, splats[taker], taker, torch.stack([x, y], -1) + 0.5)
    return depth


def _densest(gaussians: Gaussians, camera: Camera, splats: Tensor, taker: Tensor, place: Tensor) -> Tensor:
    """[P] camera z of the densest point of Gaussian `taker` [P] along the ray through `place` [P, 2] px.

    From e, the ray's point at the Gaussian's own z less its mean, it lies t = - (r A e) / (r A r) along the ray r, A
    being the inverse covariance; in units of the Gaussian's axes A is the identity.
    """
    focal, middle = camera.intrinsics[:2], camera.intrinsics[2:]
    z = splats[:, DEPTH]
    ray = torch.nn.functional.pad((place - middle) / focal, (0, 1), value=1.0)
    away = torch.nn.functional.pad((place - splats[:, :CA]) / focal, (0, 1)) * z[:, None]
    turn = camera.view[:3, :3] @ rotations(gaussians.quats[taker])  # [P, 3, 3] its axes, in the camera's
    scales = gaussians.log_scales[taker].exp()
    ray, away = ((turn * line[:, :, None]).sum(1) / scales for line in (ray, away))
    most = REACH * (turn[:, 2] * scales).square().sum(1).sqrt()
    t = -(ray * away).sum(1) / ray.square().sum(1)
    return z + torch.minimum(torch.maximum(t, -most), most)
