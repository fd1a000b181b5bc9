"""Compositing a tile on a GPU: a chunk of splats times all pixels of the tile at once.

A thread holds two pixels and all splats of the chunk: products and sums along a light path stay in its registers. The
backward pass needs sums over pixels of what each splat does there, times things that are the same for all splats (the
pixel's place and its square, the gradient of its colour): that is a product of matrices.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import math

import triton
import triton.language as tl

from macrosplat.render import constants

ALPHA_MIN, ALPHA_MAX = tl.constexpr(constants.ALPHA_MIN), tl.constexpr(constants.ALPHA_MAX)
T_MIN = tl.constexpr(constants.TRANSMITTANCE_MIN)
SPLAT = tl.constexpr(constants.SPLAT)
LOG2E = tl.constexpr(math.log2(math.e))


@triton.jit
def _place(index, width, height, tiles_x, tiles, TILE: tl.constexpr):
    """Of a tile, counted through all frames: its pixels' indices over all frames and whether they exist, their places
    in the frame, and the tile's middle."""
    frame, tile = index // tiles, index % tiles
    k = tl.arange(0, TILE * TILE)
    left, top = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
    px, py = left + k % TILE, top + k // TILE
    pixel = (frame.to(tl.int64) * height + py) * width + px
    x, y = px.to(tl.float32) + 0.5, py.to(tl.float32) + 0.5
    middle_x, middle_y = left.to(tl.float32) + TILE / 2, top.to(tl.float32) + TILE / 2
    return pixel, (px < width) & (py < height), x, y, middle_x, middle_y


@triton.jit
def _state(states, slot, PIXELS: tl.constexpr):
    """Where a bucket's [PIXELS, 5] are: light left, colour and depth so far."""
    return states + slot.to(tl.int64) * (5 * PIXELS) + tl.arange(0, PIXELS) * 5


@triton.jit
def _indices(items, position, end, CHUNK: tl.constexpr):
    """Which splats [CHUNK] stand from `position` on."""
    at = position + tl.arange(0, CHUNK)
    return tl.load(items + at, mask=at < end, other=0)


@triton.jit
def _fetch(splats, i, position, end, CHUNK: tl.constexpr):
    """Their ten numbers as five pairs [CHUNK, 2]; zeros, so of no opacity, past the end.

    In pairs, since a thread that needs all of so few numbers would load each for itself.
    """
    row = splats + i.to(tl.int64)[:, None] * SPLAT + tl.arange(0, 2)[None, :]
    valid = (position + tl.arange(0, CHUNK) < end)[:, None]
    return (
        tl.load(row, mask=valid, other=0.0),
        tl.load(row + 2, mask=valid, other=0.0),
        tl.load(row + 4, mask=valid, other=0.0),
        tl.load(row + 6, mask=valid, other=0.0),
        tl.load(row + 8, mask=valid, other=0.0),
    )


@triton.jit
def _alphas(mx, my, ca, cb, cc, opacity, x, y):
    """[CHUNK, pixels] opacity of splats, before and after it is clamped to its bounds."""
    dx, dy = x[None, :] - mx[:, None], y[None, :] - my[:, None]
    # exp(-power) as a power of two, which is the instruction that there is
    a, b, c = ca * (-0.5 * LOG2E), cb * -LOG2E, cc * (-0.5 * LOG2E)
    raw = opacity[:, None] * tl.exp2((a[:, None] * dx + b[:, None] * dy) * dx + c[:, None] * dy * dy)
    clamped = tl.minimum(raw, ALPHA_MAX)
    return raw, tl.where(clamped >= ALPHA_MIN, clamped, 0.0)


@triton.jit
def _light_left(t, alpha, first):
    """Of paths with t [pixels] left: what is left before and after each splat, and 1 / (1 - alpha)."""
    through = 1 - alpha
    after = tl.cumprod(tl.where(first, t[None, :] * through, through), 0)
    root = tl.rsqrt(through)  # one instruction, where a division takes many
    inverse = root * root
    return after * inverse, after, inverse


@triton.jit
def _bottom(values, CHUNK: tl.constexpr):
    """The last row of [CHUNK, pixels]; a sum of integers, since those with zeros cost nothing."""
    bits = tl.where((tl.arange(0, CHUNK) == CHUNK - 1)[:, None], values.to(tl.int32, bitcast=True), 0)
    return tl.sum(bits, 0).to(tl.float32, bitcast=True)


@triton.jit
def _halves(values):
    """The ten leading bits of each number, which is what tensor cores take, and the rest."""
    leading = (values.to(tl.int32, bitcast=True) & -(1 << 13)).to(tl.float32, bitcast=True)
    return leading, values - leading


@triton.jit(do_not_specialize=["width", "height", "tiles_x", "tiles"])
def forward_kernel(
    splats, items, ranges, stops, colour, alpha, depth, states, owners, width, height, tiles_x, tiles,
    TILE: tl.constexpr, CHUNK: tl.constexpr, BUCKET: tl.constexpr,
):  # fmt: skip
    pixel, inside, x, y, _middle_x, _middle_y = _place(tl.program_id(0), width, height, tiles_x, tiles, TILE)
    t = tl.where(inside, 1.0, 0.0)
    red, green, blue = tl.zeros_like(t), tl.zeros_like(t), tl.zeros_like(t)
    z, drawn = tl.zeros_like(t), tl.zeros_like(t)
    position, end = tl.load(ranges + tl.program_id(0)), tl.load(ranges + tl.program_id(0) + 1)
    first = (tl.arange(0, CHUNK) == 0)[:, None]
    begin, last = position, end
    # What the next chunk needs is on its way while one is in work.
    i = _indices(items, position, end, CHUNK)
    p0, p1, p2, p3, p4 = _fetch(splats, i, position, end, CHUNK)
    i = _indices(items, position + CHUNK, end, CHUNK)
    while position < last:
        walked = position - begin
        if (walked % BUCKET == 0) & (walked > 0):
            slot = begin // BUCKET + walked // BUCKET  # which no other tile has
            tl.store(owners + slot, tl.program_id(0))
            state = _state(states, slot, TILE * TILE)
            tl.store(state, t)
            tl.store(state + 1, red)
            tl.store(state + 2, green)
            tl.store(state + 3, blue)
            tl.store(state + 4, z)
        mx, my = tl.split(p0)
        ca, cb = tl.split(p1)
        cc, opacity = tl.split(p2)
        r, g = tl.split(p3)
        b, d = tl.split(p4)
        position += CHUNK
        p0, p1, p2, p3, p4 = _fetch(splats, i, position, end, CHUNK)
        i = _indices(items, position + CHUNK, end, CHUNK)
        _raw, a = _alphas(mx, my, ca, cb, cc, opacity, x, y)
        before, after, _inverse = _light_left(t, a, first)
        weight = tl.where(before > T_MIN, a * before, 0.0)
        drawn += tl.sum(weight, 0)
        red += tl.sum(weight * r[:, None], 0)
        green += tl.sum(weight * g[:, None], 0)
        blue += tl.sum(weight * b[:, None], 0)
        z += tl.sum(weight * d[:, None], 0)
        t = _bottom(after, CHUNK)
        last = tl.where(tl.max(t, 0) > T_MIN, last, position)
    tl.store(stops + tl.program_id(0), tl.minimum(position, end))
    tl.store(alpha + pixel, drawn, mask=inside)
    tl.store(colour + pixel * 3, red, mask=inside)
    tl.store(colour + pixel * 3 + 1, green, mask=inside)
    tl.store(colour + pixel * 3 + 2, blue, mask=inside)
    tl.store(depth + pixel, z, mask=inside)


@triton.jit
def _geometry_row(sums, column, m, n, ca, cb, cc, opacity):
    """Gradients of mean, conic and opacity [CHUNK, 8] (the last two columns are void) of splats centred at (m, n).

    Args:
        sums: [CHUNK, 8] of d L / d ln(alpha) times 1, x, -x^2 / 2, -x y, -y^2 / 2, y, 0, 0.
    """
    one = tl.sum(tl.where(column == 0, sums, 0.0), 1)[:, None]
    sum_x = tl.sum(tl.where(column == 1, sums, 0.0), 1)[:, None]
    sum_y = tl.sum(tl.where(column == 5, sums, 0.0), 1)[:, None]
    # From places about the tile's middle to places about the splat's: (x - m)^2 = x^2 - 2 m x + m^2 and so on.
    sx, sy = sum_x - m[:, None] * one, sum_y - n[:, None] * one
    mean = tl.where(column == 0, ca[:, None] * sx + cb[:, None] * sy, cb[:, None] * sx + cc[:, None] * sy)
    half_x, half_y = sum_x - 0.5 * m[:, None] * one, sum_y - 0.5 * n[:, None] * one
    crossed = m[:, None] * sy + n[:, None] * sum_x
    conic = tl.where(column == 2, m[:, None] * half_x, tl.where(column == 3, crossed, n[:, None] * half_y))
    row = tl.where(column < 2, mean, sums + conic)
    return tl.where(column == 5, one / tl.maximum(opacity, ALPHA_MIN)[:, None], row)


@triton.jit(do_not_specialize=["width", "height", "tiles_x", "tiles", "lists"])
def backward_kernel(
    splats, items, slots, ranges, stops, colour, alpha, depth, grad_colour, grad_alpha, grad_depth, rows,
    states, owners, width, height, tiles_x, tiles, lists, TILE: tl.constexpr, CHUNK: tl.constexpr, BUCKET: tl.constexpr,
    EXACT: tl.constexpr,
):  # fmt: skip
    """The first `lists` programs take the first bucket of a tile each, the others the bucket with their number."""
    bucket = tl.program_id(0) - lists
    index = tl.program_id(0)
    if bucket >= 0:
        index = tl.load(owners + bucket)
    if index < 0:
        return  # nobody's bucket
    begin, stop, finish = tl.load(ranges + index), tl.load(stops + index), tl.load(ranges + index + 1)
    if begin >= finish:
        return
    position = begin
    if bucket >= 0:
        position += (bucket - begin // BUCKET) * BUCKET
    end = tl.minimum(stop, position + BUCKET)
    pixel, inside, x, y, middle_x, middle_y = _place(index, width, height, tiles_x, tiles, TILE)
    gr = tl.load(grad_colour + pixel * 3, mask=inside, other=0.0)
    gg = tl.load(grad_colour + pixel * 3 + 1, mask=inside, other=0.0)
    gb = tl.load(grad_colour + pixel * 3 + 2, mask=inside, other=0.0)
    gz = tl.load(grad_depth + pixel, mask=inside, other=0.0)
    red = tl.load(colour + pixel * 3, mask=inside, other=0.0)
    green = tl.load(colour + pixel * 3 + 1, mask=inside, other=0.0)
    blue = tl.load(colour + pixel * 3 + 2, mask=inside, other=0.0)
    z = tl.load(depth + pixel, mask=inside, other=0.0)
    t = tl.where(inside, 1.0, 0.0)
    if bucket >= 0:
        state = _state(states, bucket, TILE * TILE)
        t = tl.load(state)
        red -= tl.load(state + 1)
        green -= tl.load(state + 2)
        blue -= tl.load(state + 3)
        z -= tl.load(state + 4)
    # The light still to come, weighted by its gradients; alpha is one minus the light that gets through.
    rest = gz * z + gr * red + gg * green + gb * blue
    rest -= tl.load(grad_alpha + pixel, mask=inside, other=0.0) * (1 - tl.load(alpha + pixel, mask=inside, other=0.0))
    # What is summed over the pixels, [pixels, 8]: of places for the geometry, of gradients for colour and depth.
    column = tl.arange(0, 8)[None, :]
    u, v = x[:, None] - middle_x, y[:, None] - middle_y
    places = tl.where(column == 0, 1.0, tl.where(column == 1, u, tl.where(column == 2, -0.5 * u * u, 0.0)))
    places = tl.where(column == 3, -u * v, tl.where(column == 4, -0.5 * v * v, tl.where(column == 5, v, places)))
    tints = tl.where(column == 0, gr[:, None], tl.where(column == 1, gg[:, None], 0.0))
    tints = tl.where(column == 2, gb[:, None], tl.where(column == 3, gz[:, None], tints))

    if EXACT:
        tints, tints_rest = _halves(tints)
    first = (tl.arange(0, CHUNK) == 0)[:, None]

    i = _indices(items, position, end, CHUNK)
    p0, p1, p2, p3, p4 = _fetch(splats, i, position, end, CHUNK)
    i = _indices(items, position + CHUNK, end, CHUNK)
    while position < end:
        at = position + tl.arange(0, CHUNK)
        valid = (at < end)[:, None]
        out = rows + tl.load(slots + at, mask=at < end, other=0).to(tl.int64)[:, None] * SPLAT + column
        mx, my = tl.split(p0)
        ca, cb = tl.split(p1)
        cc, opacity = tl.split(p2)
        r, g = tl.split(p3)
        b, d = tl.split(p4)
        position += CHUNK
        p0, p1, p2, p3, p4 = _fetch(splats, i, position, end, CHUNK)
        i = _indices(items, position + CHUNK, end, CHUNK)
        raw, a = _alphas(mx, my, ca, cb, cc, opacity, x, y)
        before, after, inverse = _light_left(t, a, first)
        t = _bottom(after, CHUNK)
        a = tl.where(before > T_MIN, a, 0.0)
        weight = a * before
        light = (
            r[:, None] * gr[None, :] + g[:, None] * gg[None, :] + b[:, None] * gb[None, :] + d[:, None] * gz[None, :]
        )
        light *= weight
        to_come = tl.cumsum(tl.where(first, rest[None, :] - light, -light), 0)
        rest = _bottom(to_come, CHUNK)
        # d L / d alpha times d alpha / d power = alpha, and nothing where alpha is clamped
        slope = tl.where(raw < ALPHA_MAX, light - (a * inverse) * to_come, 0.0)
        # Places are exact in ten bits; of a product with tints the two lower halves are beyond float32.
        if EXACT:
            slope, slope_rest = _halves(slope)
            weight, weight_rest = _halves(weight)
            sums_place = tl.dot(slope_rest, places, tl.dot(slope, places))
            sums_tint = tl.dot(weight, tints, tl.dot(weight, tints_rest, tl.dot(weight_rest, tints)))
        else:
            sums_place = tl.dot(slope, places)
            sums_tint = tl.dot(weight, tints)
        geometry = _geometry_row(sums_place, column, mx - middle_x, my - middle_y, ca, cb, cc, opacity)
        tl.store(out, geometry, mask=valid & (column < 6))
        tl.store(out + 6, sums_tint, mask=valid & (column < 4))
    # Behind the last light there is no gradient.
    position, end = stop, (finish if bucket < 0 else stop)
    wide = tl.arange(0, 16)[None, :]
    while position < end:
        at = position + tl.arange(0, CHUNK)
        out = rows + tl.load(slots + at, mask=at < end, other=0).to(tl.int64)[:, None] * SPLAT + wide
        tl.store(out, tl.zeros([CHUNK, 16], tl.float32), mask=(at < end)[:, None] & (wide < SPLAT))
        position += CHUNK
