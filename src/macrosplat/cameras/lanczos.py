"""Lanczos interpolation of a photo at any places: what `undistort` draws with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrosplat.support.numba import njit

REACH = 3  # px to either side: a windowed sinc of three lobes
PHASES = 4096  # places between two pixels that weights are known for


def lanczos_weights() -> NDArray[np.float32]:
    """[PHASES + 1, 2 REACH] the weights of the pixels -REACH + 1 ... REACH from the one before a place; each row
    has the sum 1 (Lanczos 1956 as Turkowski 1990 uses it on pictures)."""
    t = np.linspace(0, 1, PHASES + 1)[:, None] - np.arange(1 - REACH, REACH + 1)
    weights = np.sinc(t) * np.sinc(t / REACH)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


WEIGHTS = lanczos_weights()


@njit
def sample_lanczos(photo, px, weights, out):
    """Values at places of a photo, clamped at its edges and to the range of their four nearest pixels: no ringing.

    Args:
        photo: [H, W, C], of any type.
        px: [N, 2] px.
        weights: `WEIGHTS`.
        out: [N, C] float32, written, in the photo's units.
    """
    height, width, channels = photo.shape
    for n in range(px.shape[0]):
        x = min(max(px[n, 0] - 0.5, 0.0), width - 1.0)
        y = min(max(px[n, 1] - 0.5, 0.0), height - 1.0)
        i = int(x)
        j = int(y)
        wx = weights[int((x - i) * PHASES + 0.5)]
        wy = weights[int((y - j) * PHASES + 0.5)]
        inside = i >= REACH - 1 and j >= REACH - 1 and i + REACH < width and j + REACH < height
        right, down = min(i + 1, width - 1), min(j + 1, height - 1)
        for c in range(channels):
            total = np.float32(0.0)
            for b in range(2 * REACH):
                row = j + b - (REACH - 1)
                across = np.float32(0.0)
                if inside:
                    for a in range(2 * REACH):
                        across += wx[a] * photo[row, i + a - (REACH - 1), c]
                else:
                    row = min(max(row, 0), height - 1)
                    for a in range(2 * REACH):
                        across += wx[a] * photo[row, min(max(i + a - (REACH - 1), 0), width - 1), c]
                total += wy[b] * across
            low = min(min(photo[j, i, c], photo[j, right, c]), min(photo[down, i, c], photo[down, right, c]))
            high = max(max(photo[j, i, c], photo[j, right, c]), max(photo[down, i, c], photo[down, right, c]))
            out[n, c] = min(max(total, np.float32(low)), np.float32(high))
