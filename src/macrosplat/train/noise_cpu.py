"""The noise of a step on a CPU, for each Gaussian at once; the definition is `noise_reference.position_noise`'s."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team
from macrosplat.train.constants import DEAD, NOISE_SHARPNESS
from macrosplat.train.random_cpu import draws

F, U = np.float32, np.uint64
ONE, TWO, FAINT = F(1), F(2), F(0.1)  # opaque ones would get less than 1e-4 of it


@njit(part=True)
def _add_some(begin, end, means, log_scales, quats, logits, noise, key):
    for n in range(begin, end):
        opacity = ONE / (ONE + np.exp(-logits[n]))
        if opacity >= FAINT:
            continue
        share = noise / (ONE + np.exp(F(NOISE_SHARPNESS) * (opacity - F(DEAD))))
        a, b, c = draws(key, U(n))
        w, x, y, z = quats[n, 0], quats[n, 1], quats[n, 2], quats[n, 3]
        length = max(math.sqrt(w * w + x * x + y * y + z * z), F(1e-12))
        w, x, y, z = w / length, x / length, y / length, z / length
        # Axes: along them go the draws, each as far as twice its length says.
        u0, u1, u2 = ONE - TWO * (y * y + z * z), TWO * (x * y + w * z), TWO * (x * z - w * y)
        v0, v1, v2 = TWO * (x * y - w * z), ONE - TWO * (x * x + z * z), TWO * (y * z + w * x)
        k0, k1, k2 = TWO * (x * z + w * y), TWO * (y * z - w * x), ONE - TWO * (x * x + y * y)
        su, sv, sk = np.exp(TWO * log_scales[n, 0]), np.exp(TWO * log_scales[n, 1]), np.exp(TWO * log_scales[n, 2])
        du = share * su * (u0 * a + u1 * b + u2 * c)
        dv = share * sv * (v0 * a + v1 * b + v2 * c)
        dk = share * sk * (k0 * a + k1 * b + k2 * c)
        means[n, 0] += u0 * du + v0 * dv + k0 * dk
        means[n, 1] += u1 * du + v1 * dv + k1 * dk
        means[n, 2] += u2 * du + v2 * dv + k2 * dk


@njit
def _add(team, count, *arguments):
    spread(_add_some, team, count, arguments)


def add_position_noise(
    means: Tensor, log_scales: Tensor, quats: Tensor, logits: Tensor, noise: float, key: int
) -> None:
    """Moves the means of N Gaussians."""
    arrays = [t.detach().numpy() for t in (means, log_scales, quats, logits)]
    with kernel_lock:
        _add(team(), len(arrays[0]), *arrays, F(noise), U(key))
