"""One step of Adam on a CPU: every number is read and written once, and all tensors by one call."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

BLOCK = 4096  # numbers a thread takes at a time: small enough that a tensor of a few is no share of a thread's work
SLOTS = 16  # tensors a call
_NONE = np.zeros(0, np.float32)

Flat = NDArray[np.float32]


@njit(inner=True)
def _update(p, g, m, v, rate, root, keep1, new1, keep2, new2, eps):
    for i in range(p.shape[0]):
        mi = keep1 * m[i] + new1 * g[i]
        vi = keep2 * v[i] + new2 * g[i] * g[i]
        m[i] = mi
        v[i] = vi
        p[i] -= rate * mi / (np.sqrt(vi) * root + eps)


@njit(part=True)
def _step_some(begin, end, parameters, gradients, firsts, seconds, begins, rates, keep1, new1, keep2, new2, eps):
    """Blocks of all tensors, one after the other: `begins` says with which of them each tensor begins."""
    k = 0
    for block in range(begin, end):
        while block >= begins[k + 1]:
            k += 1
        p, g, m, v = parameters[k], gradients[k], firsts[k], seconds[k]
        start = (block - begins[k]) * BLOCK
        stop = min(start + BLOCK, p.shape[0])
        some = p[start:stop], g[start:stop], m[start:stop], v[start:stop]
        _update(*some, rates[k, 0], rates[k, 1], keep1, new1, keep2, new2, eps)


@njit
def _step(team, count, *arguments):
    spread(_step_some, team, count, arguments)


def flat(tensor: Tensor) -> Flat:
    """A contiguous tensor's numbers, in its own memory."""
    return tensor.detach().view(-1).numpy()


def step_all(
    # Parameter and its two moments; its gradient; its rate, and the number of its step, from 1.
    tensors: Sequence[tuple[tuple[Flat, Flat, Flat], Tensor, tuple[float, float]]],
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """Updates parameters and moments in place."""
    decays = [np.float32(x) for x in (beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps)]
    for first in range(0, len(tensors), SLOTS):
        begins, rates, some = np.zeros(SLOTS + 1, np.int64), np.zeros((SLOTS, 2), np.float32), [(_NONE,) * 4] * SLOTS
        blocks = 0
        for k, ((parameter, *moments), gradient, (rate, count)) in enumerate(tensors[first : first + SLOTS]):
            some[k] = parameter, flat(gradient), *moments
            blocks += -(-len(parameter) // BLOCK)
            begins[k + 1 :] = blocks
            rates[k] = rate / (1.0 - beta1**count), 1.0 / math.sqrt(1.0 - beta2**count)
        with kernel_lock:
            _step(team(), blocks, *zip(*some, strict=True), begins, rates, *decays)


def step(parameter, gradient, first, second, rate: float, count: float, beta1: float, beta2: float, eps: float) -> None:
    """Updates parameter and both moments in place; `count` is the number of this step, from 1."""
    tensors = flat(parameter), flat(first), flat(second)
    step_all([(tensors, gradient, (rate, count))], beta1, beta2, eps)
