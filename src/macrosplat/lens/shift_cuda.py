"""The shift on a GPU: a launch forward, one back, and one more for how it moves. Nothing is read by the host."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from macrosplat.lens import shift_reference

TAPS = tl.constexpr(shift_reference.TAPS)
RUN = {"BLOCK": 256, "num_warps": 4}  # numbers of a program
# px from where a place's own movement leads within which the pixels lie that took from it: two for the taps, and one
# for how movements differ from pixel to pixel, by up to a tenth of a px.
REACH = 3
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
def _where(offsets, bends, m, c, x, y, width, height, CHANNELS: tl.constexpr, BENT: tl.constexpr):
    """By axis the first tap's place relative to the pixel, and how far the sample lies beyond the second; with BENT
    rho^2 of the pixel and its px from the middle."""
    at = m * CHANNELS + c
    along = -tl.load(offsets + at * 2)
    down = -tl.load(offsets + at * 2 + 1)
    right = x - (0.5 * width - 0.5)
    below = y - (0.5 * height - 0.5)
    rho = (right * right + below * below) * (4.0 / (width * 1.0 * width + height * 1.0 * height))
    if BENT:
        larger = tl.load(bends + at * 4 + 2) + tl.load(bends + at * 4 + 3) * rho
        along -= tl.load(bends + at * 4) * rho + larger * right
        down -= tl.load(bends + at * 4 + 1) * rho + larger * below
    left, top = tl.floor(along), tl.floor(down)
    return left.to(tl.int32) - 1, along - left, top.to(tl.int32) - 1, down - top, rho, right, below


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
    source, offsets, bends, target, height, width,
    CHANNELS: tl.constexpr, BENT: tl.constexpr, ADJOINT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The shift; with ADJOINT its transpose, of pictures that move as a whole."""
    e, inside, c, y, x = _numbers(height, width, CHANNELS, BLOCK)
    m = tl.program_id(1)
    along, fx, down, fy, _, _, _ = _where(offsets, bends, m, c, x, y, width, height, CHANNELS, BENT)
    here = m.to(tl.int64) * (height * width * CHANNELS)
    total = tl.zeros([BLOCK], tl.float32)
    if ADJOINT:
        for j in tl.static_range(TAPS + 1):
            if j < TAPS:
                wy = _weight(fy, j)
                row = y - down - j
            else:
                wy = _kept(y, height, down, fy)
                row = y
            there = inside & (row >= 0) & (row < height) & (wy != 0.0)
            for i in tl.static_range(TAPS + 1):
                if i < TAPS:
                    wx = _weight(fx, i)
                    column = x - along - i
                else:
                    wx = _kept(x, width, along, fx)
                    column = x
                used = there & (column >= 0) & (column < width) & (wx != 0.0)
                total += wy * wx * tl.load(source + here + (row * width + column) * CHANNELS + c, mask=used, other=0.0)
    else:
        for j in tl.static_range(TAPS):
            row = y + down + j
            row = tl.where((row >= 0) & (row < height), row, y)
            line = tl.zeros([BLOCK], tl.float32)
            for i in tl.static_range(TAPS):
                column = x + along + i
                column = tl.where((column >= 0) & (column < width), column, x)
                place = here + (row * width + column) * CHANNELS + c
                line += _weight(fx, i) * tl.load(source + place, mask=inside, other=0.0)
            total += _weight(fy, j) * line
    tl.store(target + here + e, total, mask=inside)


@triton.jit
def _taken(i, size, first, f, place):
    """With what weight pixel i takes from a place along an axis."""
    taken = f * 0.0
    for tap in tl.static_range(TAPS):
        at = i + first + tap
        at = tl.where((at >= 0) & (at < size), at, i)
        taken += tl.where(at == place, _weight(f, tap), 0.0)
    return taken


@triton.jit(do_not_specialize=["height", "width"])
def _given_back(
    gradient, offsets, bends, target, height, width,
    CHANNELS: tl.constexpr, REACH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The transpose of a shift that grows outwards: a place looks for the pixels that took from it, which are near
    where its own movement leads, or itself where a tap lay outside; in a fixed order: a step repeats bit by bit."""
    e, inside, c, y, x = _numbers(height, width, CHANNELS, BLOCK)
    m = tl.program_id(1)
    by, _, below, _, _, _, _ = _where(offsets, bends, m, c, x, y, width, height, CHANNELS, True)
    by, fx, below, fy, _, _, _ = _where(offsets, bends, m, c, x - by - 1, y - below - 1, width, height, CHANNELS, True)
    left, top = x - by - 1 - (fx + 0.5).to(tl.int32), y - below - 1 - (fy + 0.5).to(tl.int32)
    here = m.to(tl.int64) * (height * width * CHANNELS)
    total = tl.zeros([BLOCK], tl.float32)
    for j in range(2 * REACH + 2):
        own = j == 2 * REACH + 1
        row = tl.where(own, y, top + j - REACH)
        there = inside & (row >= 0) & (row < height) & ((j <= 2 * REACH) | (tl.abs(y - top) > REACH))
        for i in range(2 * REACH + 2):
            own = i == 2 * REACH + 1
            column = tl.where(own, x, left + i - REACH)
            used = there & (column >= 0) & (column < width) & ((i <= 2 * REACH) | (tl.abs(x - left) > REACH))
            along, fx, down, fy, _, _, _ = _where(offsets, bends, m, c, column, row, width, height, CHANNELS, True)
            weight = _taken(row, height, down, fy, y) * _taken(column, width, along, fx, x)
            used &= weight != 0.0
            place = here + (row * width + column) * CHANNELS + c
            total += weight * tl.load(gradient + place, mask=used, other=0.0)
    tl.store(target + here + e, total, mask=inside)


@triton.jit(do_not_specialize=["height", "width"])
def _slopes(
    gradient, frames, offsets, bends, sums, height, width,
    CHANNELS: tl.constexpr, BENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Per block, `sums` [blocks, M, C, 2], or 6 with BENT, gets the gradient of how the channels move."""
    e, inside, c, y, x = _numbers(height, width, CHANNELS, BLOCK)
    m = tl.program_id(1)
    along, fx, down, fy, rho, outwards, downwards = _where(offsets, bends, m, c, x, y, width, height, CHANNELS, BENT)
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
    NUMBERS: tl.constexpr = 6 if BENT else 2
    out = sums + (tl.program_id(0) * tl.num_programs(1) + m) * (CHANNELS * NUMBERS)
    right, below = g * right, g * below
    for k in tl.static_range(CHANNELS):
        own = c == k
        tl.store(out + NUMBERS * k, -tl.sum(tl.where(own, right, 0.0), 0))
        tl.store(out + NUMBERS * k + 1, -tl.sum(tl.where(own, below, 0.0), 0))
        if BENT:
            larger = right * outwards + below * downwards
            tl.store(out + NUMBERS * k + 2, -tl.sum(tl.where(own, right * rho, 0.0), 0))
            tl.store(out + NUMBERS * k + 3, -tl.sum(tl.where(own, below * rho, 0.0), 0))
            tl.store(out + NUMBERS * k + 4, -tl.sum(tl.where(own, larger, 0.0), 0))
            tl.store(out + NUMBERS * k + 5, -tl.sum(tl.where(own, larger * rho, 0.0), 0))


def forward(frames: torch.Tensor, offsets: torch.Tensor, bends: torch.Tensor | None = None):
    """Moved frames [M, H, W, C], and what `backward` needs of the frames."""
    frames = frames.contiguous()
    return _launched(frames, offsets, bends, adjoint=False), frames


def _launched(source: torch.Tensor, offsets: torch.Tensor, bends: torch.Tensor | None, adjoint: bool) -> torch.Tensor:
    m, height, width, channels = source.shape
    grid = triton.cdiv(height * width * channels, RUN["BLOCK"]), m
    target = torch.empty_like(source)
    if adjoint and bends is not None:
        _given_back[grid](source, offsets, bends, target, height, width, CHANNELS=channels, REACH=REACH, **RUN)
        return target
    how = {"CHANNELS": channels, "BENT": bends is not None, "ADJOINT": adjoint}
    _moved[grid](source, offsets, offsets if bends is None else bends, target, height, width, **how, **RUN)
    return target


def backward(
    gradient: torch.Tensor,
    frames: torch.Tensor,
    offsets: torch.Tensor,
    bends: torch.Tensor | None,
    frames_wanted: bool,
    learned: Sequence[int],
):
    """Gradients of frames [M, H, W, C], offsets [M, C, 2] and bends [M, C, 4] (None where not wanted), of channels
    that are not `learned` with the others."""
    gradient = gradient.contiguous()
    found = _launched(gradient, offsets, bends, adjoint=True) if frames_wanted else None
    if not learned:
        return found, None, None
    m, height, width, channels = gradient.shape
    blocks, numbers = triton.cdiv(height * width * channels, SUMS["BLOCK"]), 2 if bends is None else 6
    sums = gradient.new_empty(blocks, m, channels, numbers)
    how = {"CHANNELS": channels, "BENT": bends is not None}
    there = offsets if bends is None else bends
    _slopes[(blocks, m)](gradient, frames, offsets, there, sums, height, width, **how, **SUMS)
    total = sums.double().sum(0).float()
    if bends is None:
        return found, total, None
    return found, total[..., :2].contiguous(), total[..., 2:].contiguous()
