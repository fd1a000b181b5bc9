"""Where a camera's rays meet the scene: for measuring, where `render`'s depth is for blurring.

In: Gaussians, a camera. Out: camera z per pixel. The expected depth of `render` is a mean over all that a ray passes:
at an edge it lies between object and background, and in a haze before the surface. Here a ray ends where half of its
light is gone, at the place where the Gaussian that takes it is densest along the ray. On the CPU, without gradients.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.render import constants
from macrosplat.render.bins_cpu import TILE, bin_splats
from macrosplat.render.camera import Camera
from macrosplat.render.project import project
from macrosplat.render.project_reference import rotations
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.numba import kernel_lock, njit, prange

F = np.float32
ALPHA_MIN, ALPHA_MAX = F(constants.ALPHA_MIN), F(constants.ALPHA_MAX)
ZERO, HALF, ONE = F(0), F(0.5), F(1)
EXPONENT_MIN = F(np.log(constants.ALPHA_MIN))
# A ray that grazes a flat Gaussian may pass densest far outside it: clamped to so many of its standard deviations in z.
REACH = F(3)
LEFT = 0.5  # transmittance at which a ray has met the surface: the median of where its light comes from


@torch.no_grad()
def surface_depth(gaussians: Gaussians, camera: Camera, left: float = LEFT) -> NDArray[np.float32]:
    """[H, W] camera z (scene units) where the transmittance falls below `left`; 0 where it never does.

    Args:
        gaussians: N, float32 on the CPU. camera: one, rigid, on the CPU, too.
    """
    assert gaussians.means.device.type == "cpu", f"gaussians are on {gaussians.means.device}"
    splats, extents = project(gaussians, camera, 0)
    width, height = camera.frame.width, camera.frame.height
    depth, intrinsics = np.zeros((height, width), F), camera.intrinsics.numpy().astype(F)
    table, shapes = splats.numpy(), _shapes(gaussians, camera.view)
    with kernel_lock:
        bins = bin_splats(table, extents.numpy(), width, height)
        _surface(table, shapes, bins.ranges, bins.items, bins.work, intrinsics, F(left), depth)
    return depth


def _shapes(gaussians: Gaussians, view: Tensor) -> NDArray[np.float32]:
    """[N, 7]: xx, xy, xz, yy, yz, zz of the inverse covariance in camera axes, and the standard deviation in z."""
    turn = view[:3, :3].double() @ rotations(gaussians.quats.double())
    scales = gaussians.log_scales.double().exp()
    inverse = (turn / scales[:, None].square()) @ turn.mT
    upper = [inverse[:, i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))]
    thickness = (turn[:, 2] * scales).square().sum(1).sqrt()
    return torch.stack([*upper, thickness], 1).float().numpy()


@njit(parallel=True)
def _surface(splats, shapes, ranges, items, work, camera, left, depth):
    height, width = depth.shape
    tiles_x = (width + TILE - 1) // TILE
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    for w in prange(work.shape[0]):
        tile = work[w]
        x0, y0 = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
        for row in range(y0, min(y0 + TILE, height)):
            for column in range(x0, min(x0 + TILE, width)):
                x, y = F(column) + HALF, F(row) + HALF
                rx, ry = (x - cx) / fx, (y - cy) / fy
                through = ONE
                for position in range(ranges[tile], ranges[tile + 1]):
                    i = items[position]
                    dx, dy = x - splats[i, 0], y - splats[i, 1]
                    power = -HALF * (splats[i, 2] * dx * dx + splats[i, 4] * dy * dy) - splats[i, 3] * dx * dy
                    if power < EXPONENT_MIN:
                        continue
                    alpha = min(splats[i, 5] * np.exp(power), ALPHA_MAX)
                    if alpha < ALPHA_MIN:
                        continue
                    through *= ONE - alpha
                    if through <= left:
                        z = splats[i, 9]
                        # From e, the ray's point at the Gaussian's own z less its mean, the densest point lies
                        # t = - (r A e) / (r A r) along the ray r, A being the inverse covariance.
                        ex, ey = z * dx / fx, z * dy / fy
                        ax = shapes[i, 0] * rx + shapes[i, 1] * ry + shapes[i, 2]
                        ay = shapes[i, 1] * rx + shapes[i, 3] * ry + shapes[i, 4]
                        az = shapes[i, 2] * rx + shapes[i, 4] * ry + shapes[i, 5]
                        t = -(ax * ex + ay * ey) / (ax * rx + ay * ry + az)
                        most = REACH * shapes[i, 6]
                        depth[row, column] = z + min(max(t, -most), most)
                        break
