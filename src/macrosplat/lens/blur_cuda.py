"""The blur ladder on a GPU.

A level keeps the channels of a pixel together, three of them in the room of four: a thread reads a pixel at once. A
level is one launch, for many frames at once: a program owns a strip of columns and walks down every `stride`-th row of
it, filters each row along itself, and keeps the last seven of these for the filter down the columns. Levels stay in
memory until one more launch weighs the up to four that a pixel reads and averages the frames; on the backward pass each
level's launch also adds the share of its own. With 16 levels that is 17 launches forward and 16 back. Frames are
mirrored at their borders as in `blur_cpu.py`, so that every filter is its own adjoint. Nothing is read by the host: all
levels are launched, and the programs of those that no pixel reads (the largest sigma is found first) end at once.
Where each channel has a sigma of its own, a pixel looks into the table for each, or once for all, by that of a pivot.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import triton
import triton.language as tl

from macrosplat.lens.ladder import ENTRIES, LEVELS, PAIRS, SIGMA_HALF, SIGMA_MAX, coordinate, ladder

READ = 4  # levels that a pixel reads: its entry of the table and the next have three each, one apart at most
TAPS = 1 + 2 * PAIRS
STRIP = {"COLUMNS": 64, "num_warps": 2}  # pixels of a row that a filter's program owns
CHUNKS = 8  # times TAPS rows that it walks down at most, the first TAPS - 1 of them for the filter's run-in alone
WARPS = 1024  # of 32 pixels: fewer rows a program where they would be less than that
RUN = {"BLOCK": 128, "num_warps": 4}  # pixels of a program that works one by one
TOGETHER = 640 << 20  # bytes of levels: as many frames at once as have no more

ALIKE, APART = -2, -1  # instead of a pivot: the channels have one sigma, or each its own
_ALIKE, _APART = tl.constexpr(ALIKE), tl.constexpr(APART)
_ENTRIES = tl.constexpr(ENTRIES)
_SIGMA_HALF = tl.constexpr(SIGMA_HALF)
_READ = tl.constexpr(READ)
_PAIRS = tl.constexpr(PAIRS)
_TAPS = tl.constexpr(TAPS)


@cache
def _steps() -> tuple[np.ndarray, np.ndarray]:
    """For every entry of the table: the lowest level read [E], and weights and slopes of READ levels [E, 2, READ]."""
    weights = ladder().weights.astype(np.float32)
    used = (weights[:, :-1] != 0) | (weights[:, 1:] != 0)  # [LEVELS, ENTRIES]
    lowest = np.minimum(used.argmax(0), LEVELS - READ)
    assert not used.any() or (LEVELS - 1 - used[::-1].argmax(0) - lowest).max() < READ, "an entry reads too many levels"
    rows = lowest[:, None] + np.arange(READ)
    entry = np.arange(ENTRIES)[:, None]
    here, there = weights[rows, entry], weights[rows, entry + 1]
    return lowest.astype(np.int32), np.stack([here, there - here], axis=1)


@cache
def _tables(device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """On the device: lowest level [E], weights and slopes [E, 2, READ], and all weights by level [LEVELS, E + 1]."""
    lowest, shares = _steps()
    whole = ladder().weights.astype(np.float32)
    return tuple(torch.from_numpy(a).contiguous().to(device) for a in (lowest, shares, whole))  # type: ignore


@triton.jit
def mirror(i, n, far, FAR: tl.constexpr):
    """The pixel that stands for pixel i outside 0 ... n - 1. Filters that reach beyond n fold more than once:
    `far` is then a multiple of 2 n that makes i positive."""
    i = (i + far) % (2 * n) if FAR else tl.where(i < 0, -1 - i, i)
    return tl.where(i < n, i, 2 * n - 1 - i)


@triton.jit
def _share(
    coordinates, table, gradient, at, c, part, low, high, here,
    PADDED: tl.constexpr, CHANNELS: tl.constexpr, PIVOT: tl.constexpr,
):  # fmt: skip
    """A level's own part of the gradient [pixels, channels], of the pixels `at` of a frame; 0 where not `here`."""
    place = gradient + (at * PADDED)[:, None] + c
    if PIVOT == _ALIKE:
        v = tl.load(coordinates + at, mask=here, other=-1.0)
        used = here & (v >= low) & (v <= high)
        share = (part * _weight(table, v, v, used))[:, None] * tl.load(place, mask=used[:, None], other=0.0)
    else:
        kept = here[:, None] & (c < CHANNELS)
        v = tl.load(coordinates + (at * CHANNELS)[:, None] + c, mask=kept, other=-1.0)
        by = v
        if PIVOT != _APART:
            by = tl.load(coordinates + (at * CHANNELS + PIVOT)[:, None] + c * 0, mask=kept, other=-1.0)
        used = kept & (by >= low) & (by <= high)
        share = part * _weight(table, v, by, used) * tl.load(place, mask=used, other=0.0)
    return share


@triton.jit
def _line(source, x, c, SOURCE: tl.constexpr, PADDED: tl.constexpr):
    """The pixels x of a row of frames that have SOURCE channels side by side."""
    place = source + (x * SOURCE)[:, None] + c
    return tl.load(place) if SOURCE == PADDED else tl.load(place, mask=c < SOURCE, other=0.0)


@triton.jit(do_not_specialize=["height", "width", "stride", "far_down", "far_along", "chunks", "table"])
def _rung(
    below, level, height, width, stride, far_down, far_along, chunks, t0, t1, t2, t3, top, needed_from, stored_from,
    coordinates, table, gradient, part, low, high,
    PADDED: tl.constexpr, SOURCE: tl.constexpr, TARGET: tl.constexpr, SHARE: tl.constexpr, FAR: tl.constexpr,
    COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, PIVOT: tl.constexpr,
):  # fmt: skip
    """Filters along the rows and down the columns of frames [H, W, SOURCE] to [H, W, TARGET]; with SHARE adds the
    gradient [H, W, PADDED] times this level's weight (its `table`).

    What comes from `below` is nothing where `top` is below `needed_from`; below `stored_from` nothing is stored.
    """
    largest = tl.load(top).to(tl.float32, bitcast=True)
    if largest >= stored_from:
        column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
        there = column < width
        x = tl.minimum(column, width - 1)
        c = tl.arange(0, PADDED)[None, :]
        kept = there[:, None] & (c < TARGET)
        frame = tl.program_id(2).to(tl.int64) * height * width
        source, target = below + frame * SOURCE, level + frame * TARGET
        places = coordinates + (frame if PIVOT == _ALIKE else frame * CHANNELS)
        segment = tl.program_id(1) // stride
        # The first row that is stored; the others follow `stride` rows apart.
        start = tl.program_id(1) - segment * stride + segment * (_TAPS * chunks - 2 * _PAIRS) * stride
        stop = tl.minimum(height, start + (_TAPS * chunks - 2 * _PAIRS) * stride)
        if largest >= needed_from:
            l1 = mirror(x - stride, width, far_along, FAR)
            l2 = mirror(x - 2 * stride, width, far_along, FAR)
            l3 = mirror(x - 3 * stride, width, far_along, FAR)
            r1 = mirror(x + stride, width, far_along, FAR)
            r2 = mirror(x + 2 * stride, width, far_along, FAR)
            r3 = mirror(x + 3 * stride, width, far_along, FAR)
            h0 = tl.zeros([COLUMNS, PADDED], tl.float32)
            h1, h2, h3, h4, h5 = h0, h0, h0, h0, h0
            first = start - 2 * _PAIRS * stride
            while first < stop:
                o0, o1, o2, o3, o4, o5, o6 = h0, h0, h0, h0, h0, h0, h0
                for i in tl.static_range(_TAPS):
                    y = first + i * stride
                    row = tl.minimum(y + _PAIRS * stride, height - 1 + _PAIRS * stride)
                    line = source + mirror(row, height, far_down, FAR) * (width * SOURCE)
                    h = t0 * _line(line, x, c, SOURCE, PADDED)
                    h += t1 * (_line(line, l1, c, SOURCE, PADDED) + _line(line, r1, c, SOURCE, PADDED))
                    h += t2 * (_line(line, l2, c, SOURCE, PADDED) + _line(line, r2, c, SOURCE, PADDED))
                    h += t3 * (_line(line, l3, c, SOURCE, PADDED) + _line(line, r3, c, SOURCE, PADDED))
                    total = t0 * h3 + t1 * (h2 + h4) + t2 * (h1 + h5) + t3 * (h0 + h)
                    if SHARE:
                        here = there & (y >= start) & (y < height)
                        total += _share(
                            places, table, gradient, y * width + x, c, part, low, high, here,
                            PADDED=PADDED, CHANNELS=CHANNELS, PIVOT=PIVOT,
                        )  # fmt: skip
                    h0, h1, h2, h3, h4, h5 = h1, h2, h3, h4, h5, h
                    o0, o1, o2, o3, o4, o5, o6 = o1, o2, o3, o4, o5, o6, total
                # All at once: a store would keep the loads of the rows that follow waiting.
                for i in tl.static_range(_TAPS):
                    y = first + i * stride
                    early = o0 if i == 0 else (o1 if i == 1 else (o2 if i == 2 else o3))
                    total = early if i < 4 else (o4 if i == 4 else (o5 if i == 5 else o6))
                    place = target + ((y * width + x) * TARGET)[:, None] + c
                    tl.store(place, total, mask=kept & (y >= start) & (y < height))
                first += _TAPS * stride
        else:
            if SHARE:
                y = start
                while y < stop:
                    at = y * width + x
                    total = _share(
                        places, table, gradient, at, c, part, low, high, there,
                        PADDED=PADDED, CHANNELS=CHANNELS, PIVOT=PIVOT,
                    )  # fmt: skip
                    tl.store(target + (at * TARGET)[:, None] + c, total, mask=kept)
                    y += stride


@triton.jit
def _coordinates(sigma, coordinates, top, pixels, highest, BLOCK: tl.constexpr):
    """Each pixel's place in the table, and the largest of all: floats >= 0 are ordered as their bits are."""
    p = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = p < pixels
    s = tl.load(sigma + p, mask=inside, other=0.0)
    v = tl.div_rn(_ENTRIES * s, s + _SIGMA_HALF)
    # A sigma that is no number reads the table at 0; 0 * sigma lets it through to the result.
    v = tl.where(v > 0.0, v, 0.0)
    v = tl.where(v < highest, v, highest)
    tl.store(coordinates + p, v, mask=inside)
    tl.atomic_max(top, tl.max(v, 0).to(tl.int32, bitcast=True))


@triton.jit
def _weight(table, v, by, used):
    """Weight of one level at the table's coordinate v, along the entry of the coordinate `by`; 0 where not `used`."""
    i = tl.minimum(tl.maximum(by, 0.0).to(tl.int32), _ENTRIES - 1)
    here = tl.load(table + i, mask=used, other=0.0)
    there = tl.load(table + i + 1, mask=used, other=0.0)
    return here + (v - i.to(tl.float32)) * (there - here)


@triton.jit(do_not_specialize=["pixels", "frames", "averaged", "before"])
def _combine(
    sharp, levels, sigma, lowest, shares, blurred, slopes, coordinates, pixels, frames, averaged, before, part,
    CHANNELS: tl.constexpr, PADDED: tl.constexpr, SLOPES: tl.constexpr, BLOCK: tl.constexpr, PIVOT: tl.constexpr,
):  # fmt: skip
    """Each pixel's own levels, weighted, and the share of these frames of `pixels` each in the mean, added to that of
    the ones `before`, of so many of them `averaged`; `levels` starts at level 1, level 0 is `sharp`."""
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = p < pixels
    c = tl.arange(0, PADDED)[None, :]
    kept = inside[:, None] & (c < CHANNELS)
    e = (p * CHANNELS)[:, None] + c
    mean = tl.zeros([BLOCK, PADDED], tl.float32)
    blurred += tl.program_id(1).to(tl.int64) * pixels * CHANNELS
    frame = tl.program_id(1) * averaged
    stop = frame + averaged
    while frame < stop:
        at = frame * tl.cast(pixels, tl.int64)
        if PIVOT == _ALIKE:
            s = tl.load(sigma + at + p, mask=inside, other=0.0)[:, None]
            v = tl.load(coordinates + at + p, mask=inside, other=0.0)
            i = tl.minimum(v.to(tl.int32), _ENTRIES - 1)
            fraction, first, some = v - i.to(tl.float32), tl.load(lowest + i), inside
        else:
            s = tl.load(sigma + at * CHANNELS + e, mask=kept, other=0.0)
            v = tl.load(coordinates + at * CHANNELS + e, mask=kept, other=0.0)
            by = v
            if PIVOT != _APART:
                by = tl.load(
                    coordinates + at * CHANNELS + (p * CHANNELS + PIVOT)[:, None] + c * 0, mask=kept, other=0.0
                )
            i = tl.minimum(by.to(tl.int32), _ENTRIES - 1)
            fraction, first, some = v - i.to(tl.float32), tl.load(lowest + i), kept
        total = tl.zeros([BLOCK, PADDED], tl.float32) + 0.0 * s
        slope = tl.zeros([BLOCK, PADDED], tl.float32)
        for j in tl.static_range(_READ):
            here = tl.load(shares + i * (2 * _READ) + j)
            step = tl.load(shares + i * (2 * _READ) + _READ + j)
            weight = here + fraction * step
            used = some & ((weight != 0.0) | ((step != 0.0) & (fraction > 0.0)))
            if SLOPES:
                used = some & ((weight != 0.0) | (step != 0.0))
            above = (first + (j - 1)).to(tl.int64)
            if PIVOT == _ALIKE:
                place = (above * frames * pixels + at + p) * PADDED
                value = tl.load(levels + place[:, None] + c, mask=(used & (above >= 0))[:, None], other=0.0)
                if j == 0:
                    value += tl.load(sharp + at * CHANNELS + e, mask=kept & (used & (above < 0))[:, None], other=0.0)
                total += weight[:, None] * value
                slope += step[:, None] * value
            else:
                place = (above * frames * pixels + at + p[:, None]) * PADDED + c
                value = tl.load(levels + place, mask=used & (above >= 0), other=0.0)
                if j == 0:
                    value += tl.load(sharp + at * CHANNELS + e, mask=used & (above < 0), other=0.0)
                total += weight * value
                slope += step * value
        mean += total
        if SLOPES:
            tl.store(slopes + at * CHANNELS + e, slope, mask=kept)
        frame += 1
    mean *= part
    mean += tl.load(blurred + e, mask=kept & (before > 0), other=0.0)
    tl.store(blurred + e, mean, mask=kept)


@triton.jit(do_not_specialize=["table", "pixels"])
def _top(
    gradient, padded, slopes, coordinates, table, top, level, grad_sigma, pixels, part, highest, low,
    CHANNELS: tl.constexpr, PADDED: tl.constexpr, SHARP: tl.constexpr, SIGMA: tl.constexpr, BLOCK: tl.constexpr,
    PIVOT: tl.constexpr,
):  # fmt: skip
    """The highest level's share of the gradient (nothing is stored where `top` is below `low`), the gradient as the
    other levels read it, and that of sigma."""
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = p < pixels
    c = tl.arange(0, PADDED)[None, :]
    kept = inside[:, None] & (c < CHANNELS)
    e = (p * CHANNELS)[:, None] + c
    frame = tl.program_id(1) * tl.cast(pixels, tl.int64)
    if PIVOT == _ALIKE:
        v = tl.load(coordinates + frame + p, mask=inside, other=0.0)[:, None]
    else:
        v = tl.load(coordinates + frame * CHANNELS + e, mask=kept, other=0.0)
    g = tl.load(gradient + e, mask=kept, other=0.0)
    if SHARP:
        by, used = v, inside[:, None]
        if PIVOT != _ALIKE:
            used = kept
            if PIVOT != _APART:
                place = (p * CHANNELS + PIVOT)[:, None] + c * 0
                by = tl.load(coordinates + frame * CHANNELS + place, mask=kept, other=0.0)
        weight = part * _weight(table, v, by, used & (by >= low))
        stored = p < tl.where(tl.load(top).to(tl.float32, bitcast=True) >= low, pixels, 0)
        place = level + (frame + p)[:, None] * PADDED + c
        tl.store(place, weight * g, mask=stored[:, None])
        if (CHANNELS != PADDED) & (tl.program_id(1) == 0):
            tl.store(padded + (p * PADDED)[:, None] + c, g, mask=inside[:, None])
    if SIGMA:
        total = g * tl.load(slopes + frame * CHANNELS + e, mask=kept, other=0.0)
        if PIVOT == _ALIKE:
            total = tl.sum(total, 1)[:, None]
        rest = 1.0 - v * (1.0 / _ENTRIES)
        total *= part * tl.where(v < highest, _ENTRIES / _SIGMA_HALF, 0.0) * rest * rest
        if PIVOT == _ALIKE:
            tl.store(grad_sigma + (frame + p)[:, None], total, mask=inside[:, None])
        else:
            tl.store(grad_sigma + frame * CHANNELS + e, total, mask=kept)


def _filters(k: int, frames: int, height: int, width: int) -> tuple[tuple, tuple, bool]:
    """What makes level k: the launch's grid, its numbers, and whether it folds at the borders more than once."""
    numbers = ladder()
    stride, taps = int(numbers.strides[k]), [float(np.float32(t)) for t in numbers.taps[k]]
    reach = PAIRS * stride
    far = [2 * size * -(-reach // (2 * size)) for size in (height, width)]
    each = -(-height // stride)  # rows that are `stride` apart
    rows = frames * height * width / (32 * WARPS)  # a program, if there are just enough of them
    chunks = min(max(2, round((rows + 2 * PAIRS) / TAPS)), CHUNKS, -(-(each + TAPS - 1) // TAPS))
    segments = -(-each // (TAPS * chunks - 2 * PAIRS))
    grid = triton.cdiv(width, STRIP["COLUMNS"]), min(stride * segments, height), frames
    return grid, (height, width, stride, *far, chunks, *taps), reach > min(height, width)


def _groups(frames: int, pixels: int, padded: int) -> list[slice]:
    """Which frames are blurred together."""
    most = max(1, TOGETHER // ((LEVELS - 1) * pixels * padded * 4))
    most = -(-frames // -(-frames // most))  # of as many groups, about the same in each
    return [slice(first, min(first + most, frames)) for first in range(0, frames, most)]


def each(sharp: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """From sharp [M, H, W, C] and sigma [M, H, W] or [M, H, W, C]: the blurred [M, H, W, C]."""
    return forward(sharp, sigma, False, averaged=False)[0]


def forward(
    sharp: torch.Tensor, sigma: torch.Tensor, with_slopes: bool, pivot: int | None = None, averaged: bool = True
):
    """From sharp [M, H, W, C] and sigma [M, H, W] or [M, H, W, C]: returns the mean of the blurred [H, W, C], and what
    `backward` needs; not `averaged`: all of them [M, H, W, C]."""
    sharp, sigma = sharp.contiguous(), sigma.contiguous()
    frames, height, width, channels = sharp.shape
    by = ALIKE if sigma.ndim == 3 else APART if pivot is None else pivot
    how = {"CHANNELS": channels, "PADDED": triton.next_power_of_2(channels), "PIVOT": by}
    pixels, padded = height * width, triton.next_power_of_2(channels)
    highest, support = float(np.float32(coordinate(SIGMA_MAX))), ladder().support
    lowest, shares, _ = _tables(sharp.device)
    groups = _groups(frames, pixels, padded)
    stack = torch.empty((LEVELS - 1, groups[0].stop * pixels * padded), device=sharp.device)
    blurred, coordinates = torch.empty_like(sharp[0] if averaged else sharp), torch.empty_like(sigma)
    top = torch.zeros(1, dtype=torch.int32, device=sharp.device)
    slopes = torch.empty_like(sharp) if with_slopes else None
    count = sigma.numel()
    _coordinates[(triton.cdiv(count, 1024),)](sigma, coordinates, top, count, highest, BLOCK=1024)
    for group in groups:
        count, below, source = group.stop - group.start, sharp[group], channels
        levels = stack.flatten()[: (LEVELS - 1) * count * pixels * padded].view(LEVELS - 1, -1)
        for k in range(1, LEVELS):
            grid, numbers, far = _filters(k, count, height, width)
            needed = float(support[k, 0])
            _rung[grid](
                below, levels[k - 1], *numbers, top, needed, needed, coordinates, coordinates, sharp, 1.0, 0.0, 0.0,
                SOURCE=source, TARGET=padded, SHARE=False, FAR=far, **how, **STRIP,
            )  # fmt: skip
            below, source = levels[k - 1], padded
        into, run, before, part = (blurred, count, group.start, 1 / frames) if averaged else (blurred[group], 1, 0, 1.0)
        _combine[(triton.cdiv(pixels, RUN["BLOCK"]), count // run)](
            sharp[group], levels, sigma[group], lowest, shares, into, into if slopes is None else slopes[group],
            coordinates[group], pixels, count, run, before, part,
            SLOPES=with_slopes, **how, **RUN,
        )  # fmt: skip
    return blurred, (coordinates, top, highest, slopes, by)


def backward(gradient: torch.Tensor, saved, sharp_wanted: bool, sigma_wanted: bool):
    """From the mean's gradient [H, W, C]: those of sharp [M, H, W, C] and sigma, of its shape (None where not
    wanted)."""
    coordinates, top, highest, slopes, by = saved
    frames, height, width = coordinates.shape[:3]
    channels, pixels, part = gradient.shape[2], height * width, 1.0 / frames
    padded = triton.next_power_of_2(channels)
    how = {"CHANNELS": channels, "PADDED": padded, "PIVOT": by}
    whole, support = _tables(gradient.device)[2], ladder().support
    groups = _groups(frames, pixels, padded)
    grad_sharp = gradient.new_empty(frames, *gradient.shape) if sharp_wanted else None
    grad_sigma = torch.empty_like(coordinates) if sigma_wanted else None
    scratch = gradient.new_empty(2 if sharp_wanted else 0, groups[0].stop * pixels * padded)
    read = gradient.new_empty(pixels * padded) if sharp_wanted and channels != padded else gradient
    for group in groups:
        count, places = group.stop - group.start, coordinates[group]
        level, other = scratch if sharp_wanted else (gradient, gradient)
        _top[(triton.cdiv(pixels, RUN["BLOCK"]), count)](
            gradient, read, slopes[group] if sigma_wanted else gradient, places, whole[LEVELS - 1], top, level,
            places if grad_sigma is None else grad_sigma[group], pixels, part, highest, float(support[LEVELS - 1, 0]),
            SHARP=sharp_wanted, SIGMA=sigma_wanted, **how, **RUN,
        )  # fmt: skip
        if grad_sharp is None:
            continue
        for k in range(LEVELS - 2, -1, -1):
            grid, numbers, far = _filters(k + 1, count, height, width)
            low, high = float(support[k, 0]), float(support[k, 1])
            _rung[grid](
                level, grad_sharp[group] if k == 0 else other, *numbers, top, float(support[k + 1, 0]),
                min(low, 0.0) if k == 0 else low, places, whole[k], read, part, low, high,
                SOURCE=padded, TARGET=channels if k == 0 else padded, SHARE=True, FAR=far, **how, **STRIP,
            )  # fmt: skip
            level, other = other, level
    return grad_sharp, grad_sigma
