"""Compositing a tile on a GPU in chunks of splats: a matrix of pixels by splats, transmittance by a scan along a row.

With the splats along the lanes of a warp, each lane loads a splat of its own, and summing a splat's gradients over the
pixels is addition within a lane; the price is a scan across the lanes.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import triton
import triton.language as tl

from macrosplat.render import constants

ALPHA_MIN, ALPHA_MAX = tl.constexpr(constants.ALPHA_MIN), tl.constexpr(constants.ALPHA_MAX)
T_MIN = tl.constexpr(constants.TRANSMITTANCE_MIN)
SPLAT = tl.constexpr(constants.SPLAT)


@triton.jit
def _alphas(row, valid, x, y, t):
    """Of pixels by splats: raw alpha, alpha of those in sight, light before each splat, offsets; and the conics."""
    mx, my = tl.load(row, mask=valid, other=0.0)[None, :], tl.load(row + 1, mask=valid, other=0.0)[None, :]
    ca, cb = tl.load(row + 2, mask=valid, other=1.0)[None, :], tl.load(row + 3, mask=valid, other=0.0)[None, :]
    cc, opacity = tl.load(row + 4, mask=valid, other=1.0)[None, :], tl.load(row + 5, mask=valid, other=0.0)[None, :]
    dx, dy = x[:, None] - mx, y[:, None] - my
    raw = opacity * tl.exp(-0.5 * (ca * dx * dx + cc * dy * dy) - cb * dx * dy)
    a = tl.minimum(raw, ALPHA_MAX)
    a = tl.where(a >= ALPHA_MIN, a, 0.0)
    # The scan includes the splat itself; alpha is at most 0.999, so dividing it out again costs one rounding.
    before = t[:, None] * tl.cumprod(1 - a, 1) / (1 - a)
    a = tl.where(before > T_MIN, a, 0.0)
    return raw, a, before, dx, dy, ca, cb, cc, opacity


@triton.jit
def forward_kernel(
    splats, items, ranges, stops, colour, alpha, depth, width, height, TILE: tl.constexpr, CHUNK: tl.constexpr
):
    tile = tl.program_id(0)
    tiles_x = (width + TILE - 1) // TILE
    k = tl.arange(0, TILE * TILE)
    px, py = (tile % tiles_x) * TILE + k % TILE, (tile // tiles_x) * TILE + k // TILE
    inside = (px < width) & (py < height)
    x, y = px.to(tl.float32) + 0.5, py.to(tl.float32) + 0.5
    t = tl.where(inside, 1.0, 0.0)
    # Summed along the splats at the very end only.
    red = tl.zeros([TILE * TILE, CHUNK], tl.float32)
    green, blue, z = tl.zeros_like(red), tl.zeros_like(red), tl.zeros_like(red)
    position, end = tl.load(ranges + tile), tl.load(ranges + tile + 1)
    most = 1.0
    while (position < end) & (most > T_MIN):
        places = position + tl.arange(0, CHUNK)
        valid = places < end
        row = splats + tl.load(items + places, mask=valid, other=0).to(tl.int64) * SPLAT
        _, a, before, _, _, _, _, _, _ = _alphas(row, valid, x, y, t)
        weight = a * before
        t -= tl.sum(weight, 1)
        red += weight * tl.load(row + 6, mask=valid, other=0.0)[None, :]
        green += weight * tl.load(row + 7, mask=valid, other=0.0)[None, :]
        blue += weight * tl.load(row + 8, mask=valid, other=0.0)[None, :]
        z += weight * tl.load(row + 9, mask=valid, other=0.0)[None, :]
        position += CHUNK
        most = tl.max(t, 0)
    tl.store(stops + tile, tl.minimum(position, end))
    pixel = py.to(tl.int64) * width + px
    tl.store(alpha + pixel, 1 - t, mask=inside)
    tl.store(colour + pixel * 3, tl.sum(red, 1), mask=inside)
    tl.store(colour + pixel * 3 + 1, tl.sum(green, 1), mask=inside)
    tl.store(colour + pixel * 3 + 2, tl.sum(blue, 1), mask=inside)
    tl.store(depth + pixel, tl.sum(z, 1), mask=inside)


@triton.jit
def backward_kernel(
    splats, items, slots, ranges, stops, colour, alpha, depth, g_colour, g_alpha, g_depth, rows, width, height,
    TILE: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    tiles_x = (width + TILE - 1) // TILE
    k = tl.arange(0, TILE * TILE)
    px, py = (tile % tiles_x) * TILE + k % TILE, (tile // tiles_x) * TILE + k // TILE
    inside = (px < width) & (py < height)
    x, y = px.to(tl.float32) + 0.5, py.to(tl.float32) + 0.5
    pixel = py.to(tl.int64) * width + px
    gr = tl.load(g_colour + pixel * 3, mask=inside, other=0.0)
    gg = tl.load(g_colour + pixel * 3 + 1, mask=inside, other=0.0)
    gb = tl.load(g_colour + pixel * 3 + 2, mask=inside, other=0.0)
    gz = tl.load(g_depth + pixel, mask=inside, other=0.0)
    # The light still to come, weighted by its gradients; alpha is one minus the light that gets through.
    rest = gz * tl.load(depth + pixel, mask=inside, other=0.0)
    rest -= tl.load(g_alpha + pixel, mask=inside, other=0.0) * (1 - tl.load(alpha + pixel, mask=inside, other=0.0))
    rest += gr * tl.load(colour + pixel * 3, mask=inside, other=0.0)
    rest += gg * tl.load(colour + pixel * 3 + 1, mask=inside, other=0.0)
    rest += gb * tl.load(colour + pixel * 3 + 2, mask=inside, other=0.0)
    t = tl.where(inside, 1.0, 0.0)
    position, end = tl.load(ranges + tile), tl.load(stops + tile)
    while position < end:
        places = position + tl.arange(0, CHUNK)
        valid = places < end
        row = splats + tl.load(items + places, mask=valid, other=0).to(tl.int64) * SPLAT
        raw, a, before, dx, dy, ca, cb, cc, opacity = _alphas(row, valid, x, y, t)
        weight = a * before
        light = tl.load(row + 6, mask=valid, other=0.0)[None, :] * gr[:, None]
        light += tl.load(row + 7, mask=valid, other=0.0)[None, :] * gg[:, None]
        light += tl.load(row + 8, mask=valid, other=0.0)[None, :] * gb[:, None]
        light += tl.load(row + 9, mask=valid, other=0.0)[None, :] * gz[:, None]
        shed = weight * light
        behind = rest[:, None] - tl.cumsum(shed, 1)
        # d L / d alpha times d alpha / d power = alpha, and nothing where alpha is held at its maximum
        slope = tl.where(raw < ALPHA_MAX, a * (before * light - behind / (1 - a)), 0.0)
        t -= tl.sum(weight, 1)
        rest -= tl.sum(shed, 1)
        slope_x, slope_y = slope * dx, slope * dy
        sx, sy = tl.sum(slope_x, 0)[None, :], tl.sum(slope_y, 0)[None, :]
        s = tl.sum(slope, 0)[None, :]
        out = (rows + tl.load(slots + places, mask=valid, other=0) * SPLAT)[None, :]
        here = valid[None, :]
        tl.store(out, ca * sx + cb * sy, mask=here)
        tl.store(out + 1, cb * sx + cc * sy, mask=here)
        tl.store(out + 2, -0.5 * tl.sum(slope_x * dx, 0)[None, :], mask=here)
        tl.store(out + 3, -tl.sum(slope_x * dy, 0)[None, :], mask=here)
        tl.store(out + 4, -0.5 * tl.sum(slope_y * dy, 0)[None, :], mask=here)
        tl.store(out + 5, s / tl.where(here, opacity, 1.0), mask=here)
        tl.store(out + 6, tl.sum(weight * gr[:, None], 0)[None, :], mask=here)
        tl.store(out + 7, tl.sum(weight * gg[:, None], 0)[None, :], mask=here)
        tl.store(out + 8, tl.sum(weight * gb[:, None], 0)[None, :], mask=here)
        tl.store(out + 9, tl.sum(weight * gz[:, None], 0)[None, :], mask=here)
        position += CHUNK
