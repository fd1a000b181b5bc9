"""Which splats lie over which tile, front to back: depth sort of the splats, then a stable counting sort by tile."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from macrosplat.render import constants
from macrosplat.support.numba import njit
from macrosplat.support.spread import spread, team

F = np.float32
TILE = 16  # px; a row of it is one AVX-512 vector of floats
ONE, TWO, HALF, ZERO = F(1), F(2), F(0.5), F(0)
ALPHA_MIN, LOG2_MIN = F(constants.ALPHA_MIN), F(math.log2(constants.ALPHA_MIN))
LOG2_E = F(1 / math.log(2))
FORM = 16  # floats: 64 bytes
WIDER = F(1.001)  # of an ellipse, so that no row is cut short by rounding: what lies outside draws nothing
RUNS = 64  # a power of 2
TILE_LOAD = 8  # pairs that a tile costs by itself


@dataclass(frozen=True)
class Bins:
    """P (tile, splat) pairs of n drawn splats over the tiles, row by row; of several views one below the other."""

    order: np.ndarray  # [n] drawn splats, front to back; view by view
    offsets: np.ndarray  # [n + 1] where the pairs of the n-th drawn splat begin, in splat order
    ranges: np.ndarray  # [tiles + 1] where the pairs of a tile begin, in tile order
    items: np.ndarray  # [P] the splat of a pair, in tile order
    slots: np.ndarray  # [P] the place of the same pair in splat order
    stops: np.ndarray  # [tiles] written by the forward pass: behind which pair all light paths of a tile have ended
    extents: np.ndarray  # [N, 2] as they came in
    forms: np.ndarray  # [N, FORM] of drawn splats what drawing takes of them, a cache line each
    runs: np.ndarray  # [RUNS + 1] the first tile of each run of tiles, whose loads are alike


@njit(inner=True)
def _touches(mx, my, a, b, c, reach, left, right, top, bottom):
    """Whether the ellipse a dx^2 + 2 b dx dy + c dy^2 <= reach meets a rectangle: the form's exact minimum over it."""
    ox = left if mx < left else (right if mx > right else mx)
    oy = top if my < top else (bottom if my > bottom else my)
    dx, dy = ox - mx, oy - my
    if dx == ZERO and dy == ZERO:
        return True
    # A convex form takes its minimum on one of the two edges that face the centre.
    if dx != ZERO:
        y = min(max(my - b * dx / c, top), bottom) - my
        if a * dx * dx + TWO * b * dx * y + c * y * y <= reach:
            return True
    if dy != ZERO:
        x = min(max(mx - b * dy / a, left), right) - mx
        if a * x * x + TWO * b * x * dy + c * dy * dy <= reach:
            return True
    return False


@njit(inline=True)
def _box(splats, extents, i, tiles_x, tiles_y):
    """The tiles that a splat's box reaches: first and last along x, and along y."""
    x_lo = max(0, int(np.floor((splats[i, 0] - extents[i, 0]) / F(TILE))))
    x_hi = min(tiles_x - 1, int(np.floor((splats[i, 0] + extents[i, 0]) / F(TILE))))
    y_lo = max(0, int(np.floor((splats[i, 1] - extents[i, 1]) / F(TILE))))
    y_hi = min(tiles_y - 1, int(np.floor((splats[i, 1] + extents[i, 1]) / F(TILE))))
    return x_lo, x_hi, y_lo, y_hi


@njit(part=True)
def _boxes_some(begin, end, splats, extents, order, offsets, tiles_x, tiles_y):
    """How many tiles each splat's box has, at offsets[1:]: the caller sums them up."""
    for rank in range(begin, end):
        i = order[rank]
        x_lo, x_hi, y_lo, y_hi = _box(splats, extents, i, tiles_x, tiles_y)
        offsets[rank + 1] = max(x_hi - x_lo + 1, 0) * max(y_hi - y_lo + 1, 0)


@njit
def _boxes(team, count, *arguments):
    spread(_boxes_some, team, count, arguments)


@njit(part=True)
def _pairs_some(begin, end, splats, extents, order, room, each, tiles_x, tiles_y, forms, tiles, counts):
    """Forms, the tiles that each splat's ellipse touches, from its `room` on, and how many, at counts[1:]."""
    for rank in range(begin, end):
        i = order[rank]
        mx, my, a, b, c = splats[i, 0], splats[i, 1], splats[i, 2], splats[i, 3], splats[i, 4]
        reach = TWO * np.log(splats[i, 5] / ALPHA_MIN)
        inverse = ONE / a
        slope = b * inverse
        # The centre; log2(alpha): log2(e) times -(a dx^2 + 2 b dx dy + c dy^2) / 2, and an offset; colours and depth.
        forms[i, 0], forms[i, 1] = mx, my
        forms[i, 2], forms[i, 3], forms[i, 4] = -HALF * LOG2_E * a, -LOG2_E * b, -HALF * LOG2_E * c
        forms[i, 5] = HALF * LOG2_E * reach + LOG2_MIN
        for k in range(6, 10):
            forms[i, k] = splats[i, k]
        # Along a row the ellipse spans mx - dy forms[11] +- sqrt(forms[13] - forms[12] dy^2).
        forms[i, 10], forms[i, 11], forms[i, 12] = inverse, slope, (c - b * slope) * inverse
        forms[i, 13] = WIDER * reach * inverse
        x_lo, x_hi, y_lo, y_hi = _box(splats, extents, i, tiles_x, tiles_y)
        n = 0
        start, first = room[rank], i // each * tiles_x * tiles_y
        for ty in range(y_lo, y_hi + 1):
            top, bottom = F(ty * TILE) + HALF, F(ty * TILE + TILE) - HALF
            for tx in range(x_lo, x_hi + 1):
                left, right = F(tx * TILE) + HALF, F(tx * TILE + TILE) - HALF
                if _touches(mx, my, a, b, c, reach, left, right, top, bottom):
                    tiles[start + n] = first + ty * tiles_x + tx
                    n += 1
        counts[rank + 1] = n


@njit
def _pairs(team, count, *arguments):
    spread(_pairs_some, team, count, arguments)


@njit(part=True)
def _sort_by_tile_some(begin, end, tiles, order, views, room, offsets, ranges, items, slots):
    """Of some views, whose splats begin at `views` in the order: tiles and pairs of a view follow those of the last."""
    each = (ranges.shape[0] - 1) // (views.shape[0] - 1)
    cursor = np.empty(each, np.int64)
    for m in range(begin, end):
        before = m * each
        for tile in range(each):
            cursor[tile] = 0
        for rank in range(views[m], views[m + 1]):
            for n in range(offsets[rank + 1] - offsets[rank]):
                cursor[tiles[room[rank] + n] - before] += 1
        place = offsets[views[m]]
        for tile in range(each):
            count = cursor[tile]
            cursor[tile] = ranges[before + tile] = place
            place += count
        for rank in range(views[m], views[m + 1]):
            for n in range(offsets[rank + 1] - offsets[rank]):
                tile = tiles[room[rank] + n] - before
                place = cursor[tile]
                cursor[tile] = place + 1
                items[place] = order[rank]
                slots[place] = offsets[rank] + n


@njit
def _sort_by_tile(team, count, *arguments):
    spread(_sort_by_tile_some, team, count, arguments)


@njit
def _radix_order(keys, order):
    """Sort by 11 bits at a time, least first: three sweeps over what a comparison sort asks for seventeen times."""
    n = keys.shape[0]
    others, ordered = np.empty(n, np.uint32), np.empty(n, np.int32)
    for i in range(n):
        order[i] = i
    for sweep in range(3):
        shift = np.uint32(11 * sweep)
        starts = np.zeros(2049, np.int64)
        for i in range(n):
            starts[((keys[i] >> shift) & np.uint32(2047)) + 1] += 1
        for digit in range(2048):
            starts[digit + 1] += starts[digit]
        for i in range(n):
            digit = (keys[i] >> shift) & np.uint32(2047)
            place = starts[digit]
            starts[digit] = place + 1
            others[place], ordered[place] = keys[i], order[i]
        for i in range(n):
            keys[i], order[i] = others[i], ordered[i]


def stable_order(values: np.ndarray) -> np.ndarray:
    """[N] int32: what a stable argsort of float32 values makes, which are no NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    # As integers floats rise with their bits; negative ones fall.
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint32)
    order = np.empty(len(keys), np.int32)
    _radix_order(keys, order)
    return order


def bin_splats(
    splats: np.ndarray, extents: np.ndarray, width: int, height: int, views: int = 1, same_depths: bool = False
) -> Bins:
    """Bins of the splats of M views [M * N, 10], view by view, with extents [M * N, 2], over frames of width x height.

    Args:
        same_depths: whether each splat has one depth in all views.
    """
    tiles_x, tiles_y, each = -(-width // TILE), -(-height // TILE), len(splats) // views
    depths, there, orders = splats[:, constants.DEPTH], extents[:, 0] > 0, []
    nearest = stable_order(depths[:each]) if same_depths and views > 1 else None
    for first in range(0, len(splats), each) if each else ():
        if nearest is None:
            drawn = np.flatnonzero(there[first : first + each]).astype(np.int32) + np.int32(first)
            orders.append(drawn[stable_order(depths[drawn])])
        else:
            orders.append(nearest[there[nearest + first]] + np.int32(first))
    order = np.concatenate(orders) if orders else np.empty(0, np.int32)
    room, offsets = np.zeros(len(order) + 1, np.int64), np.zeros(len(order) + 1, np.int64)
    _boxes(team(), len(order), splats, extents, order, room, tiles_x, tiles_y)
    np.cumsum(room, out=room)
    tiles, forms = np.empty(int(room[-1]), np.int32), _lines(len(splats))
    _pairs(team(), len(order), splats, extents, order, room, each, tiles_x, tiles_y, forms, tiles, offsets)
    np.cumsum(offsets, out=offsets)
    pairs = int(offsets[-1])
    items, slots = np.empty(pairs, np.int32), np.empty(pairs, np.int32)
    ranges, begin = np.empty(views * tiles_x * tiles_y + 1, np.int64), np.zeros(views + 1, np.int64)
    ranges[-1] = pairs
    np.cumsum([len(one) for one in orders], out=begin[1 : len(orders) + 1])
    _sort_by_tile(team(), views, tiles, order, begin, room, offsets, ranges, items, slots)
    stops = np.empty(len(ranges) - 1, np.int64)
    return Bins(order, offsets, ranges, items, slots, stops, extents, forms, _runs(ranges))


def _lines(count: int) -> np.ndarray:
    """[count, FORM], each row a cache line."""
    flat = np.empty((count + 1) * FORM, F)
    start = -flat.ctypes.data % (4 * FORM) // 4
    return flat[start : start + count * FORM].reshape(count, FORM)


def _runs(ranges: np.ndarray) -> np.ndarray:
    """Cuts the tiles into runs of like loads: neighbours share splats, and an object fills the middle only."""
    load = ranges + TILE_LOAD * np.arange(len(ranges))
    cuts = np.searchsorted(load, load[-1] * np.arange(RUNS + 1) / RUNS)
    return cuts.astype(np.int64)


def _spread(runs: int) -> tuple[int, ...]:
    """Runs in an order whose equal spans, which threads take, are spread over the frame: bits read backwards."""
    bits = runs.bit_length() - 1
    return tuple(int(f"{k:0{bits}b}"[::-1], 2) for k in range(runs))


SPREAD = np.array(_spread(RUNS))
