"""Where a ray is densest in the Gaussian that takes its light, in plain torch: the specification, and a GPU's own."""

from __future__ import annotations

import torch
from torch import Tensor

from macrosplat.render.camera import Camera
from macrosplat.render.project_reference import rotations


def densest(
    means_z: Tensor, quats: Tensor, log_scales: Tensor, centres: Tensor, takers: Tensor, camera: Camera, most: float
) -> Tensor:
    """[H, W] camera z of the densest point of each ray's taker; 0 where there is none.

    From e, the ray's point at the Gaussian's own z less its mean, it lies t = - (r A e) / (r A r) along the ray r, A
    being the inverse covariance; in units of the Gaussian's axes A is the identity.

    Args:
        means_z: [N] camera z, quats: [N, 4], log_scales: [N, 3], centres: [N, 2] px. takers: [H, W] rows of these,
        -1: none. most: standard deviations in z, by which the point lies from the Gaussian's own z at the most.
    """
    depth = means_z.new_zeros(takers.shape)
    y, x = torch.nonzero(takers >= 0, as_tuple=True)
    taker, place = takers[y, x].long(), torch.stack([x, y], -1) + 0.5
    focal, middle = camera.intrinsics[:2], camera.intrinsics[2:]
    z = means_z[taker]
    ray = torch.nn.functional.pad((place - middle) / focal, (0, 1), value=1.0)
    away = torch.nn.functional.pad((place - centres[taker]) / focal, (0, 1)) * z[:, None]
    turn = camera.view[:3, :3] @ rotations(quats[taker])  # [P, 3, 3] its axes, in the camera's
    scales = log_scales[taker].exp()
    ray, away = ((turn * line[:, :, None]).sum(1) / scales for line in (ray, away))
    reach = most * (turn[:, 2] * scales).square().sum(1).sqrt()
    t = -(ray * away).sum(1) / ray.square().sum(1)
    depth[y, x] = z + torch.minimum(torch.maximum(t, -reach), reach)
    return depth
