"""Which way is up, as far as cameras tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SPREAD = 0.03  # mean squared sine by which the cameras' x axes have to differ: they then go round by some 20 degrees
AGREED = 0.3  # length of the mean of the cameras' own ups, below which it is no direction


def vertical(views: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3] upwards, by views [V, 4, 4]: level cameras all have their x axis across it.

    Where those tell nothing, the mean of what is up for the cameras, which all look down a little; where they differ in
    that, the axis that they stand around.
    """
    total = -views[:, 1, :3].mean(0)
    mean = unit(total)
    values, vectors = np.linalg.eigh(views[:, 0, :3].T @ views[:, 0, :3] / len(views))
    across = vectors[:, 0] * (1.0 if vectors[:, 0] @ mean >= 0 else -1.0)
    if values[1] > SPREAD and values[0] < 0.2 * values[1] and across @ mean > 0.5:
        return across
    if np.linalg.norm(total) > AGREED:
        return mean
    centres = -np.einsum("vji,vj->vi", views[:, :3, :3], views[:, :3, 3])
    axis = np.linalg.svd(centres - centres.mean(0))[2][2]
    return axis if axis @ -views[:, 2, :3].mean(0) >= 0 else -axis  # what is looked at lies below


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3] of length 1; upwards in a camera where it has none."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-9 else np.array([0.0, -1.0, 0.0])
