"""Adam on a GPU: one launch per parameter tensor. Definition in `adam_reference.py`.

What changes from step to step, the rate and the bias corrections, is read from the device: a recorded step replays.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl

from macrosplat.train.pace import pace

BLOCK = 1024  # floats a program: seven streams of 4 kB


@triton.jit(do_not_specialize=["pace"])
def _step(parameter, gradient, first, second, pace, stopped, size, beta1, new1, beta2, new2, eps, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = (i < size) & (tl.load(stopped) == 0)
    rate, root = tl.load(pace).to(tl.float32), tl.load(pace + 1).to(tl.float32)
    g = tl.load(gradient + i, mask=inside, other=0.0)
    m = beta1 * tl.load(first + i, mask=inside, other=0.0) + new1 * g
    v = beta2 * tl.load(second + i, mask=inside, other=0.0) + new2 * g * g
    p = tl.load(parameter + i, mask=inside, other=0.0) - rate * m / (tl.sqrt(v) * root + eps)
    tl.store(first + i, m, mask=inside)
    tl.store(second + i, v, mask=inside)
    tl.store(parameter + i, p, mask=inside)


def step(parameter, gradient, first, second, rate: float, count: int, beta1: float, beta2: float, eps: float) -> None:
    """Updates parameter and both moments in place; `count` is the number of this step, from 1."""
    values = torch.tensor(pace(rate, count, beta1, beta2), dtype=torch.float64).to(parameter.device)
    go = torch.zeros(1, dtype=torch.int64, device=parameter.device)
    paced(parameter, gradient, first, second, values, go, beta1, beta2, eps)


def paced(parameter, gradient, first, second, pace, stopped, beta1: float, beta2: float, eps: float) -> None:
    """The same with the step's `pace` [2] float64 on the device; nothing where `stopped` [1] is not 0."""
    size = parameter.numel()
    if size == 0:
        return
    _step[(triton.cdiv(size, BLOCK),)](
        parameter.detach(), gradient, first, second, pace, stopped, size, beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps,
        BLOCK=BLOCK,
    )  # fmt: skip
