"""One colour a Gaussian, for formats without spherical harmonics: the mean of what the photos see of it.

Degree 0 alone is the mean over all directions, also those that no photo looked from, where nothing was learned.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.render import sh
from macrosplat.scene.gaussians import SH_C0, Gaussians


def flattened(gaussians: Gaussians, centres: NDArray[np.floating]) -> Gaussians:
    """The scene without harmonics, coloured as it is seen from `centres` [V, 3] on the average."""
    if gaussians.sh_degree == 0 or not len(centres):
        return gaussians.with_(sh_rest=gaussians.sh_rest[:, :0])
    coefficients = torch.cat([gaussians.sh0[:, None], gaussians.sh_rest], 1)
    total = torch.zeros_like(gaussians.sh0)
    for centre in torch.from_numpy(np.asarray(centres)).to(total):
        direction = torch.nn.functional.normalize(gaussians.means - centre, dim=-1)
        basis = sh.basis(direction, gaussians.sh_degree)
        total += (0.5 + (basis[..., None] * coefficients).sum(1)).clamp_min(0)
    return gaussians.with_(sh0=(total / len(centres) - 0.5) / SH_C0, sh_rest=gaussians.sh_rest[:, :0])
