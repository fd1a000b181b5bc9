"""Compositing a tile on a GPU one splat at a time, all pixels of the tile as one vector.

A splat's numbers are the same for all pixels; summing its gradients over the pixels costs a reduction each.
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
def _load(splats, items, position, valid):
    """The ten numbers of the splat at `position`; past the end one of no opacity."""
    row = splats + tl.load(items + position, mask=valid, other=0).to(tl.int64) * SPLAT
    return (
        tl.load(row, mask=valid, other=0.0),
        tl.load(row + 1, mask=valid, other=0.0),
        tl.load(row + 2, mask=valid, other=1.0),
        tl.load(row + 3, mask=valid, other=0.0),
        tl.load(row + 4, mask=valid, other=1.0),
        tl.load(row + 5, mask=valid, other=0.0),
        tl.load(row + 6, mask=valid, other=0.0),
        tl.load(row + 7, mask=valid, other=0.0),
        tl.load(row + 8, mask=valid, other=0.0),
        tl.load(row + 9, mask=valid, other=0.0),
    )


@triton.jit(do_not_specialize=["width", "height"])
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
    red, green, blue = tl.zeros_like(t), tl.zeros_like(t), tl.zeros_like(t)
    z = tl.zeros_like(t)
    position, end = tl.load(ranges + tile), tl.load(ranges + tile + 1)
    most = 1.0
    while (position < end) & (most > T_MIN):
        for j in range(CHUNK):
            mx, my, ca, cb, cc, opacity, r, g, b, d = _load(splats, items, position + j, position + j < end)
            dx, dy = x - mx, y - my
            a = opacity * tl.exp(-0.5 * (ca * dx * dx + cc * dy * dy) - cb * dx * dy)
            a = tl.minimum(a, ALPHA_MAX)
            weight = tl.where((a >= ALPHA_MIN) & (t > T_MIN), a * t, 0.0)
            t -= weight
            red += weight * r
            green += weight * g
            blue += weight * b
            z += weight * d
        position += CHUNK
        most = tl.max(t, 0)
    tl.store(stops + tile, tl.minimum(position, end))
    pixel = py.to(tl.int64) * width + px
    tl.store(alpha + pixel, 1 - t, mask=inside)
    tl.store(colour + pixel * 3, red, mask=inside)
    tl.store(colour + pixel * 3 + 1, green, mask=inside)
    tl.store(colour + pixel * 3 + 2, blue, mask=inside)
    tl.store(depth + pixel, z, mask=inside)


@triton.jit(do_not_specialize=["width", "height"])
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
        mx, my, ca, cb, cc, opacity, r, g, b, d = _load(splats, items, position, position < end)
        dx, dy = x - mx, y - my
        raw = opacity * tl.exp(-0.5 * (ca * dx * dx + cc * dy * dy) - cb * dx * dy)
        a = tl.minimum(raw, ALPHA_MAX)
        a = tl.where((a >= ALPHA_MIN) & (t > T_MIN), a, 0.0)
        weight = a * t
        light = r * gr + g * gg + b * gb + d * gz
        rest -= weight * light
        # d L / d alpha times d alpha / d power = alpha, and nothing where alpha is held at its maximum
        slope = tl.where(raw < ALPHA_MAX, a * (t * light - rest / (1 - a)), 0.0)
        t -= weight
        slope_x, slope_y = slope * dx, slope * dy
        sx, sy = tl.sum(slope_x, 0), tl.sum(slope_y, 0)
        out = rows + tl.load(slots + position) * SPLAT
        tl.store(out, ca * sx + cb * sy)
        tl.store(out + 1, cb * sx + cc * sy)
        tl.store(out + 2, -0.5 * tl.sum(slope_x * dx, 0))
        tl.store(out + 3, -tl.sum(slope_x * dy, 0))
        tl.store(out + 4, -0.5 * tl.sum(slope_y * dy, 0))
        tl.store(out + 5, tl.sum(slope, 0) / opacity)
        tl.store(out + 6, tl.sum(weight * gr, 0))
        tl.store(out + 7, tl.sum(weight * gg, 0))
        tl.store(out + 8, tl.sum(weight * gb, 0))
        tl.store(out + 9, tl.sum(weight * gz, 0))
        position += 1
