"""A thing in parts, by its points: what is wrong with photos is often alike all over a part, and another in the next.

In: points. Out: which part each lies in, so that parts can be left out in turn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2


def parts_of(xyz: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """[N] which part of the thing each of some points [N, 3] lies in (k-means); all in one where they are fewer."""
    rng = np.random.default_rng(0)
    if len(xyz) < count:
        return np.zeros(len(xyz), np.int64)
    middles = [xyz[0]]
    while len(middles) < count:
        away = np.min([((xyz - middle) ** 2).sum(1) for middle in middles], axis=0)
        if not away.any():
            return np.zeros(len(xyz), np.int64)
        middles.append(xyz[rng.choice(len(xyz), p=away / away.sum())])
    return np.asarray(kmeans2(xyz, np.array(middles), minit="matrix", missing="warn")[1], np.int64)
