"""The steps of the pyramid on a GPU, a launch each: dozens in plain torch. Planes [C, H, W] as in `pyramid`."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256  # samples a program


@triton.jit
def _held(at, size):
    """A place within a line whose ends are repeated."""
    return tl.minimum(tl.maximum(at, 0), size - 1)


@triton.jit
def _five(a, b, c, d, e):
    return (a + e + 4.0 * (b + d) + 6.0 * c) * 0.0625


@triton.jit
def _along(line, x, width, inside):
    """Five samples of a line about every second one."""
    a = tl.load(line + _held(2 * x - 2, width), mask=inside, other=0.0)
    b = tl.load(line + _held(2 * x - 1, width), mask=inside, other=0.0)
    c = tl.load(line + 2 * x, mask=inside, other=0.0)
    d = tl.load(line + _held(2 * x + 1, width), mask=inside, other=0.0)
    e = tl.load(line + _held(2 * x + 2, width), mask=inside, other=0.0)
    return _five(a, b, c, d, e)


@triton.jit(do_not_specialize=["height", "width", "rows", "columns", "count"])
def _halved(plane, out, height, width, rows, columns, count, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    line = i // columns
    x, channel = i - line * columns, line // rows
    y = line - channel * rows
    first = plane + channel * height * width
    a = _along(first + _held(2 * y - 2, height) * width, x, width, inside)
    b = _along(first + _held(2 * y - 1, height) * width, x, width, inside)
    c = _along(first + 2 * y * width, x, width, inside)
    d = _along(first + _held(2 * y + 1, height) * width, x, width, inside)
    e = _along(first + _held(2 * y + 2, height) * width, x, width, inside)
    tl.store(out + i, _five(a, b, c, d, e), mask=inside)


@triton.jit
def _between(before, here, after, odd):
    """A sample of the larger plane: at one of the smaller, or half way to the next."""
    return tl.where(odd, (here + after) * 0.5, (before + 6.0 * here + after) * 0.125)


@triton.jit
def _across(line, at, odd, columns, inside):
    before = tl.load(line + _held(at - 1, columns), mask=inside, other=0.0)
    here = tl.load(line + at, mask=inside, other=0.0)
    after = tl.load(line + _held(at + 1, columns), mask=inside, other=0.0)
    return _between(before, here, after, odd)


@triton.jit(do_not_specialize=["factor", "height", "width", "rows", "columns", "count"])
def _add_doubled(base, small, out, factor, height, width, rows, columns, count, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    line = i // width
    x, channel = i - line * width, line // height
    y = line - channel * height
    first = small + channel * rows * columns
    at, odd, row = x // 2, x % 2 == 1, y // 2
    before = _across(first + _held(row - 1, rows) * columns, at, odd, columns, inside)
    here = _across(first + row * columns, at, odd, columns, inside)
    after = _across(first + _held(row + 1, rows) * columns, at, odd, columns, inside)
    value = _between(before, here, after, y % 2 == 1)
    tl.store(out + i, tl.load(base + i, mask=inside, other=0.0) + factor * value, mask=inside)


def halved(plane: Tensor) -> Tensor:
    plane = plane.contiguous()
    channels, height, width = plane.shape
    out = plane.new_empty(channels, (height + 1) // 2, (width + 1) // 2)
    sizes = height, width, *out.shape[1:], out.numel()
    _halved[(triton.cdiv(out.numel(), BLOCK),)](plane, out, *sizes, BLOCK=BLOCK)
    return out


def add_doubled(base: Tensor, small: Tensor, factor: float) -> Tensor:
    base, small, out = base.contiguous(), small.contiguous(), base.new_empty(base.shape)
    sizes = *base.shape[1:], *small.shape[1:], out.numel()
    _add_doubled[(triton.cdiv(out.numel(), BLOCK),)](base, small, out, factor, *sizes, BLOCK=BLOCK)
    return out
