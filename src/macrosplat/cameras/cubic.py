"""Catmull-Rom interpolation of a photo at any places: what `undistort` draws with."""

from __future__ import annotations

import numpy as np

from macrosplat.support.numba import njit


@njit
def sample_cubic(photo, px, out):  # photo [H, W, C], px [N, 2], out [N, C] written
    """Catmull-Rom at `px`, clamped at the photo's edges and to the range of its four nearest pixels (no ringing)."""
    height, width, channels = photo.shape
    wx = np.empty(4, np.float64)
    wy = np.empty(4, np.float64)
    for n in range(px.shape[0]):
        x = min(max(px[n, 0] - 0.5, 0.0), width - 1.0)
        y = min(max(px[n, 1] - 0.5, 0.0), height - 1.0)
        i = int(x)
        j = int(y)
        for t, w in ((x - i, wx), (y - j, wy)):
            w[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
            w[1] = (1.5 * t - 2.5) * t * t + 1.0
            w[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
            w[3] = (0.5 * t - 0.5) * t * t
        for c in range(channels):
            total = 0.0
            low = np.inf
            high = -np.inf
            for b in range(4):
                row = min(max(j + b - 1, 0), height - 1)
                for a in range(4):
                    value = photo[row, min(max(i + a - 1, 0), width - 1), c]
                    total += wy[b] * wx[a] * value
                    if 1 <= a <= 2 and 1 <= b <= 2:
                        low = min(low, value)
                        high = max(high, value)
            out[n, c] = min(max(total, low), high)
