"""Which Gaussians stand where too few photos look: what one or two of them see could be at any depth, and mostly is a
floater in all others.

In: means, the cameras of the poses. Out: counts, and who went astray.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from macrosplat.render import Camera


@torch.no_grad()
def views_that_hold(means: Tensor, cameras: Sequence[Camera]) -> tuple[Tensor, Tensor]:
    """Of how many views the frame holds a point [N], whatever stands before it, and how much farther than the middle
    of all points it is there [N], in the sum over these views (relative).

    Args:
        means: [N, 3] world. cameras: V.
    """
    held = torch.zeros(len(means), dtype=torch.int32, device=means.device)
    farther = torch.zeros_like(means[:, 0])
    middle = means.median(0).values
    for camera in cameras:
        view, frame, (fx, fy, cx, cy) = camera.view, camera.frame, camera.intrinsics.unbind()
        x, y, z = (means @ view[:3, :3].T + view[:3, 3]).unbind(-1)
        u, v = fx * x / z + cx, fy * y / z + cy
        inside = (z > frame.near) & (u >= 0) & (u < frame.width) & (v >= 0) & (v < frame.height)
        held += inside
        farther += torch.where(inside, z / (view[2, :3] @ middle + view[2, 3]) - 1, 0.0)
    return held, farther


def astray(means: Tensor, cameras: Sequence[Camera], least: int, least_near: int) -> Tensor:
    """[N] whether fewer than `least` views hold a Gaussian, or fewer than `least_near` one that is nearer than the
    middle of them all; arguments as of `views_that_hold`."""
    held, farther = views_that_hold(means, cameras)
    return (held < least) | ((held < least_near) & (farther < 0))
