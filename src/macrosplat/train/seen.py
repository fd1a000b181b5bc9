"""Which Gaussians stand where too few photos look: what one or two of them see could be at any depth, and mostly is a
floater in all others.

In: means, the cameras of the poses. Out: counts, and which are weakly observed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from macrosplat.render import Camera


@torch.no_grad()
def views_in_frame(means: Tensor, cameras: Sequence[Camera]) -> tuple[Tensor, Tensor]:
    """In how many cameras' frames a point lies [N], whatever stands before it, and how much farther than the middle of
    all points it is there [N], in the sum over these cameras (relative).

    Args:
        means: [N, 3] world. cameras: V.
    """
    count = torch.zeros(len(means), dtype=torch.int32, device=means.device)
    farther = torch.zeros_like(means[:, 0])
    middle = means.median(0).values
    for camera in cameras:
        view, frame, (fx, fy, cx, cy) = camera.view, camera.frame, camera.intrinsics.unbind()
        x, y, z = (means @ view[:3, :3].T + view[:3, 3]).unbind(-1)
        u, v = fx * x / z + cx, fy * y / z + cy
        inside = (z > frame.near) & (u >= 0) & (u < frame.width) & (v >= 0) & (v < frame.height)
        count += inside
        farther += torch.where(inside, z / (view[2, :3] @ middle + view[2, 3]) - 1, 0.0)
    return count, farther


def weakly_observed(means: Tensor, cameras: Sequence[Camera], least: int, least_near: int) -> Tensor:
    """[N] whether a Gaussian lies in fewer than `least` frames, or in fewer than `least_near` and nearer than the
    middle of them all; arguments as of `views_in_frame`."""
    count, farther = views_in_frame(means, cameras)
    return (count < least) | ((count < least_near) & (farther < 0))
