"""`rasterize` on a CPU: tiles of 16 x 16 pixels, a row of a tile as one vector; bins in `bins_cpu`.

The backward pass replays the forward one front to back with two scalars per pixel, the transmittance T and the
gradient-weighted light still to come: d alpha_i = T_i (c_i . g) - rest_{i+1} / (1 - alpha_i). Each (tile, splat) pair
owns one row of gradients, summed per splat in a fixed order: no atomics, the bits repeat.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from macrosplat.render import constants
from macrosplat.render.bins_cpu import TILE, Bins, bin_splats, stable_order
from macrosplat.support.numba import kernel_lock, njit, prange

F = np.float32
ALPHA_MIN, ALPHA_MAX = F(constants.ALPHA_MIN), F(constants.ALPHA_MAX)
T_MIN = F(constants.TRANSMITTANCE_MIN)
SPLAT = constants.SPLAT
ONE, ZERO, HALF = F(1), F(0), F(0.5)
AREA = TILE * TILE
# The loops over a row of a tile become vector instructions only with unsigned indices (a signed one might wrap around),
# offsets into one flat buffer (two arrays might overlap) and ternaries in place of `min`, `max` and `and`
# (experiments: raster-buffers).
U = np.uint64
P1, P2, P3, P4, P5 = (U(k * AREA) for k in range(1, 6))
S1, S2, S3, S4, S5, S6 = (U(k * TILE) for k in range(1, 7))
# exp(x) = p(x / 16)^16 on [-5.6, 0], the only exponents above the cut-off of 1/255 (ln 255 = 5.54): p is the Taylor
# polynomial of degree 5, relative error 16 * 0.35^6 / 720 = 4e-5 at the far end, and it needs no vector math library.
EXPONENT_MIN = F(-5.6)
E1, E2, E3, E4, E5 = F(1 / 16), F(1 / 2 / 16**2), F(1 / 6 / 16**3), F(1 / 24 / 16**4), F(1 / 120 / 16**5)
# Testing a whole tile for the end of all its light paths costs as much as a splat's 16 rows: only every so many splats.
DONE_EVERY = 16


@njit(inline=True)
def exponential(x):
    x = x if x > EXPONENT_MIN else EXPONENT_MIN
    p = ONE + x * (E1 + x * (E2 + x * (E3 + x * (E4 + x * E5))))
    p = p * p
    p = p * p
    p = p * p
    return p * p


@njit(parallel=True)
def _forward(splats, extents, ranges, items, work, width, height, colour, alpha, depth, stops):
    tiles_x = (width + TILE - 1) // TILE
    for w in prange(work.shape[0]):
        tile = work[w]
        x0, y0 = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
        rows = min(TILE, height - y0)
        columns = min(TILE, width - x0)
        # transmittance, red, green, blue, depth: one flat buffer, so that the compiler sees they do not overlap
        acc = np.zeros(5 * AREA, F)
        acc[:AREA] = ONE
        stop = ranges[tile + 1]
        for position in range(ranges[tile], ranges[tile + 1]):
            i = items[position]
            mx, my, ca, cb, cc = splats[i, 0], splats[i, 1], splats[i, 2], splats[i, 3], splats[i, 4]
            opacity, red, green, blue, z = splats[i, 5], splats[i, 6], splats[i, 7], splats[i, 8], splats[i, 9]
            top = max(0, int(np.floor(my - extents[i, 1] - F(y0))))
            bottom = min(rows, int(np.ceil(my + extents[i, 1] - F(y0))))
            ca, cc = -HALF * ca, -HALF * cc
            left = F(x0) + HALF - mx
            for row in range(top, bottom):
                dy = F(y0 + row) + HALF - my
                constant, linear = cc * dy * dy, -cb * dy
                base = U(row) * U(TILE)
                for x in range(TILE):
                    dx = left + F(x)
                    k = base + U(x)
                    a = opacity * exponential(constant + dx * (linear + ca * dx))
                    a = a if a < ALPHA_MAX else ALPHA_MAX
                    t = acc[k]
                    a = a if a >= ALPHA_MIN else ZERO
                    a = a if t > T_MIN else ZERO
                    weight = a * t
                    acc[k] = t - weight
                    acc[k + P1] += weight * red
                    acc[k + P2] += weight * green
                    acc[k + P3] += weight * blue
                    acc[k + P4] += weight * z
            if (position - ranges[tile]) % DONE_EVERY == DONE_EVERY - 1:
                most = ZERO
                for x in range(AREA):
                    t = acc[U(x)]
                    most = t if t > most else most
                if most <= T_MIN:
                    stop = position + 1
                    break
        stops[tile] = stop
        for row in range(rows):
            for x in range(columns):
                k = row * TILE + x
                alpha[y0 + row, x0 + x] = ONE - acc[k]
                colour[y0 + row, x0 + x, 0] = acc[AREA + k]
                colour[y0 + row, x0 + x, 1] = acc[2 * AREA + k]
                colour[y0 + row, x0 + x, 2] = acc[3 * AREA + k]
                depth[y0 + row, x0 + x] = acc[4 * AREA + k]


@njit(parallel=True)
def _backward(
    splats, extents, ranges, items, slots, work, width, height, stops, colour, alpha, depth,
    grad_colour, grad_alpha, grad_depth, rows_out,
):  # fmt: skip
    tiles_x = (width + TILE - 1) // TILE
    for w in prange(work.shape[0]):
        tile = work[w]
        x0, y0 = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
        rows = min(TILE, height - y0)
        columns = min(TILE, width - x0)
        # Per pixel: transmittance, rest, and the incoming gradients of red, green, blue, depth.
        acc = np.zeros(6 * AREA, F)
        for row in range(rows):
            for x in range(columns):
                k, py, px = row * TILE + x, y0 + row, x0 + x
                acc[k] = ONE
                rest = -grad_alpha[py, px] * (ONE - alpha[py, px]) + grad_depth[py, px] * depth[py, px]
                acc[5 * AREA + k] = grad_depth[py, px]
                for channel in range(3):
                    g = grad_colour[py, px, channel]
                    rest += g * colour[py, px, channel]
                    acc[(2 + channel) * AREA + k] = g
                acc[AREA + k] = rest
        # Per column of the tile: sums over its rows of what one splat receives.
        sums = np.zeros(7 * TILE, F)
        for position in range(ranges[tile], stops[tile]):
            i = items[position]
            mx, my, ca, cb, cc = splats[i, 0], splats[i, 1], splats[i, 2], splats[i, 3], splats[i, 4]
            opacity, red, green, blue, z = splats[i, 5], splats[i, 6], splats[i, 7], splats[i, 8], splats[i, 9]
            top = max(0, int(np.floor(my - extents[i, 1] - F(y0))))
            bottom = min(rows, int(np.ceil(my + extents[i, 1] - F(y0))))
            ca2, cc2 = -HALF * ca, -HALF * cc
            left = F(x0) + HALF - mx
            for x in range(7 * TILE):
                sums[U(x)] = ZERO
            for row in range(top, bottom):
                dy = F(y0 + row) + HALF - my
                constant, linear = cc2 * dy * dy, -cb * dy
                base = U(row) * U(TILE)
                for x in range(TILE):
                    dx = left + F(x)
                    k, column = base + U(x), U(x)
                    raw = opacity * exponential(constant + dx * (linear + ca2 * dx))
                    a = raw if raw < ALPHA_MAX else ALPHA_MAX
                    t = acc[k]
                    a = a if a >= ALPHA_MIN else ZERO
                    a = a if t > T_MIN else ZERO
                    weight = a * t
                    gr, gg, gb, gz = acc[k + P2], acc[k + P3], acc[k + P4], acc[k + P5]
                    light = red * gr + green * gg + blue * gb + z * gz
                    rest = acc[k + P1] - weight * light
                    acc[k] = t - weight
                    acc[k + P1] = rest
                    # d L / d alpha times d alpha / d power = alpha, and nothing where alpha is clamped
                    g = a * (t * light - rest / (ONE - a))
                    g = g if raw < ALPHA_MAX else ZERO
                    sums[column] += g
                    sums[column + S1] += g * dy
                    sums[column + S2] += g * dy * dy
                    sums[column + S3] += weight * gr
                    sums[column + S4] += weight * gg
                    sums[column + S5] += weight * gb
                    sums[column + S6] += weight * gz
            s = sx = sy = sxx = sxy = syy = s_r = s_g = s_b = s_z = ZERO
            for x in range(TILE):
                dx, column = left + F(x), U(x)
                g, gy = sums[column], sums[column + S1]
                s += g
                sx += g * dx
                sxx += g * dx * dx
                sy += gy
                sxy += gy * dx
                syy += sums[column + S2]
                s_r += sums[column + S3]
                s_g += sums[column + S4]
                s_b += sums[column + S5]
                s_z += sums[column + S6]
            out = slots[position]
            rows_out[out, 0] = ca * sx + cb * sy
            rows_out[out, 1] = cb * sx + cc * sy
            rows_out[out, 2] = -HALF * sxx
            rows_out[out, 3] = -sxy
            rows_out[out, 4] = -HALF * syy
            rows_out[out, 5] = s / opacity
            rows_out[out, 6] = s_r
            rows_out[out, 7] = s_g
            rows_out[out, 8] = s_b
            rows_out[out, 9] = s_z
        for position in range(stops[tile], ranges[tile + 1]):
            for k in range(SPLAT):
                rows_out[slots[position], k] = ZERO


@njit(parallel=True)
def _reduce(order, offsets, rows_in, grad_splats):
    """Sum the gradient rows of each splat; those of one splat stand together, in the order of its tiles."""
    for rank in prange(order.shape[0]):
        i = order[rank]
        for k in range(SPLAT):
            grad_splats[i, k] = ZERO
        for row in range(offsets[rank], offsets[rank + 1]):
            for k in range(SPLAT):
                grad_splats[i, k] += rows_in[row, k]


def depth_order(splats: Tensor) -> np.ndarray:
    """[N] splats [N, 10] front to back."""
    return stable_order(splats.detach().numpy()[:, constants.DEPTH])


def forward(splats: Tensor, extents: Tensor, width: int, height: int, order: np.ndarray | None = None):
    """Of one view -> colour [H, W, 3], alpha [H, W], depth [H, W], and the bins that `backward` replays.

    Args:
        order: of its splats from front to back, where it is known.
    """
    colour, alpha, depth = torch.empty(height, width, 3), torch.empty(height, width), torch.empty(height, width)
    table, reach = splats.detach().contiguous().numpy(), extents.contiguous().numpy()
    with kernel_lock:
        bins = bin_splats(table, reach, width, height, order)
        outputs = (colour.numpy(), alpha.numpy(), depth.numpy(), bins.stops)
        _forward(table, reach, bins.ranges, bins.items, bins.work, width, height, *outputs)
    return colour, alpha, depth, bins


def backward(splats: Tensor, bins: Bins, colour, alpha, depth, grad_colour, grad_alpha, grad_depth) -> Tensor:
    """-> the gradient of splats [N, 10]."""
    height, width = alpha.shape
    rows = np.empty((len(bins.items), SPLAT), F)
    grad_splats = torch.zeros(splats.shape[0], SPLAT)
    drawn = [tensor.detach().numpy() for tensor in (colour, alpha, depth)]
    incoming = [tensor.numpy() for tensor in (grad_colour, grad_alpha, grad_depth)]
    table = splats.detach().contiguous().numpy()
    with kernel_lock:
        lists = (bins.ranges, bins.items, bins.slots, bins.work)
        _backward(table, bins.extents, *lists, width, height, bins.stops, *drawn, *incoming, rows)
        _reduce(bins.order, bins.offsets, rows, grad_splats.numpy())
    return grad_splats
