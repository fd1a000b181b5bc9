"""The shift on a GPU: a launch forward, one back, and one more for the offsets. Nothing is read by the host."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import torch
import triton
import triton.language as tl

from macrosplat.lens import shift_reference

TAPS = tl.constexpr(shift_reference.TAPS)
RUN = {"BLOCK": 256, "num_warps": 4}  # numbers of a program
SUMS = {"BLOCK": 1024, "num_warps": 8}  # likewise, where they are added up


@triton.jit
def _weight(f, tap: tl.constexpr):
    if tap == 0:
        w = f * (-0.5 + f * (1.0 - 0.5 * f))
    elif tap == 1:
        w = 1.0 + f * f * (-2.5 + 1.5 * f)
    elif tap == 2:
        w = f * (0.5 + f * (2.0 - 1.5 * f))
    else:
        w = f * f * (-0.5 + 0.5 * f)
    return w


@triton.jit
def _slope(f, tap: tl.constexpr):
    if tap == 0:
        w = -0.5 + f * (2.0 - 1.5 * f)
    elif tap == 1:
        w = f * (-5.0 + 4.5 * f)
    elif tap == 2:
        w = 0.5 + f * (4.0 - 4.5 * f)
    else:
        w = f * (-1.0 + 1.5 * f)
    return w


@triton.jit
def _numbers(height, width, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    """This program's numbers of a frame: their places, whether there are such, channel, row and column."""
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    p = e // CHANNELS
    y = p // width
    return e, e < height * width * CHANNELS, e - p * CHANNELS, y, p - y * width


@triton.jit
def _where(offsets, m, c, CHANNELS: tl.constexpr, axis: tl.constexpr):
    """First tap's place relative to the pixel, and how far the sample lies beyond the second."""
    by = -tl.load(offsets + (m * CHANNELS + c) * 2 + axis)
    whole = tl.floor(by)
    return whole.to(tl.int32) - 1, by - whole


@triton.jit
def _kept(i, size, first, f):
    """What pixel i keeps for itself of the taps that lie outside."""
    kept = f * 0.0
    for tap in tl.static_range(TAPS):
        at = i + first + tap
        kept += tl.where((at < 0) | (at >= size), _weight(f, tap), 0.0)
    return kept


@triton.jit(do_not_specialize=["height", "width"])
def _moved(
    source, offsets, target, height, width,
    CHANNELS: tl.constexpr, ADJOINT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The shift; with ADJOINT its transpose."""
    e, inside, c, y, x = _numbers(height, width, CHANNELS, BLOCK)
    m = tl.program_id(1)
    along, fx = _where(offsets, m, c, CHANNELS, 0)
    down, fy = _where(offsets, m, c, CHANNELS, 1)
    here = m.to(tl.int64) * (height * width * CHANNELS)
    total = tl.zeros([BLOCK], tl.float32)
    for j in tl.static_range(TAPS + 1):
        if j < TAPS:
            wy = _weight(fy, j)
            row = (y - down - j) if ADJOINT else (y + down + j)
        else:
            wy = _kept(y, height, down, fy)
            row = y
        there = inside & (row >= 0) & (row < height) & (wy != 0.0)
        for i in tl.static_range(TAPS + 1):
            if i < TAPS:
                wx = _weight(fx, i)
                column = (x - along - i) if ADJOINT else (x + along + i)
            else:
                wx = _kept(x, width, along, fx)
                column = x
            used = there & (column >= 0) & (column < width) & (wx != 0.0)
            total += wy * wx * tl.load(source + here + (row * width + column) * CHANNELS + c, mask=used, other=0.0)
    tl.store(target + here + e, total, mask=inside)


@triton.jit(do_not_specialize=["height", "width"])
def _slopes(gradient, frames, offsets, sums, height, width, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    """Per block, `sums` [blocks, M, C, 2] gets the gradient of the offsets."""
    e, inside, c, y, x = _numbers(height, width, CHANNELS, BLOCK)
    m = tl.program_id(1)
    along, fx = _where(offsets, m, c, CHANNELS, 0)
    down, fy = _where(offsets, m, c, CHANNELS, 1)
    here = m.to(tl.int64) * (height * width * CHANNELS)
    g = tl.load(gradient + here + e, mask=inside, other=0.0)
    right, below = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for j in tl.static_range(TAPS):
        row = y + down + j
        row = tl.where((row >= 0) & (row < height), row, y)
        for i in tl.static_range(TAPS):
            column = x + along + i
            column = tl.where((column >= 0) & (column < width), column, x)
            value = tl.load(frames + here + (row * width + column) * CHANNELS + c, mask=inside, other=0.0)
            right += _weight(fy, j) * _slope(fx, i) * value
            below += _slope(fy, j) * _weight(fx, i) * value
    out = sums + (tl.program_id(0) * tl.num_programs(1) + m) * (CHANNELS * 2)
    for k in tl.static_range(CHANNELS):
        tl.store(out + 2 * k, -tl.sum(tl.where(c == k, g * right, 0.0), 0))
        tl.store(out + 2 * k + 1, -tl.sum(tl.where(c == k, g * below, 0.0), 0))


def forward(frames: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Moved frames [M, H, W, C]."""
    return _launched(frames, offsets, adjoint=False)


def _launched(source: torch.Tensor, offsets: torch.Tensor, adjoint: bool) -> torch.Tensor:
    m, height, width, channels = source.shape
    target = torch.empty_like(source)
    grid = triton.cdiv(height * width * channels, RUN["BLOCK"]), m
    _moved[grid](source, offsets, target, height, width, CHANNELS=channels, ADJOINT=adjoint, **RUN)
    return target


def backward(gradient: torch.Tensor, frames: torch.Tensor, offsets: torch.Tensor, frames_wanted: bool, wanted: bool):
    """Gradients of frames [M, H, W, C] and offsets [M, C, 2] (None where not wanted)."""
    found = _launched(gradient, offsets, adjoint=True) if frames_wanted else None
    if not wanted:
        return found, None
    m, height, width, channels = gradient.shape
    blocks = triton.cdiv(height * width * channels, SUMS["BLOCK"])
    sums = gradient.new_empty(blocks, m, channels, 2)
    _slopes[(blocks, m)](gradient, frames, offsets, sums, height, width, CHANNELS=channels, **SUMS)
    return found, sums.double().sum(0).float()
