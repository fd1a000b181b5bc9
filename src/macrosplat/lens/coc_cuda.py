"""Defocus on a GPU: four launches forward, two back, for all frames at once; the host reads nothing of the lens.

The formula, and what the backdrop does, stand in `coc_reference.py`. Which cell reaches a cell best is a distance
transform: its square distances add, so the best of each row is found first, then the best of those along the column.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import torch
import triton
import triton.language as tl

from macrosplat.lens import coc_reference

CELL = tl.constexpr(coc_reference.CELL)
SOLID = tl.constexpr(coc_reference.SOLID)
CELLS = {"BLOCK": 64, "num_warps": 2}  # a program
BLOCK = 256  # pixels a program
SUMS = {"BLOCK": 1024, "num_warps": 4}  # pixels a program that adds them up
REACH = {
    "BLOCK": 64,
    "ROUND": 32,
    "num_warps": 2,
}  # cells a program looks for, and steps it takes away from them at once


@triton.jit(do_not_specialize=["height", "width", "rows", "columns", "count"])
def _cells(
    depth, weight, fx, pupil, focus, strength, source, strongest, height, width, rows, columns, count,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Each cell's most defocused pixel of geometry: s^2, and 1/d. Also the largest s^2 of all, as bits: those of
    floats >= 0 are ordered as these are."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    half, centre = 0.5 * tl.load(pupil) * tl.load(fx), 1.0 / tl.load(focus)
    best = tl.full([BLOCK], -float("inf"), tl.float32)
    kept = tl.zeros([BLOCK], tl.float32) + centre
    line = i // columns
    frame = line // rows
    top, left = (line - frame * rows) * CELL, (i - line * columns) * CELL
    first = (frame.to(tl.int64) * height + top) * width + left
    for row in tl.static_range(CELL):
        for column in tl.static_range(CELL):
            at = first + row * width + column
            inside = (i < count) & (top + row < height) & (left + column < width)
            solid = tl.load(weight + at, mask=inside, other=0.0) >= SOLID
            inverse = 1.0 / tl.load(depth + at, mask=inside & solid, other=1.0)
            s = half * (centre - inverse)
            better = inside & solid & (s * s > best)
            best = tl.where(better, s * s, best)
            kept = tl.where(better, inverse, kept)
    tl.store(strength + i, best, mask=i < count)
    tl.store(source + i, kept, mask=i < count)
    tl.atomic_max(strongest, tl.maximum(tl.max(best, 0), 0.0).to(tl.int32, bitcast=True))


@triton.jit(do_not_specialize=["steps", "stride", "count"])
def _reach(
    strength, source, out_strength, out_source, strongest, steps, stride, count,
    BLOCK: tl.constexpr, ROUND: tl.constexpr,
):  # fmt: skip
    """Along one axis, of `steps` cells a `stride` apart, the cell that reaches each cell best."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    along = i // stride % steps
    first = i - along * stride
    best = tl.full([BLOCK], -float("inf"), tl.float32)
    at = along
    most = tl.load(strongest).to(tl.float32, bitcast=True)
    start, short = 0, True
    while (start < steps) & short:
        for j in tl.static_range(ROUND):
            away = (start + j) * CELL * 1.0
            for side in tl.static_range(2):
                cell = along + (start + j) * (2 * side - 1)
                there = inside & (cell >= 0) & (cell < steps)
                value = tl.load(strength + (first + cell * stride), mask=there, other=-float("inf")) - away * away
                better = value > best
                best = tl.where(better, value, best)
                at = tl.where(better, cell, at)
        start += ROUND
        # None that is farther away can be better than what all have.
        away = start * CELL * 1.0
        short = tl.min(tl.where(inside, best, float("inf")), 0) < most - away * away
    tl.store(out_strength + i, best, mask=inside)
    tl.store(out_source + i, tl.load(source + (first + at * stride), mask=inside, other=0.0), mask=inside)


@triton.jit
def _corners(at, cells):
    """The cells on both sides of a pixel, and the share of the second."""
    place = (at.to(tl.float32) + 0.5) * (1.0 / CELL) - 0.5
    place = tl.minimum(tl.maximum(place, 0.0), (cells - 1) * 1.0)
    low = tl.minimum(place.to(tl.int32), tl.maximum(cells - 2, 0))
    return low, tl.minimum(low + 1, cells - 1), place - low.to(tl.float32)


@triton.jit(do_not_specialize=["height", "width", "rows", "columns"])
def _pixels(
    depth, weight, source, fx, pupil, focus, sigma0, colours, sigma, defocus, square, height, width, rows, columns,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """sigma, of CHANNELS colours each (0: of all alike), and for the backward pass e = 1/d0 - 1/d and e^2."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < height * width
    y = i // width
    top, bottom, v = _corners(y, rows)
    left, right, u = _corners(i - y * width, columns)
    frame = tl.program_id(1).to(tl.int64)
    i += frame * height * width
    source += frame * rows * columns
    solid = tl.load(weight + i, mask=inside, other=0.0) >= SOLID
    inverse = 1.0 / tl.load(depth + i, mask=inside & solid, other=1.0)
    a = tl.load(source + top * columns + left, mask=inside, other=0.0)
    b = tl.load(source + top * columns + right, mask=inside, other=0.0)
    c = tl.load(source + bottom * columns + left, mask=inside, other=0.0)
    d = tl.load(source + bottom * columns + right, mask=inside, other=0.0)
    centre = 1.0 / tl.load(focus)
    # Differences before they are mixed: 1/d0^2 - 2/d0 first + second cancels to nothing in float32.
    ea, eb, ec, ed = centre - a, centre - b, centre - c, centre - d
    own = centre - inverse
    e = (1 - v) * ((1 - u) * ea + u * eb) + v * ((1 - u) * ec + u * ed)
    e2 = (1 - v) * ((1 - u) * ea * ea + u * eb * eb) + v * ((1 - u) * ec * ec + u * ed * ed)
    e, e2 = tl.where(solid, own, e), tl.where(solid, own * own, e2)
    k, s0 = 0.25 * tl.load(pupil) * tl.load(fx), tl.load(sigma0)
    if CHANNELS == 0:
        tl.store(sigma + i, tl.sqrt(s0 * s0 + k * k * e2), mask=inside)
    for c in tl.static_range(CHANNELS):
        colour = tl.load(colours + c)
        of_colour = tl.maximum(e2 + colour * (e + e + colour), 0.0)
        tl.store(sigma + i * CHANNELS + c, tl.sqrt(s0 * s0 + k * k * of_colour), mask=inside)
    tl.store(defocus + i, e, mask=inside)
    tl.store(square + i, e2, mask=inside)


def forward(depth: torch.Tensor, weight: torch.Tensor, fx, pupil, focus, sigma0, colours=None):
    """Returns sigma [M, H, W], or [M, H, W, C] with colours [C], and what `backward` needs: defocus 1/d0 - 1/d and its
    square, [M, H, W]."""
    frames, height, width = depth.shape
    rows, columns = triton.cdiv(height, coc_reference.CELL), triton.cdiv(width, coc_reference.CELL)
    count, lens = frames * rows * columns, (fx.detach(), pupil.detach(), focus.detach())
    strength, source, along, reached = depth.new_empty(4, count).unbind(0)
    strongest = torch.zeros(1, dtype=torch.int32, device=depth.device)
    _cells[(triton.cdiv(count, CELLS["BLOCK"]),)](
        depth, weight, *lens, strength, source, strongest, height, width, rows, columns, count, **CELLS
    )
    blocks = (triton.cdiv(count, REACH["BLOCK"]),)
    _reach[blocks](strength, source, along, reached, strongest, columns, 1, count, **REACH)
    _reach[blocks](along, reached, strength, source, strongest, rows, columns, count, **REACH)
    channels = 0 if colours is None else len(colours)
    sigma = depth.new_empty(*depth.shape, channels) if channels else torch.empty_like(depth)
    defocus, square = torch.empty_like(depth), torch.empty_like(depth)
    _pixels[(triton.cdiv(height * width, BLOCK), frames)](
        depth, weight, source, *lens, sigma0.detach(), sigma0.detach() if colours is None else colours.detach(), sigma,
        defocus, square, height, width, rows, columns, CHANNELS=channels, BLOCK=BLOCK,
    )  # fmt: skip
    return sigma, (defocus, square)


@triton.jit
def _gradients(
    gradient, weight, fx, pupil, focus, colours, sigma, defocus, square, grad_depth, sums, size,
    CHANNELS: tl.constexpr, EACH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Per block, `sums` gets those of sigma0, pupil (and fx), and of the focus by channel (EACH has a colour, or there
    is one for all), but for factors common to all pixels."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    e = tl.load(defocus + i, mask=inside, other=0.0)
    e2 = tl.load(square + i, mask=inside, other=0.0)
    block = sums + tl.program_id(0).to(tl.int64) * (2 + CHANNELS)
    total, squares, pull = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for c in tl.static_range(CHANNELS):
        at = i * CHANNELS + c
        g = tl.load(gradient + at, mask=inside, other=0.0)
        g /= tl.maximum(tl.load(sigma + at, mask=inside, other=1.0), 1e-9)
        own, own2 = e, e2
        if EACH:
            colour = tl.load(colours + c)
            own, own2 = e + colour, e2 + colour * (e + e + colour)
        total += g
        squares += g * own2
        pull += g * own
        tl.store(block + 2 + c, tl.sum(g * own, 0))
    solid = tl.load(weight + i, mask=inside, other=0.0) >= SOLID
    k, inverse = 0.25 * tl.load(pupil) * tl.load(fx), 1.0 / tl.load(focus) - e
    # d (1/d) = -1/d^2 dd
    tl.store(grad_depth + i, tl.where(solid, pull * k * k * inverse * inverse, 0.0), mask=inside)
    tl.store(block, tl.sum(total, 0))
    tl.store(block + 1, tl.sum(squares, 0))


@triton.jit(do_not_specialize=["blocks"])
def _total(
    sums, fx, pupil, focus, sigma0, out, blocks, CHANNELS: tl.constexpr, WIDE: tl.constexpr
):  # fmt: skip
    """The sums, in float64 and in one order, and their factors: of fx, pupil, focus, sigma0, and each channel."""
    lane = tl.arange(0, WIDE)
    focal, diameter, d0 = tl.load(fx), tl.load(pupil), tl.load(focus)
    quarter = 0.25 * focal
    slope = quarter * diameter
    of_focus = 0.0
    for n in tl.static_range(2 + CHANNELS):
        a = tl.zeros([WIDE], tl.float64)
        k = 0
        while k < blocks:
            place = (k + lane).to(tl.int64) * (2 + CHANNELS) + n
            a += tl.load(sums + place, mask=k + lane < blocks, other=0.0).to(tl.float64)
            k += WIDE
        found = tl.sum(a, 0).to(tl.float32)
        if n == 0:
            tl.store(out + 3, tl.load(sigma0) * found)
        elif n == 1:
            tl.store(out, 0.0625 * diameter * diameter * focal * found)
            tl.store(out + 1, quarter * quarter * diameter * found)
        else:
            tl.store(out + 2 + n, slope * slope * found)
            of_focus += found
    tl.store(out + 2, -(slope / d0) * (slope / d0) * of_focus)


def backward(gradient, weight, fx, pupil, focus, sigma0, colours, sigma, defocus, square):
    """Gradients of depth [M, H, W], of (fx, pupil, focus, sigma0), and of colours [C] (None without)."""
    gradient, channels = gradient.contiguous(), 1 if colours is None else len(colours)
    grad_depth, grad_lens = torch.empty_like(weight), gradient.new_empty(4 + channels)
    blocks = triton.cdiv(weight.numel(), SUMS["BLOCK"])
    sums = gradient.new_empty(blocks, 2 + channels)
    _gradients[(blocks,)](
        gradient, weight, fx, pupil, focus, focus if colours is None else colours, sigma, defocus, square, grad_depth,
        sums, weight.numel(), CHANNELS=channels, EACH=colours is not None, **SUMS,
    )  # fmt: skip
    _total[(1,)](sums, fx, pupil, focus, sigma0, grad_lens, blocks, CHANNELS=channels, WIDE=1024, num_warps=8)
    return grad_depth, grad_lens[:4].unbind(0), None if colours is None else grad_lens[4:]
