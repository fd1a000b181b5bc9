"""Energy about each sample on a GPU: a launch along the rows, and one along the columns."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from macrosplat.output.detail.energy_reference import AROUND, REACH, TOTAL

BLOCK = 256  # samples a program
A, B, C, D, E = (tl.constexpr(tap / TOTAL) for tap in AROUND[: REACH + 1])


@triton.jit
def _at(plane, first, place, size, stride, apart, channels, inside, SQUARED: tl.constexpr):
    """A line's sample at a place beyond whose ends it goes on as there, or the mean square of all channels."""
    at = first + tl.minimum(tl.maximum(place, 0), size - 1) * stride
    if not SQUARED:
        return tl.load(plane + at, mask=inside, other=0.0)
    total = tl.zeros(at.shape, tl.float32)
    c = 0
    while c < channels:
        value = tl.load(plane + at, mask=inside, other=0.0)
        total += value * value
        at += apart
        c += 1
    return total / channels


@triton.jit(do_not_specialize=["size", "stride", "apart", "channels"])
def _along(plane, out, size, stride, apart, channels, SQUARED: tl.constexpr, BLOCK: tl.constexpr):
    """About each of `apart` samples, along lines of `size` samples a `stride` apart."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < apart
    x = i // stride % size
    first = i - x * stride
    total = E * _at(plane, first, x, size, stride, apart, channels, inside, SQUARED)
    for side in tl.static_range(-1, 2, 2):
        total += A * _at(plane, first, x + 4 * side, size, stride, apart, channels, inside, SQUARED)
        total += B * _at(plane, first, x + 3 * side, size, stride, apart, channels, inside, SQUARED)
        total += C * _at(plane, first, x + 2 * side, size, stride, apart, channels, inside, SQUARED)
        total += D * _at(plane, first, x + side, size, stride, apart, channels, inside, SQUARED)
    tl.store(out + i, total, mask=inside)


def energy_around(band: Tensor) -> Tensor:
    """[1, H, W] of a band [C, H, W]."""
    channels, height, width = band.shape
    along, out = band.new_empty(1, height, width), band.new_empty(1, height, width)
    programs, pixels = (triton.cdiv(height * width, BLOCK),), height * width
    _along[programs](band.contiguous(), along, width, 1, pixels, channels, SQUARED=True, BLOCK=BLOCK)
    _along[programs](along, out, height, width, pixels, 1, SQUARED=False, BLOCK=BLOCK)
    return out
