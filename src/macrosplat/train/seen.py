"""Which Gaussians stand where too few photos look: what one or two of them see could be at any depth, and mostly is a
floater in all others.

In: means, the views and pinholes of the poses. Out: counts, and who went astray.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from macrosplat.render import Pinhole


@torch.no_grad()
def views_that_hold(means: Tensor, views: Tensor, pinholes: Sequence[Pinhole]) -> tuple[Tensor, Tensor]:
    """Of how many views the frame holds a point [N], whatever stands before it, and how much farther than the middle
    of all points it is there [N], in the sum over these views (relative).

    Args:
        means: [N, 3] world. views: [V, 4, 4] world to camera, of as many pinholes.
    """
    held = torch.zeros(len(means), dtype=torch.int32, device=means.device)
    farther = torch.zeros_like(means[:, 0])
    middle = means.median(0).values
    for view, pinhole in zip(views, pinholes, strict=True):
        x, y, z = (means @ view[:3, :3].T + view[:3, 3]).unbind(-1)
        u, v = pinhole.fx * x / z + pinhole.cx, pinhole.fy * y / z + pinhole.cy
        inside = (z > pinhole.near) & (u >= 0) & (u < pinhole.width) & (v >= 0) & (v < pinhole.height)
        held += inside
        farther += torch.where(inside, z / (view[2, :3] @ middle + view[2, 3]) - 1, 0.0)
    return held, farther


def astray(means: Tensor, views: Tensor, pinholes: Sequence[Pinhole], least: int, least_near: int) -> Tensor:
    """[N] whether fewer than `least` views hold a Gaussian, or fewer than `least_near` one that is nearer than the
    middle of them all; arguments as of `views_that_hold`."""
    held, farther = views_that_hold(means, views, pinholes)
    return (held < least) | ((held < least_near) & (farther < 0))
