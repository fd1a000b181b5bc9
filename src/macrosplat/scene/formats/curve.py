"""The order in which formats that pack neighbours together write Gaussians."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 10  # of a coordinate on the curve


def along_curve(means: NDArray[np.float64]) -> NDArray[np.int64]:
    """[N] indices of places [N, 3] in Morton's order: neighbours in space are mostly neighbours in it."""
    size = np.maximum(np.ptp(means, axis=0), 1e-30)
    cells = ((means - means.min(0)) / size * ((1 << BITS) - 1)).astype(np.int64)
    code = np.zeros(len(means), np.int64)
    for bit in range(BITS):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return np.argsort(code, kind="stable")
