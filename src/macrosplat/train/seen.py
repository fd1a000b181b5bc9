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
def views_that_hold(
    means: Tensor, views: Tensor, pinholes: Sequence[Pinhole], middle: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Of how many views the frame holds a point [N], whatever stands before it, and how much farther than the middle
    of the object it is there [N], in the sum over these views (relative).

    Args:
        means: [N, 3] world. views: [V, 4, 4] world to camera, of as many pinholes.
        middle: [V] depths of the middle; None: those are left at 0.
    """
    held = torch.zeros(len(means), dtype=torch.int32, device=means.device)
    farther = torch.zeros_like(means[:, 0])
    for number, (view, pinhole) in enumerate(zip(views, pinholes, strict=True)):
        x, y, z = (means @ view[:3, :3].T + view[:3, 3]).unbind(-1)
        u, v = pinhole.fx * x / z + pinhole.cx, pinhole.fy * y / z + pinhole.cy
        inside = (z > pinhole.near) & (u >= 0) & (u < pinhole.width) & (v >= 0) & (v < pinhole.height)
        held += inside
        if middle is not None:
            farther += torch.where(inside, z / middle[number] - 1, 0.0)
    return held, farther


def astray(
    means: Tensor, views: Tensor, pinholes: Sequence[Pinhole], middle: Tensor, least: int, least_near: int
) -> Tensor:
    """[N] whether fewer than `least` views hold a Gaussian, or fewer than `least_near` one that is nearer than the
    middle of the object; arguments as of `views_that_hold`."""
    held, farther = views_that_hold(means, views, pinholes, middle)
    return (held < least) | ((held < least_near) & (farther < 0))
