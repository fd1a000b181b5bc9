"""The blur ladder on a GPU.

A frame keeps its channels interleaved, [H, W * C]. A level is one launch, for all frames at once: a program owns a
strip of columns and walks down every `stride`-th row of it, filters each row along itself, and keeps the last seven of
these for the filter down the columns. Levels stay in memory until one more launch weighs the up to four that a pixel
reads and averages the frames; on the way back each level's launch also adds the share of its own. With 16 levels that
is 17 launches forward and 16 back. Frames are mirrored at their borders as in `blur_cpu.py`, so that every filter is
its own adjoint. Nothing is read by the host: all levels are launched, and the programs of those that no pixel reads
(the largest sigma is found first) end at once. EACH says that every channel has a sigma of its own.
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
STRIP = {"COLUMNS": 128, "num_warps": 4}  # numbers of a row that a filter's program owns
CHUNKS = 4  # times TAPS rows that it walks down, the first TAPS - 1 of them for the filter's run-in alone
RUN = {"BLOCK": 256, "num_warps": 4}  # numbers of a program that works one by one

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
def _mirror(i, n, far, FAR: tl.constexpr):
    """The pixel that stands for pixel i outside 0 ... n - 1. Filters that reach beyond n fold more than once:
    `far` is then a multiple of 2 n that makes i positive."""
    i = (i + far) % (2 * n) if FAR else tl.where(i < 0, -1 - i, i)
    return tl.where(i < n, i, 2 * n - 1 - i)


@triton.jit
def _share(
    coordinates, table, gradient, y, width, x, e, part, low, high, here, CHANNELS: tl.constexpr, EACH: tl.constexpr
):
    """A level's own part of the gradient, in one row of a strip; 0 where not `here`."""
    place = y * (width * CHANNELS) + e if EACH else y * width + x
    v = tl.load(coordinates + place, mask=here, other=-1.0)
    used = here & (v >= low) & (v <= high)
    g = tl.load(gradient + y * (width * CHANNELS) + e, mask=used, other=0.0)
    return part * _weight(table, v, used) * g


@triton.jit(do_not_specialize=["level", "height", "width", "stride", "far_down", "far_along", "chunks", "table"])
def _rung(
    below, level, height, width, stride, far_down, far_along, chunks, t0, t1, t2, t3, top, needed_from, stored_from,
    coordinates, table, gradient, part, low, high,
    CHANNELS: tl.constexpr, EACH: tl.constexpr, SHARE: tl.constexpr, FAR: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Filters along the rows and down the columns of frames [H, W * C]; with SHARE adds the gradient times this
    level's weight (its `table`).

    What comes from `below` is nothing where `top` is below `needed_from`; below `stored_from` nothing is stored.
    """
    largest = tl.load(top).to(tl.float32, bitcast=True)
    if largest >= stored_from:
        length = width * CHANNELS
        element = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
        there = element < length
        e = tl.minimum(element, length - 1)
        x = e // CHANNELS
        c = e - x * CHANNELS
        frame = tl.program_id(2).to(tl.int64) * height
        source, target = below + frame * length, level + frame * length
        places = coordinates + frame * (length if EACH else width)
        segment = tl.program_id(1) // stride
        # The first row that is stored; the others follow `stride` rows apart.
        start = tl.program_id(1) - segment * stride + segment * (_TAPS * chunks - 2 * _PAIRS) * stride
        stop = tl.minimum(height, start + (_TAPS * chunks - 2 * _PAIRS) * stride)
        if largest >= needed_from:
            l1 = c + CHANNELS * _mirror(x - stride, width, far_along, FAR)
            l2 = c + CHANNELS * _mirror(x - 2 * stride, width, far_along, FAR)
            l3 = c + CHANNELS * _mirror(x - 3 * stride, width, far_along, FAR)
            r1 = c + CHANNELS * _mirror(x + stride, width, far_along, FAR)
            r2 = c + CHANNELS * _mirror(x + 2 * stride, width, far_along, FAR)
            r3 = c + CHANNELS * _mirror(x + 3 * stride, width, far_along, FAR)
            h0 = tl.zeros([COLUMNS], tl.float32)
            h1, h2, h3, h4, h5 = h0, h0, h0, h0, h0
            first = start - 2 * _PAIRS * stride
            while first < stop:
                o0, o1, o2, o3, o4, o5, o6 = h0, h0, h0, h0, h0, h0, h0
                for i in tl.static_range(_TAPS):
                    y = first + i * stride
                    row = tl.minimum(y + _PAIRS * stride, height - 1 + _PAIRS * stride)
                    line = source + _mirror(row, height, far_down, FAR) * length
                    h = t0 * tl.load(line + e)
                    h += t1 * (tl.load(line + l1) + tl.load(line + r1))
                    h += t2 * (tl.load(line + l2) + tl.load(line + r2))
                    h += t3 * (tl.load(line + l3) + tl.load(line + r3))
                    total = t0 * h3 + t1 * (h2 + h4) + t2 * (h1 + h5) + t3 * (h0 + h)
                    if SHARE:
                        here = there & (y >= start) & (y < height)
                        total += _share(
                            places, table, gradient, y, width, x, e, part, low, high, here,
                            CHANNELS=CHANNELS, EACH=EACH,
                        )  # fmt: skip
                    h0, h1, h2, h3, h4, h5 = h1, h2, h3, h4, h5, h
                    o0, o1, o2, o3, o4, o5, o6 = o1, o2, o3, o4, o5, o6, total
                # All at once: a store would keep the loads of the rows that follow waiting.
                for i in tl.static_range(_TAPS):
                    y = first + i * stride
                    early = o0 if i == 0 else (o1 if i == 1 else (o2 if i == 2 else o3))
                    total = early if i < 4 else (o4 if i == 4 else (o5 if i == 5 else o6))
                    tl.store(target + y * length + element, total, mask=there & (y >= start) & (y < height))
                first += _TAPS * stride
        else:
            if SHARE:
                y = start
                while y < stop:
                    total = _share(
                        places, table, gradient, y, width, x, e, part, low, high, there, CHANNELS=CHANNELS, EACH=EACH
                    )
                    tl.store(target + y * length + element, total, mask=there)
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
def _weight(table, v, used):
    """Weight of one level at the table's coordinate v; 0 where not `used`."""
    i = tl.minimum(tl.maximum(v, 0.0).to(tl.int32), _ENTRIES - 1)
    here = tl.load(table + i, mask=used, other=0.0)
    there = tl.load(table + i + 1, mask=used, other=0.0)
    return here + (v - i.to(tl.float32)) * (there - here)


@triton.jit(do_not_specialize=["pixels", "frames"])
def _combine(
    sharp, levels, sigma, lowest, shares, blurred, slopes, coordinates, pixels, frames, part,
    CHANNELS: tl.constexpr, EACH: tl.constexpr, SLOPES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Each pixel's own levels, weighted, and the mean of the frames of `pixels` each; `levels` starts at level 1, level
    0 is `sharp`."""
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    p = e // CHANNELS
    inside = p < pixels
    mean = tl.zeros([BLOCK], tl.float32)
    frame = 0
    while frame < frames:
        at = frame * tl.cast(pixels, tl.int64)
        place = at * CHANNELS + e if EACH else at + p
        s = tl.load(sigma + place, mask=inside, other=0.0)
        v = tl.load(coordinates + place, mask=inside, other=0.0)
        i = tl.minimum(v.to(tl.int32), _ENTRIES - 1)
        fraction = v - i.to(tl.float32)
        first = tl.load(lowest + i)
        at *= CHANNELS
        total = 0.0 * s
        slope = tl.zeros([BLOCK], tl.float32)
        for j in tl.static_range(_READ):
            here = tl.load(shares + i * (2 * _READ) + j)
            step = tl.load(shares + i * (2 * _READ) + _READ + j)
            weight = here + fraction * step
            used = inside & ((weight != 0.0) | ((step != 0.0) & (fraction > 0.0)))
            if SLOPES:
                used = inside & ((weight != 0.0) | (step != 0.0))
            above = (first + (j - 1)).to(tl.int64)
            there = above * frames * pixels * CHANNELS + at + e
            value = tl.load(levels + there, mask=used & (above >= 0), other=0.0)
            if j == 0:
                value += tl.load(sharp + at + e, mask=used & (above < 0), other=0.0)
            total += weight * value
            slope += step * value
        mean += total
        if SLOPES:
            tl.store(slopes + at + e, slope, mask=inside)
        frame += 1
    tl.store(blurred + e, mean * part, mask=inside)


@triton.jit(do_not_specialize=["table", "pixels"])
def _top(
    gradient, slopes, coordinates, table, top, level, grad_sigma, pixels, part, highest, low,
    CHANNELS: tl.constexpr, EACH: tl.constexpr, SHARP: tl.constexpr, SIGMA: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The highest level's share of the gradient (nothing is stored where `top` is below `low`), and the gradient of
    sigma."""
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = p < pixels
    frame = tl.program_id(1) * tl.cast(pixels, tl.int64)
    stored = p < tl.where(tl.load(top).to(tl.float32, bitcast=True) >= low, pixels, 0)
    total = tl.zeros([BLOCK], tl.float32)
    weight = tl.zeros([BLOCK], tl.float32)
    v = tl.zeros([BLOCK], tl.float32)
    for c in tl.static_range(CHANNELS):
        e = p * CHANNELS + c
        g = tl.load(gradient + e, mask=inside, other=0.0)
        if EACH or c == 0:
            v = tl.load(coordinates + (frame * CHANNELS + e if EACH else frame + p), mask=inside, other=0.0)
            if SHARP:
                weight = part * _weight(table, v, inside & (v >= low))
        if SIGMA:
            total += g * tl.load(slopes + frame * CHANNELS + e, mask=inside, other=0.0)
            if EACH or c == CHANNELS - 1:
                rest = 1.0 - v * (1.0 / _ENTRIES)
                total *= tl.where(v < highest, _ENTRIES / _SIGMA_HALF, 0.0) * rest * rest
                tl.store(grad_sigma + (frame * CHANNELS + e if EACH else frame + p), part * total, mask=inside)
                total *= 0.0
        if SHARP:
            tl.store(level + frame * CHANNELS + e, weight * g, mask=stored)


def _filters(k: int, frames: int, height: int, length: int, width: int) -> tuple[tuple, tuple, bool]:
    """What makes level k: the launch's grid, its numbers, and whether it folds at the borders more than once."""
    numbers = ladder()
    stride, taps = int(numbers.strides[k]), [float(np.float32(t)) for t in numbers.taps[k]]
    reach = PAIRS * stride
    far = [2 * size * -(-reach // (2 * size)) for size in (height, width)]
    each = -(-height // stride)  # rows that are `stride` apart
    chunks = min(CHUNKS, -(-(each + TAPS - 1) // TAPS))
    segments = -(-each // (TAPS * chunks - 2 * PAIRS))
    grid = triton.cdiv(length, STRIP["COLUMNS"]), min(stride * segments, height), frames
    return grid, (height, width, stride, *far, chunks, *taps), reach > min(height, width)


def forward(sharp: torch.Tensor, sigma: torch.Tensor, with_slopes: bool):
    """From sharp [M, H, W, C] and sigma [M, H, W] or [M, H, W, C]: returns the mean of the blurred [H, W, C], and what
    `backward` needs."""
    each = sigma.ndim == 4
    frames, height, width, channels = sharp.shape
    length, pixels = width * channels, height * width
    highest, support = float(np.float32(coordinate(SIGMA_MAX))), ladder().support
    lowest, shares, _ = _tables(sharp.device)
    stack = torch.empty((LEVELS - 1, *sharp.shape), device=sharp.device)
    blurred, coordinates = torch.empty_like(sharp[0]), torch.empty_like(sigma)
    top = torch.zeros(1, dtype=torch.int32, device=sharp.device)
    slopes = torch.empty_like(sharp) if with_slopes else None
    _coordinates[(triton.cdiv(sigma.numel(), 1024),)](sigma, coordinates, top, sigma.numel(), highest, BLOCK=1024)
    below = sharp
    for k in range(1, LEVELS):
        grid, numbers, far = _filters(k, frames, height, length, width)
        needed = float(support[k, 0])
        _rung[grid](
            below, stack[k - 1], *numbers, top, needed, needed, coordinates, coordinates, sharp, 1.0, 0.0, 0.0,
            CHANNELS=channels, EACH=each, SHARE=False, FAR=far, **STRIP,
        )  # fmt: skip
        below = stack[k - 1]
    _combine[(triton.cdiv(pixels * channels, RUN["BLOCK"]),)](
        sharp, stack, sigma, lowest, shares, blurred, blurred if slopes is None else slopes, coordinates, pixels,
        frames, 1.0 / frames, CHANNELS=channels, EACH=each, SLOPES=with_slopes, **RUN,
    )  # fmt: skip
    return blurred, (coordinates, top, highest, slopes)


def backward(gradient: torch.Tensor, saved, sharp_wanted: bool, sigma_wanted: bool):
    """From the mean's gradient [H, W, C]: those of sharp [M, H, W, C] and of sigma, as that was (None where not
    wanted)."""
    coordinates, top, highest, slopes = saved
    frames, height, width = coordinates.shape[:3]
    each = coordinates.ndim == 4
    channels, pixels, part = gradient.shape[2], height * width, 1.0 / frames
    whole, support = _tables(gradient.device)[2], ladder().support
    level, other = gradient.new_empty(2 if sharp_wanted else 0, frames, *gradient.shape) if sharp_wanted else [None] * 2
    grad_sigma = torch.empty_like(coordinates) if sigma_wanted else None
    _top[(triton.cdiv(pixels, RUN["BLOCK"]), frames)](
        gradient, slopes if sigma_wanted else gradient, coordinates, whole[LEVELS - 1], top,
        gradient if level is None else level, coordinates if grad_sigma is None else grad_sigma, pixels, part, highest,
        float(support[LEVELS - 1, 0]), CHANNELS=channels, EACH=each, SHARP=sharp_wanted, SIGMA=sigma_wanted, **RUN,
    )  # fmt: skip
    if level is not None:
        for k in range(LEVELS - 2, -1, -1):
            grid, numbers, far = _filters(k + 1, frames, height, width * channels, width)
            low, high = float(support[k, 0]), float(support[k, 1])
            _rung[grid](
                level, other, *numbers, top, float(support[k + 1, 0]), min(low, 0.0) if k == 0 else low,
                coordinates, whole[k], gradient, part, low, high,
                CHANNELS=channels, EACH=each, SHARE=True, FAR=far, **STRIP,
            )  # fmt: skip
            level, other = other, level
    return level, grad_sigma
