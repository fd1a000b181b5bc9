"""`rasterize` in plain torch: every splat against every pixel, any dtype, gradients by autograd: the specification."""

from __future__ import annotations

import torch
from torch import Tensor

from macrosplat.render import constants


def rasterize(
    splats: Tensor, extents: Tensor, width: int, height: int, alpha_min: float = constants.ALPHA_MIN
) -> tuple[Tensor, Tensor, Tensor]:
    """See `macrosplat.render.rasterize.rasterize`. Memory is H * W * N: for tests.

    `alpha_min` 0 removes the cut-off, whose step finite differences would trip over.
    """
    drawn = (extents > 0).all(-1)
    splats = splats[drawn]
    splats = splats[torch.argsort(splats[:, constants.DEPTH], stable=True)]
    mx, my, ca, cb, cc, opacity = splats[:, : constants.RED].unbind(-1)
    xs = torch.arange(width, dtype=splats.dtype, device=splats.device) + 0.5
    ys = torch.arange(height, dtype=splats.dtype, device=splats.device) + 0.5
    dx, dy = xs[None, :, None] - mx, ys[:, None, None] - my  # [1, W, N], [H, 1, N]
    power = -0.5 * (ca * dx * dx + cc * dy * dy) - cb * dx * dy
    alpha = (opacity * power.exp()).clamp_max(constants.ALPHA_MAX)  # [H, W, N]
    alpha = torch.where(alpha >= alpha_min, alpha, torch.zeros_like(alpha))
    transmittance = torch.cumprod(1 - alpha, -1)
    before = torch.cat([torch.ones_like(transmittance[..., :1]), transmittance[..., :-1]], -1)
    live = before > constants.TRANSMITTANCE_MIN
    weight = torch.where(live, alpha * before, torch.zeros_like(alpha))
    left = torch.where(live, 1 - alpha, torch.ones_like(alpha)).prod(-1)
    return (
        weight @ splats[:, constants.RED : constants.DEPTH],
        1 - left,
        weight @ splats[:, constants.DEPTH],
    )
