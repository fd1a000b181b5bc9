"""How many poses have a Gaussian in the frame: what only one or two do could be at any depth.

In: means or points, views, pinholes. Out: counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from macrosplat.render import Pinhole


@torch.no_grad()
def views_that_hold(means: Tensor, views: Tensor, pinholes: Sequence[Pinhole]) -> Tensor:
    """[N] of how many views the frame holds a point, whatever stands before it.

    Args:
        means: [N, 3] world. views: [V, 4, 4] world to camera, of as many pinholes.
    """
    held = torch.zeros(len(means), dtype=torch.int32, device=means.device)
    for view, pinhole in zip(views, pinholes, strict=True):
        x, y, z = (means @ view[:3, :3].T + view[:3, 3]).unbind(-1)
        u, v = pinhole.fx * x / z + pinhole.cx, pinhole.fy * y / z + pinhole.cy
        held += (z > pinhole.near) & (u >= 0) & (u < pinhole.width) & (v >= 0) & (v < pinhole.height)
    return held
