"""Uniform numbers on a GPU, by Triton's Philox: the same as `random_cpu`'s."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024  # rows a program


@triton.jit(do_not_specialize=["count"])
def _uniform(key, out, count, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.rand(tl.load(key).to(tl.int64), i), mask=i < count)


def uniform(key: Tensor, count: int) -> Tensor:
    """[count] float32 in [0, 1) of rows 0 ... count - 1; key [1] float64 on the device."""
    out = torch.empty(count, device=key.device)
    _uniform[(max(triton.cdiv(count, BLOCK), 1),)](key, out, count, BLOCK=BLOCK)
    return out
