"""Adam on a GPU: one launch for twelve parameter tensors. Definition in `adam_reference.py`.

What changes from step to step, the rate and the bias corrections, is read from the device: a recorded step replays.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from macrosplat.train.bias import bias_corrected_rate

BLOCK = 1024  # floats a program: seven streams of 4 kB
SLOTS = 12  # tensors a launch; as many arguments does `_step` have for their sizes


@triton.jit
def _update(parameter, gradient, first, second, rate, root, i, inside, beta1, new1, beta2, new2, eps):
    g = tl.load(gradient + i, mask=inside)
    # The moments are not needed before the next step: they leave the cache to the others.
    m = beta1 * tl.load(first + i, mask=inside, eviction_policy="evict_first") + new1 * g
    v = beta2 * tl.load(second + i, mask=inside, eviction_policy="evict_first") + new2 * g * g
    p = tl.load(parameter + i, mask=inside) - rate * m / (tl.sqrt(v) * root + eps)
    tl.store(first + i, m, mask=inside, eviction_policy="evict_first")
    tl.store(second + i, v, mask=inside, eviction_policy="evict_first")
    tl.store(parameter + i, p, mask=inside)


@triton.jit(do_not_specialize=[f"n{k}" for k in range(12)])
def _step(
    parameters, gradients, firsts, seconds, rates, stopped, n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11,
    beta1, new1, beta2, new2, eps, SLOTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Of the tensors at each place of the tuples, with their sizes: one after the other, each from a new program."""
    sizes = (n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11)  # in a tuple from outside they would be compiled in
    program, begin = tl.program_id(0), 0
    if tl.load(stopped) == 0:
        for k in tl.static_range(SLOTS):
            end = begin + tl.cdiv(sizes[k], BLOCK)
            if (program >= begin) & (program < end):
                tensors = (parameters[k], gradients[k], firsts[k], seconds[k])
                rate, root = tl.load(rates[k]).to(tl.float32), tl.load(rates[k] + 1).to(tl.float32)
                left = sizes[k] - (program - begin) * BLOCK
                i = (program - begin).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
                if left >= BLOCK:  # without a mask four floats are one load
                    _update(*tensors, rate, root, i, None, beta1, new1, beta2, new2, eps)
                else:
                    _update(*tensors, rate, root, i, tl.arange(0, BLOCK) < left, beta1, new1, beta2, new2, eps)
            begin = end


def step(parameter, gradient, first, second, rate: float, count: float, beta1: float, beta2: float, eps: float) -> None:
    """Updates parameter and both moments in place; `count` is the number of this step, from 1."""
    values = torch.tensor(bias_corrected_rate(rate, count, beta1, beta2), dtype=torch.float64).to(parameter.device)
    go = torch.zeros(1, dtype=torch.int64, device=parameter.device)
    step_with_device_rates([(parameter, gradient, first, second, values)], go, beta1, beta2, eps)


def step_with_device_rates(
    tensors: Sequence[tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]],
    stopped: Tensor,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """The same for many parameters, with the step's rates on the device; nothing where `stopped` [1] is not 0.

    Args:
        tensors: parameter, its gradient (None: it stays), its moments and its bias-corrected rate [2] float64.
    """
    given = [(p.detach(), g, *rest) for p, g, *rest in tensors if g is not None and p.numel() > 0]
    for begin in range(0, len(given), SLOTS):
        some = given[begin : begin + SLOTS]
        sizes = [p.numel() for p, *_ in some]
        programs = sum(triton.cdiv(size, BLOCK) for size in sizes)
        empty = SLOTS - len(some)  # another number of tensors would be another kernel to compile
        slots = zip(*some, *[some[0]] * empty, strict=True)
        _step[(programs,)](
            *map(tuple, slots), stopped, *sizes, *[0] * empty, beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps,
            SLOTS=SLOTS, BLOCK=BLOCK,
        )  # fmt: skip
