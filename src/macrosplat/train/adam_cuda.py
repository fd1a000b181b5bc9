"""Adam on a GPU: one launch per parameter tensor. Definition in `adam_reference.py`."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

import math

import triton
import triton.language as tl

BLOCK = 1024  # floats a program: seven streams of 4 kB


@triton.jit
def _step(parameter, gradient, first, second, size, rate, beta1, new1, beta2, new2, root, eps, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    g = tl.load(gradient + i, mask=inside, other=0.0)
    m = beta1 * tl.load(first + i, mask=inside, other=0.0) + new1 * g
    v = beta2 * tl.load(second + i, mask=inside, other=0.0) + new2 * g * g
    p = tl.load(parameter + i, mask=inside, other=0.0) - rate * m / (tl.sqrt(v) * root + eps)
    tl.store(first + i, m, mask=inside)
    tl.store(second + i, v, mask=inside)
    tl.store(parameter + i, p, mask=inside)


def step(parameter, gradient, first, second, rate: float, count: int, beta1: float, beta2: float, eps: float) -> None:
    """Updates parameter and both moments in place; `count` is the number of this step, from 1."""
    size = parameter.numel()
    if size == 0:
        return
    _step[(triton.cdiv(size, BLOCK),)](
        parameter.detach(), gradient, first, second, size, rate / (1.0 - beta1**count), beta1, 1.0 - beta1, beta2,
        1.0 - beta2, 1.0 / math.sqrt(1.0 - beta2**count), eps, BLOCK=BLOCK,
    )  # fmt: skip
