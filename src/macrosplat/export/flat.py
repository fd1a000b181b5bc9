"""One colour a Gaussian, for formats without spherical harmonics: the mean of what the photos see of it.

Degree 0 alone is the mean over all directions, also those that no photo looked from, where nothing was learned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrosplat.scene.gaussians import SH_C0, Gaussians
from macrosplat.scene.harmonics import harmonics


def flattened(scene: Gaussians, centres: NDArray[np.floating]) -> Gaussians:
    """The scene (numpy arrays) without harmonics, coloured as it is seen from `centres` [V, 3] on the average."""
    g = scene.arrays()
    coefficients = np.concatenate([g["sh0"][:, None], g["sh_rest"]], 1)
    g["sh_rest"] = g["sh_rest"][:, :0]
    if scene.sh_degree == 0 or not len(centres):
        return Gaussians.of_arrays(**g)
    total = np.zeros_like(g["sh0"])
    for centre in np.asarray(centres, np.float32):
        direction = g["means"] - centre
        direction /= np.linalg.norm(direction, axis=1, keepdims=True).clip(1e-12)
        x, y, z = direction.T
        basis = np.stack(harmonics(x, y, z, scene.sh_degree), 1)
        total += (0.5 + np.einsum("nk,nkc->nc", basis, coefficients)).clip(0)
    g["sh0"] = (total / len(centres) - 0.5) / SH_C0
    return Gaussians.of_arrays(**g)
