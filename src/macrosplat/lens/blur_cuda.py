"""The blur ladder on a GPU.

A frame keeps its channels interleaved, [H, W * C]: a level is two launches (down the columns, along the rows), whatever
its stride. Levels stay in memory until one more launch weighs the up to four that a pixel reads; on the way back each
level's second launch also adds the share of its own. With L levels (12 for sigma <= 10 px, 16 for all) that is 2 L - 1
launches forward and 2 L - 1 back. Frames are mirrored at their borders as in `blur_cpu.py`, so that every filter is its
own adjoint. Nothing is read by the host: all levels are launched, and those that no pixel reads (the largest sigma of
the frame is found first) load and store nothing.
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
TILE = {"ROWS": 4, "COLUMNS": 256, "num_warps": 4}  # of a filter's program
RUN = {"BLOCK": 256, "num_warps": 4}  # px of a program that works pixel by pixel

_ENTRIES = tl.constexpr(ENTRIES)
_SIGMA_HALF = tl.constexpr(SIGMA_HALF)
_READ = tl.constexpr(READ)


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


@triton.jit(do_not_specialize=["height", "stride", "far"])
def _down(
    below, level, height, length, stride, far, t0, t1, t2, t3, top, needed_from,
    FAR: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Filters down the columns of [H, length]; nothing where `top` is below `needed_from`."""
    y = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    x = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inside = (y < _rows(top, needed_from, height)) & (x < length)
    total = t0 * tl.load(below + y * length + x, mask=inside, other=0.0)
    for j in tl.static_range(1, 4):
        tap = t1 if j == 1 else (t2 if j == 2 else t3)
        above = _mirror(y - j * stride, height, far, FAR)
        under = _mirror(y + j * stride, height, far, FAR)
        a = tl.load(below + above * length + x, mask=inside, other=0.0)
        b = tl.load(below + under * length + x, mask=inside, other=0.0)
        total += tap * (a + b)
    tl.store(level + y * length + x, total, mask=inside)


@triton.jit(do_not_specialize=["height", "stride", "far", "table"])
def _along(
    below, level, height, width, stride, far, t0, t1, t2, t3, top, needed_from, stored_from,
    coordinates, table, gradient, low, high,
    CHANNELS: tl.constexpr, SHARE: tl.constexpr, FAR: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Filters along the rows of [H, W * C]; with SHARE adds the gradient times this level's weight (its `table`).

    What comes from `below` is nothing where `top` is below `needed_from`; below `stored_from` nothing is stored.
    """
    length = width * CHANNELS
    y = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    e = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    x = e // CHANNELS
    c = e - x * CHANNELS
    inside = (y < height) & (e < length)
    filtered = inside & (y < _rows(top, needed_from, height))
    row = below + y * length + c
    total = t0 * tl.load(row + x * CHANNELS, mask=filtered, other=0.0)
    for j in tl.static_range(1, 4):
        tap = t1 if j == 1 else (t2 if j == 2 else t3)
        left = _mirror(x - j * stride, width, far, FAR)
        right = _mirror(x + j * stride, width, far, FAR)
        a = tl.load(row + left * CHANNELS, mask=filtered, other=0.0)
        b = tl.load(row + right * CHANNELS, mask=filtered, other=0.0)
        total += tap * (a + b)
    if SHARE:
        v = tl.load(coordinates + y * width + x, mask=inside, other=-1.0)
        used = (v >= low) & (v <= high)
        total += _weight(table, v, used) * tl.load(gradient + y * length + e, mask=used & inside, other=0.0)
    tl.store(level + y * length + e, total, mask=inside & (y < _rows(top, stored_from, height)))


@triton.jit
def _rows(top, least, height):
    """How many rows to work on: none where the largest coordinate of the frame (bits that `_coordinates` left) is
    below `least`."""
    return tl.where(tl.load(top).to(tl.float32, bitcast=True) >= least, height, 0)


@triton.jit
def _coordinates(sigma, coordinates, top, pixels, highest, BLOCK: tl.constexpr):
    """Each pixel's place in the table, and the largest of the frame: floats >= 0 are ordered as their bits are."""
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
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


@triton.jit
def _combine(
    sharp, levels, sigma, lowest, shares, blurred, slopes, coordinates, pixels,
    CHANNELS: tl.constexpr, SLOPES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Each pixel's own levels, weighted; `levels` starts at level 1, level 0 is `sharp`."""
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = p < pixels
    s = tl.load(sigma + p, mask=inside, other=0.0)
    v = tl.load(coordinates + p, mask=inside, other=0.0)
    i = tl.minimum(v.to(tl.int32), _ENTRIES - 1)
    fraction = v - i.to(tl.float32)
    first = tl.load(lowest + i)
    plane = pixels.to(tl.int64) * CHANNELS
    for c in tl.static_range(CHANNELS):
        e = p * CHANNELS + c
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
            value = tl.load(levels + above * plane + e, mask=used & (above >= 0), other=0.0)
            if j == 0:
                value += tl.load(sharp + e, mask=used & (above < 0), other=0.0)
            total += weight * value
            slope += step * value
        tl.store(blurred + e, total, mask=inside)
        if SLOPES:
            tl.store(slopes + e, slope, mask=inside)


@triton.jit(do_not_specialize=["table"])
def _top(
    gradient, slopes, coordinates, table, level, by_sigma, pixels, highest, low,
    CHANNELS: tl.constexpr, SHARP: tl.constexpr, SIGMA: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The highest level's share of the gradient, and the gradient of sigma."""
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = p < pixels
    v = tl.load(coordinates + p, mask=inside, other=0.0)
    used = inside & (v >= low)
    weight = tl.zeros([BLOCK], tl.float32)
    if SHARP:
        weight = _weight(table, v, used)
    total = tl.zeros([BLOCK], tl.float32)
    for c in tl.static_range(CHANNELS):
        e = p * CHANNELS + c
        g = tl.load(gradient + e, mask=inside, other=0.0)
        if SHARP:
            tl.store(level + e, weight * g, mask=inside)
        if SIGMA:
            total += g * tl.load(slopes + e, mask=inside, other=0.0)
    if SIGMA:
        rest = 1.0 - v * (1.0 / _ENTRIES)
        total *= tl.where(v < highest, _ENTRIES / _SIGMA_HALF, 0.0) * rest * rest
        tl.store(by_sigma + p, total, mask=inside)


def _filters(k: int, height: int, width: int) -> tuple[tuple, tuple]:
    """What makes level k: how the pass down the columns and that along the rows are called."""
    numbers = ladder()
    stride, taps = int(numbers.strides[k]), [float(np.float32(t)) for t in numbers.taps[k]]
    reach = PAIRS * stride

    def call(size: int) -> tuple:
        return stride, 2 * size * -(-reach // (2 * size)), *taps

    return (call(height), reach > height), (call(width), reach > width)


def _grid(height: int, length: int) -> tuple[int, int]:
    return triton.cdiv(length, TILE["COLUMNS"]), triton.cdiv(height, TILE["ROWS"])


def forward(sharp: torch.Tensor, sigma: torch.Tensor, with_slopes: bool):
    """Returns blurred [H, W, C] and what `backward` needs."""
    height, width, channels = sharp.shape
    length, pixels = width * channels, height * width
    highest, support = float(np.float32(coordinate(SIGMA_MAX))), ladder().support
    lowest, shares, _ = _tables(sharp.device)
    stack = torch.empty((LEVELS - 1, *sharp.shape), device=sharp.device)
    half = torch.empty_like(sharp)
    blurred, coordinates = torch.empty_like(sharp), torch.empty_like(sigma)
    top = torch.zeros(1, dtype=torch.int32, device=sharp.device)
    slopes = torch.empty_like(sharp) if with_slopes else None
    blocks = (triton.cdiv(pixels, RUN["BLOCK"]),)
    _coordinates[blocks](sigma, coordinates, top, pixels, highest, **RUN)
    below = sharp
    for k in range(1, LEVELS):
        (down, far_down), (along, far_along) = _filters(k, height, width)
        needed = top, float(support[k, 0])
        _down[_grid(height, length)](below, half, height, length, *down, *needed, FAR=far_down, **TILE)
        unused = needed[1], coordinates, coordinates, sharp, 0.0, 0.0
        _along[_grid(height, length)](
            half, stack[k - 1], height, width, *along, *needed, *unused, CHANNELS=channels, SHARE=False, FAR=far_along,
            **TILE,
        )  # fmt: skip
        below = stack[k - 1]
    _combine[blocks](
        sharp, stack, sigma, lowest, shares, blurred, blurred if slopes is None else slopes, coordinates, pixels,
        CHANNELS=channels, SLOPES=with_slopes, **RUN,
    )  # fmt: skip
    return blurred, (coordinates, top, highest, slopes)


def backward(gradient: torch.Tensor, saved, sharp_wanted: bool, sigma_wanted: bool):
    """Gradients of sharp [H, W, C] and sigma [H, W] (None where not wanted)."""
    coordinates, top, highest, slopes = saved
    height, width, channels = gradient.shape
    length, pixels = width * channels, height * width
    whole, support = _tables(gradient.device)[2], ladder().support
    level = torch.empty_like(gradient) if sharp_wanted else gradient
    lowest = float(support[LEVELS - 1, 0])
    by_sigma = torch.empty_like(coordinates) if sigma_wanted else coordinates
    _top[(triton.cdiv(pixels, RUN["BLOCK"]),)](
        gradient, slopes if sigma_wanted else gradient, coordinates, whole[LEVELS - 1], level, by_sigma, pixels,
        highest, lowest, CHANNELS=channels, SHARP=sharp_wanted, SIGMA=sigma_wanted, **RUN,
    )  # fmt: skip
    if sharp_wanted:
        half = torch.empty_like(gradient)
        for k in range(LEVELS - 2, -1, -1):
            (down, far_down), (along, far_along) = _filters(k + 1, height, width)
            needed = top, float(support[k + 1, 0])
            _down[_grid(height, length)](level, half, height, length, *down, *needed, FAR=far_down, **TILE)
            low, high = float(support[k, 0]), float(support[k, 1])
            share = min(low, 0.0) if k == 0 else low, coordinates, whole[k], gradient, low, high
            _along[_grid(height, length)](
                half, level, height, width, *along, *needed, *share, CHANNELS=channels, SHARE=True, FAR=far_along,
                **TILE,
            )  # fmt: skip
    return level if sharp_wanted else None, by_sigma if sigma_wanted else None
