"""One step of Adam on a CPU: every number is read and written once."""

from __future__ import annotations

import math

import numpy as np

from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

BLOCK = 16384  # numbers a thread takes at a time: 4 arrays of 64 KB stream through L2


@njit(part=True)
def _step_some(begin, end, parameter, gradient, first, second, rate, keep1, new1, keep2, new2, root, eps):
    size = parameter.shape[0]
    for block in range(begin, end):
        start = block * BLOCK
        stop = min(start + BLOCK, size)
        p = parameter[start:stop]
        g = gradient[start:stop]
        m = first[start:stop]
        v = second[start:stop]
        for i in range(stop - start):
            mi = keep1 * m[i] + new1 * g[i]
            vi = keep2 * v[i] + new2 * g[i] * g[i]
            m[i] = mi
            v[i] = vi
            p[i] -= rate * mi / (np.sqrt(vi) * root + eps)


@njit
def _step(team, count, *arguments):
    spread(_step_some, team, count, arguments)


def step(parameter, gradient, first, second, rate: float, count: float, beta1: float, beta2: float, eps: float) -> None:
    """Updates parameter and both moments in place; `count` is the number of this step, from 1."""
    arrays = [t.detach().view(-1).numpy() for t in (parameter, gradient, first, second)]
    scalars = (
        rate / (1.0 - beta1**count),
        beta1,
        1.0 - beta1,
        beta2,
        1.0 - beta2,
        1.0 / math.sqrt(1.0 - beta2**count),
        eps,
    )
    with kernel_lock:
        _step(team(), -(-len(arrays[0]) // BLOCK), *arrays, *(np.float32(s) for s in scalars))
