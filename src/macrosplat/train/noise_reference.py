"""The noise of a step in plain torch: the specification of `noise_cpu` and `noise_cuda`."""

from __future__ import annotations

import torch
from torch import Tensor

from macrosplat.render.project_reference import rotations
from macrosplat.scene.gaussians import Gaussians
from macrosplat.train.constants import DEAD, NOISE_SHARPNESS
from macrosplat.train.random import normal


def position_noise(gaussians: Gaussians, noise: float, key: int) -> Tensor:
    """[N, 3] what the means move by chance (SGLD, eq. 8): only nearly transparent Gaussians, along their own shape.

    Args:
        noise: times a Gaussian's covariance and a normal draw it is what a fully transparent one moves.
        key: of `random.key_of`; each row has its own draws.
    """
    # Opaque ones would get less than 1e-4 of it: they are left out of the arithmetic.
    opacity = torch.sigmoid(gaussians.opacity_logits)
    faint = torch.nonzero(opacity < 0.1)[:, 0]
    gate = torch.sigmoid(NOISE_SHARPNESS * (DEAD - opacity[faint]))
    axes = rotations(gaussians.quats[faint]) * gaussians.log_scales[faint].exp()[:, None, :]
    draw = normal(key, faint)
    along = (axes * draw[:, :, None]).sum(1)  # of the draw, on each axis
    moved = (axes * along[:, None, :]).sum(2) * (gate * noise)[:, None]
    return torch.zeros_like(gaussians.means).index_copy_(0, faint, moved)
