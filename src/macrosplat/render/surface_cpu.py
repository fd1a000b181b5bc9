"""Which splat takes a ray's light, on a CPU: tiles of 16 x 16 pixels, a row of a tile as one vector, as `rasterize`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from macrosplat.render import constants
from macrosplat.render.bins_cpu import TILE, bin_splats
from macrosplat.render.rasterize_cpu import exponential
from macrosplat.support.numba import kernel_lock, njit, prange

F, U = np.float32, np.uint64
ALPHA_MIN, ALPHA_MAX = F(constants.ALPHA_MIN), F(constants.ALPHA_MAX)
ONE, ZERO, HALF = F(1), F(0), F(0.5)
AREA = TILE * TILE
DONE_EVERY = 4  # splats: half of the light is gone after a few


def takers(splats: Tensor, extents: Tensor, width: int, height: int, left: float) -> Tensor:
    """[H, W] int32: the splat behind which no more than `left` of a pixel's light is left; -1 where more is."""
    table, reach = splats.numpy(), extents.numpy()
    out = np.full((height, width), -1, np.int32)
    with kernel_lock:
        bins = bin_splats(table, reach, width, height)
        _takers(table, reach, bins.ranges, bins.items, bins.work, F(left), out)
    return torch.from_numpy(out)


@njit(parallel=True)
def _takers(splats, extents, ranges, items, work, left, out):
    height, width = out.shape
    tiles_x = (width + TILE - 1) // TILE
    for w in prange(work.shape[0]):
        tile = work[w]
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
