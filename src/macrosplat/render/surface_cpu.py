"""Which splat takes a ray's light, on a CPU: tiles of 16 x 16 pixels, a row of a tile as one vector, as `rasterize`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from macrosplat.render import constants
from macrosplat.render.bins_cpu import RUNS, SPREAD, TILE, bin_splats
from macrosplat.render.camera import Camera
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

F, U = np.float32, np.uint64
ALPHA_MIN, ALPHA_MAX = F(constants.ALPHA_MIN), F(constants.ALPHA_MAX)
ONE, ZERO, HALF = F(1), F(0), F(0.5)
AREA = TILE * TILE
DONE_EVERY = 4  # splats: half of the light is gone after a few
# exp(x) = p(x / 16)^16 on [-5.6, 0], the only exponents above the cut-off of 1/255 (ln 255 = 5.54): p is the Taylor
# polynomial of degree 5, relative error 16 * 0.35^6 / 720 = 4e-5 at the far end, and it needs no vector math library.
EXPONENT_MIN = F(-5.6)
E1, E2, E3, E4, E5 = F(1 / 16), F(1 / 2 / 16**2), F(1 / 6 / 16**3), F(1 / 24 / 16**4), F(1 / 120 / 16**5)


@njit(inline=True)
def exponential(x):
    x = x if x > EXPONENT_MIN else EXPONENT_MIN
    p = ONE + x * (E1 + x * (E2 + x * (E3 + x * (E4 + x * E5))))
    p = p * p
    p = p * p
    p = p * p
    return p * p


def takers(splats: Tensor, extents: Tensor, width: int, height: int, left: float) -> Tensor:
    """[H, W] int32: the splat behind which no more than `left` of a pixel's light is left; -1 where more is."""
    table, reach = splats.numpy(), extents.numpy()
    out = np.full((height, width), -1, np.int32)
    with kernel_lock:
        bins = bin_splats(table, reach, width, height)
        _takers(team(), RUNS, table, reach, bins.ranges, bins.items, bins.runs, F(left), out)
    return torch.from_numpy(out)


@njit(part=True)
def _takers_some(begin, end, splats, extents, ranges, items, runs, left, out):
    height, width = out.shape
    tiles_x = (width + TILE - 1) // TILE
    for w in range(begin, end):
        for tile in range(runs[SPREAD[w]], runs[SPREAD[w] + 1]):
            x0, y0 = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
            rows, columns = min(TILE, height - y0), min(TILE, width - x0)
            through, taker = np.zeros(AREA, F), np.full(AREA, -1, np.int32)
            for row in range(rows):
                for x in range(columns):
                    through[row * TILE + x] = ONE
            for position in range(ranges[tile], ranges[tile + 1]):
                i = items[position]
                mx, my, cb, opacity = splats[i, 0], splats[i, 1], splats[i, 3], splats[i, 5]
                ca, cc = -HALF * splats[i, 2], -HALF * splats[i, 4]
                top = max(0, int(np.floor(my - extents[i, 1] - F(y0))))
                bottom = min(rows, int(np.ceil(my + extents[i, 1] - F(y0))))
                first = F(x0) + HALF - mx
                for row in range(top, bottom):
                    dy = F(y0 + row) + HALF - my
                    constant, linear = cc * dy * dy, -cb * dy
                    base = U(row) * U(TILE)
                    for x in range(TILE):
                        dx = first + F(x)
                        k = base + U(x)
                        a = opacity * exponential(constant + dx * (linear + ca * dx))
                        a = a if a < ALPHA_MAX else ALPHA_MAX
                        a = a if a >= ALPHA_MIN else ZERO
                        before = through[k]
                        after = before - a * before
                        through[k] = after
                        taken = i if after <= left else np.int32(-1)
                        taker[k] = taken if before > left else taker[k]
                if (position - ranges[tile]) % DONE_EVERY == DONE_EVERY - 1:
                    most = ZERO
                    for x in range(AREA):
                        most = through[U(x)] if through[U(x)] > most else most
                    if most <= left:
                        break
            for row in range(rows):
                for x in range(columns):
                    out[y0 + row, x0 + x] = taker[row * TILE + x]


@njit
def _takers(team, count, *arguments):
    spread(_takers_some, team, count, arguments)


def densest(
    means_z: Tensor, quats: Tensor, log_scales: Tensor, centres: Tensor, takers: Tensor, camera: Camera, most: float
) -> Tensor:
    """As `surface_reference.densest`."""
    out = np.zeros(takers.shape, F)
    turn, intrinsics = camera.view[:3, :3].contiguous().numpy(), camera.intrinsics.numpy()
    gaussians = (t.contiguous().numpy() for t in (means_z, quats, log_scales, centres))
    with kernel_lock:
        _densest(team(), len(out), *gaussians, takers.numpy(), turn, intrinsics, F(most), out)
    return torch.from_numpy(out)


@njit(part=True)
def _densest_some(begin, end, means_z, quats, log_scales, centres, takers, view, intrinsics, most, out):
    _, width = out.shape
    for row in range(begin, end):
        for column in range(width):
            i = takers[row, column]
            if i >= 0:
                out[row, column] = _densest_of(
                    i, F(column) + HALF, F(row) + HALF, means_z, quats, log_scales, centres, view, intrinsics, most
                )


@njit
def _densest(team, count, *arguments):
    spread(_densest_some, team, count, arguments)


@njit(inner=True)
def _densest_of(i, px, py, means_z, quats, log_scales, centres, view, intrinsics, most):
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
    inverse = ONE / np.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    two, depth = F(2), means_z[i]
    ray_x, ray_y = (px - cx) / fx, (py - cy) / fy
    off_x, off_y = (px - centres[i, 0]) / fx * depth, (py - centres[i, 1]) / fy * depth
    along, square, wide = ZERO, ZERO, ZERO
    for k in range(3):
        # The Gaussian's k-th axis in the world, then in the camera.
        if k == 0:
            u, v, t = ONE - two * (y * y + z * z), two * (x * y + w * z), two * (x * z - w * y)
        elif k == 1:
            u, v, t = two * (x * y - w * z), ONE - two * (x * x + z * z), two * (y * z + w * x)
        else:
            u, v, t = two * (x * z + w * y), two * (y * z - w * x), ONE - two * (x * x + y * y)
        a = view[0, 0] * u + view[0, 1] * v + view[0, 2] * t
        b = view[1, 0] * u + view[1, 1] * v + view[1, 2] * t
        c = view[2, 0] * u + view[2, 1] * v + view[2, 2] * t
        scale = np.exp(log_scales[i, k])
        ray = (a * ray_x + b * ray_y + c) / scale
        along += ray * ((a * off_x + b * off_y) / scale)
        square += ray * ray
        wide += (c * scale) * (c * scale)
    reach = most * np.sqrt(wide)
    return depth + min(max(-along / square, -reach), reach)
