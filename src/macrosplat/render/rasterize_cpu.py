"""`rasterize` on a CPU: tiles of 16 x 16 pixels, eight pixels of a row as one vector; bins in `bins_cpu`.

Only those blocks of eight pixels are visited that a splat's ellipse meets. The backward pass replays the
forward one front to back with two scalars per pixel, the transmittance T and the gradient-weighted light still to come:
d alpha_i = T_i (c_i . g) - rest_{i+1} / (1 - alpha_i). Each (tile, splat) pair owns one row of gradients, summed per
splat in a fixed order: no atomics, the bits repeat.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from macrosplat.render import constants
from macrosplat.render.bins_cpu import LOG2_MIN, RUNS, SPREAD, TILE, Bins, bin_splats
from macrosplat.render.camera import Plane
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.simd import (
    LANES,
    any_of,
    bits_of,
    lane,
    lanes,
    least,
    load,
    lowest,
    most,
    power_of_two,
    prefetch,
    ramp,
    repeat,
    root,
    select,
    store,
    totals,
)
from macrosplat.support.spread import spread, team

F, U = np.float32, np.uint64
ALPHA_MAX, T_MIN = F(constants.ALPHA_MAX), F(constants.TRANSMITTANCE_MIN)
SPLAT = constants.SPLAT
ONE, ZERO, HALF, TWO = F(1), F(0), F(0.5), F(2)
# A tile's two halves, row by row: 32 blocks of eight pixels, each with what is drawn or replayed side by side.
BLOCKS, DRAWN, REPLAYED = TILE * TILE // LANES, 5 * LANES, 6 * LANES
# Testing a whole tile for the end of all its light paths costs as much as a splat: only every so many splats.
DONE_EVERY = 16
AHEAD = 4  # splats that are fetched before they are drawn
# Of a tile's scratch: for each of its rows the exponent's constant, what it has of dx, and dy; dx of its two halves.
LINEAR, DOWN, ACROSS, SCRATCH = TILE, 2 * TILE, 3 * TILE, 4 * TILE
SUMS = 2 * LANES  # floats of a row of sums, 10 of them in use


@njit(inner=True)
def _blocks(forms, i, x0, y0, scratch):
    """Which blocks of a tile a splat meets: bit 16 h + r is half h of row r. Fills the scratch."""
    cb, cc, of_opacity = forms[i, 3], forms[i, 4], forms[i, 5]
    slope, rest, wide = forms[i, 11], forms[i, 12], forms[i, 13]
    left, below = F(x0) + HALF - forms[i, 0], F(y0) + HALF - forms[i, 1]
    store(scratch, ACROSS, ramp() + left)
    store(scratch, ACROSS + LANES, ramp() + (left + F(LANES)))
    bits = U(0)
    for row in range(0, TILE, LANES):
        dy = ramp() + (below + F(row))
        square = wide - rest * dy * dy
        half, centre = root(most(square, ZERO)), -left - slope * dy
        store(scratch, row, cc * dy * dy + of_opacity)
        store(scratch, LINEAR + row, cb * dy)
        store(scratch, DOWN + row, dy)
        there, first, last = square >= ZERO, centre - half, centre + half
        bits |= bits_of(there & (first <= F(LANES - 1)) & (last >= ZERO)) << U(row)
        bits |= bits_of(there & (first <= F(TILE - 1)) & (last >= F(LANES))) << U(TILE + row)
    return bits


@njit(inner=True)
def _draw(forms, items, first, last, x0, y0, acc, scratch):
    """Into acc [BLOCKS * DRAWN]: transmittance, red, green, blue, depth of a tile, its left half first. Returns behind
    which pair all of its paths have ended."""
    for position in range(first, last):
        prefetch(forms, items[min(position + AHEAD, last - 1)])
        i = items[position]
        ca, red, green, blue, z = forms[i, 2], forms[i, 6], forms[i, 7], forms[i, 8], forms[i, 9]
        bits = _blocks(forms, i, x0, y0, scratch)
        while bits != U(0):
            block = lowest(bits)
            bits &= bits - U(1)
            k, row = DRAWN * block, block & (TILE - 1)
            dx = load(scratch, ACROSS + block // TILE * LANES)
            power = repeat(scratch, row) + dx * (repeat(scratch, LINEAR + row) + ca * dx)
            t = load(acc, k)
            a = select((power >= LOG2_MIN) & (t > T_MIN), least(power_of_two(power), ALPHA_MAX), ZERO)
            weight = a * t
            store(acc, k, t - weight)
            store(acc, k + LANES, load(acc, k + LANES) + weight * red)
            store(acc, k + 2 * LANES, load(acc, k + 2 * LANES) + weight * green)
            store(acc, k + 3 * LANES, load(acc, k + 3 * LANES) + weight * blue)
            store(acc, k + 4 * LANES, load(acc, k + 4 * LANES) + weight * z)
        if (position - first) % DONE_EVERY == DONE_EVERY - 1:
            left_over = lanes(ZERO)
            for k in range(0, DRAWN * BLOCKS, DRAWN):
                left_over = most(left_over, load(acc, k))
            if not any_of(left_over > T_MIN):
                return position + 1
    return last


@njit(inner=True)
def _write(acc, k, m, y, x, count, colour, alpha, depth):
    """So many pixels of a block of acc into the frame, from (x, y) on."""
    for j in range(count):
        alpha[m, y, x + j] = ONE - acc[k + j]
        depth[m, y, x + j] = acc[k + 4 * LANES + j]
    for j in range(count):
        for channel in range(3):
            colour[m, y, x + j, channel] = acc[k + (1 + channel) * LANES + j]


@njit(part=True)
def _forward_some(begin, end, forms, ranges, items, runs, colour, alpha, depth, stops):
    views, height, width = alpha.shape
    tiles_x, tiles = (width + TILE - 1) // TILE, stops.shape[0] // views
    for w in range(begin, end):
        acc, scratch = np.empty(BLOCKS * DRAWN, F), np.empty(SCRATCH, F)
        for tile in range(runs[SPREAD[w]], runs[SPREAD[w] + 1]):
            m, x0, y0 = tile // tiles, tile % tiles % tiles_x * TILE, tile % tiles // tiles_x * TILE
            rows, columns = min(TILE, height - y0), min(TILE, width - x0)
            acc[:] = ZERO
            for block in range(BLOCKS):
                if block & (TILE - 1) < rows:
                    left = columns - block // TILE * LANES  # light goes through the pixels that there are
                    store(acc, DRAWN * block, select(ramp() < F(left), lanes(ONE), ZERO))
            stops[tile] = _draw(forms, items, ranges[tile], ranges[tile + 1], x0, y0, acc, scratch)
            for block in range(BLOCKS):
                row, x = block & (TILE - 1), block // TILE * LANES
                if row < rows and x + LANES <= columns:
                    _write(acc, DRAWN * block, m, y0 + row, x0 + x, LANES, colour, alpha, depth)
                elif row < rows:
                    _write(acc, DRAWN * block, m, y0 + row, x0 + x, columns - x, colour, alpha, depth)


@njit
def _forward(team, count, *arguments):
    spread(_forward_some, team, count, arguments)


@njit(inner=True)
def _replay(forms, items, slots, first, last, x0, y0, acc, scratch, sums):
    """A tile's rows of sums, by acc [BLOCKS * REPLAYED]: transmittance, rest, and the gradients of red, green, blue and
    depth."""
    for position in range(first, last):
        prefetch(forms, items[min(position + AHEAD, last - 1)])
        i = items[position]
        ca, red, green, blue, z = forms[i, 2], forms[i, 6], forms[i, 7], forms[i, 8], forms[i, 9]
        s = sx = sy = sxx = sxy = syy = s_r = s_g = s_b = s_z = lanes(ZERO)
        bits = _blocks(forms, i, x0, y0, scratch)
        while bits != U(0):
            block = lowest(bits)
            bits &= bits - U(1)
            k, row = REPLAYED * block, block & (TILE - 1)
            dx, dy = load(scratch, ACROSS + block // TILE * LANES), repeat(scratch, DOWN + row)
            power = repeat(scratch, row) + dx * (repeat(scratch, LINEAR + row) + ca * dx)
            raw = power_of_two(power)
            t = load(acc, k)
            a = select((power >= LOG2_MIN) & (t > T_MIN), least(raw, ALPHA_MAX), ZERO)
            weight = a * t
            gr, gg = load(acc, k + 2 * LANES), load(acc, k + 3 * LANES)
            gb, gz = load(acc, k + 4 * LANES), load(acc, k + 5 * LANES)
            light = red * gr + green * gg + blue * gb + z * gz
            rest = load(acc, k + LANES) - weight * light
            store(acc, k, t - weight)
            store(acc, k + LANES, rest)
            # d L / d alpha times d alpha / d power = alpha, and nothing where alpha is clamped
            g = select(raw < ALPHA_MAX, a, ZERO) * (t * light - rest / (ONE - a))
            gx, gy = g * dx, g * dy
            s += g
            sx += gx
            sy += gy
            sxx += gx * dx
            sxy += gx * dy
            syy += gy * dy
            s_r += weight * gr
            s_g += weight * gg
            s_b += weight * gb
            s_z += weight * gz
        out = SUMS * slots[position]
        store(sums, out, totals(s, sx, sy, sxx, sxy, syy, s_r, s_g))
        store(sums, out + LANES, totals(s_b, s_z, s_b, s_z, s_b, s_z, s_b, s_z))


@njit(inner=True)
def _read(acc, k, m, y, x, count, colour, alpha, depth, grad_colour, grad_alpha, grad_depth):
    """So many pixels of the frame, from (x, y) on, into a block of acc."""
    for j in range(count):
        gz = grad_depth[m, y, x + j]
        acc[k + j] = ONE
        acc[k + LANES + j] = gz * depth[m, y, x + j] - grad_alpha[m, y, x + j] * (ONE - alpha[m, y, x + j])
        acc[k + 5 * LANES + j] = gz
    for j in range(count):
        for channel in range(3):
            acc[k + (2 + channel) * LANES + j] = grad_colour[m, y, x + j, channel]
    for j in range(count):
        for channel in range(3):
            acc[k + LANES + j] += grad_colour[m, y, x + j, channel] * colour[m, y, x + j, channel]


@njit(part=True)
def _backward_some(
    begin, end, forms, ranges, items, slots, runs, stops, colour, alpha, depth,
    grad_colour, grad_alpha, grad_depth, sums,
):  # fmt: skip
    views, height, width = alpha.shape
    tiles_x, tiles = (width + TILE - 1) // TILE, stops.shape[0] // views
    for w in range(begin, end):
        acc, scratch = np.empty(BLOCKS * REPLAYED, F), np.empty(SCRATCH, F)
        for tile in range(runs[SPREAD[w]], runs[SPREAD[w] + 1]):
            m, x0, y0 = tile // tiles, tile % tiles % tiles_x * TILE, tile % tiles // tiles_x * TILE
            if ranges[tile] < stops[tile]:
                acc[:] = ZERO
                for block in range(BLOCKS):
                    row, x = block & (TILE - 1), block // TILE * LANES
                    k, y, count = REPLAYED * block, y0 + row, min(LANES, width - x0 - x)
                    if y < height and count == LANES:
                        _read(acc, k, m, y, x0 + x, LANES, colour, alpha, depth, grad_colour, grad_alpha, grad_depth)
                    elif y < height:
                        _read(acc, k, m, y, x0 + x, count, colour, alpha, depth, grad_colour, grad_alpha, grad_depth)
                _replay(forms, items, slots, ranges[tile], stops[tile], x0, y0, acc, scratch, sums)
            for position in range(stops[tile], ranges[tile + 1]):
                for k in range(SPLAT):
                    sums[SUMS * slots[position] + k] = ZERO


@njit
def _backward(team, count, *arguments):
    spread(_backward_some, team, count, arguments)


@njit(part=True)
def _reduce_some(begin, end, order, offsets, sums, splats, grad_splats):
    """Adds up the rows of sums of each splat, which stand together in the order of its tiles: its gradient."""
    for rank in range(begin, end):
        i = order[rank]
        low = high = lanes(ZERO)
        for row in range(offsets[rank], offsets[rank + 1]):
            low += load(sums, SUMS * row)
            high += load(sums, SUMS * row + LANES)
        ca, cb, cc = splats[i, 2], splats[i, 3], splats[i, 4]
        s, sx, sy = lane(low, 0), lane(low, 1), lane(low, 2)
        grad_splats[i, 0] = ca * sx + cb * sy
        grad_splats[i, 1] = cb * sx + cc * sy
        grad_splats[i, 2] = -HALF * lane(low, 3)
        grad_splats[i, 3] = -lane(low, 4)
        grad_splats[i, 4] = -HALF * lane(low, 5)
        grad_splats[i, 5] = s / splats[i, 5]
        grad_splats[i, 6], grad_splats[i, 7] = lane(low, 6), lane(low, 7)
        grad_splats[i, 8], grad_splats[i, 9] = lane(high, 0), lane(high, 1)


@njit
def _reduce(team, count, *arguments):
    spread(_reduce_some, team, count, arguments)


def forward(splats: Tensor, extents: Tensor, width: int, height: int, plane: Plane | None = None):
    """-> colour [H, W, 3], alpha [H, W], depth [H, W], and the bins that `backward` replays; of M views with M in
    front."""
    shape = (*splats.shape[:-2], height, width)
    colour, alpha, depth = torch.empty(*shape, 3), torch.empty(shape), torch.empty(shape)
    table, reach = splats.detach().reshape(-1, SPLAT).numpy(), extents.reshape(-1, 2).numpy()
    with kernel_lock:
        bins = bin_splats(table, reach, width, height, math.prod(shape[:-2]), plane)
        outputs = (*_frames(colour, alpha, depth), bins.stops)
        _forward(team(), RUNS, bins.forms, bins.ranges, bins.items, bins.runs, *outputs)
    return colour, alpha, depth, bins


def backward(splats: Tensor, bins: Bins, colour, alpha, depth, grad_colour, grad_alpha, grad_depth) -> Tensor:
    """-> the gradient of splats [N, 10], or [M, N, 10]."""
    sums = np.empty(len(bins.items) * SUMS, F)
    grad_splats = torch.zeros(splats.shape)
    drawn, incoming = _frames(colour, alpha, depth), _frames(grad_colour, grad_alpha, grad_depth)
    table = splats.detach().reshape(-1, SPLAT).numpy()
    with kernel_lock:
        lists = (bins.ranges, bins.items, bins.slots, bins.runs)
        _backward(team(), RUNS, bins.forms, *lists, bins.stops, *drawn, *incoming, sums)
        _reduce(team(), len(bins.order), bins.order, bins.offsets, sums, table, grad_splats.view(-1, SPLAT).numpy())
    return grad_splats


def _frames(colour: Tensor, alpha: Tensor, depth: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[M, H, W, 3], [M, H, W] and [M, H, W], also of one view."""
    height, width = alpha.shape[-2:]
    planes = [t.detach().reshape(-1, height, width).numpy() for t in (alpha, depth)]
    return colour.detach().reshape(-1, height, width, 3).numpy(), planes[0], planes[1]
