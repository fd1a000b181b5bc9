"""How blurred a photo is, pixel by pixel: the radius of the circle of confusion that counts there.

In: the signed radius [H, W] of what a pinhole sees, and its alpha. Out: [H, W] >= 0, px. Over the backdrop, that of the
nearest geometry. Where a nearer thing out of focus spreads its light over what lies behind it, the latter is not seen
sharp, however well it is in focus itself.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from macrosplat.lens.coc_reference import SOLID
from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.output.detail.radius"


def blur_radius(signed: Tensor, alpha: Tensor) -> Tensor:
    """[H, W] px. Nothing in sight: 0, the photo is all there is.

    Args:
        signed: [H, W] px, negative before the focus. alpha: [H, W] of the render.
    """
    assert signed.shape == alpha.shape and signed.ndim == 2, f"{tuple(signed.shape)}, {tuple(alpha.shape)}"
    there = (alpha >= SOLID) & torch.isfinite(signed)
    if not there.any():
        return torch.zeros_like(signed)
    if not there.all():
        nearest = np.asarray(distance_transform_edt(~there.cpu().numpy(), return_distances=False, return_indices=True))
        y, x = torch.from_numpy(nearest).to(signed.device, torch.int64)
        signed = signed[y, x]
    return torch.maximum(signed.abs(), _spread(-signed))


def _spread(before: Tensor) -> Tensor:
    """[H, W] by how much of their radius nearer things reach a pixel: max over q of radius(q) - |p - q|, at least 0.

    What lies behind the focus can be left out: where it reaches something, that is in front of it.
    """
    return kernels_for(STAGE, before, ("cpu",)).spread(before.clamp_min(0))
