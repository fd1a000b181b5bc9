"""Which splats lie over which tile, front to back: depth sort of the splats, then a stable counting sort by tile."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from macrosplat.render import constants
from macrosplat.render.camera import Plane
from macrosplat.support.numba import njit
from macrosplat.support.simd import prefetch
from macrosplat.support.spread import spread, team

F = np.float32
TILE = 16  # px; a row of it is one AVX-512 vector of floats
ONE, TWO, HALF, ZERO = F(1), F(2), F(0.5), F(0)
ALPHA_MIN, LOG2_MIN = F(constants.ALPHA_MIN), F(math.log2(constants.ALPHA_MIN))
LOG2_E = F(1 / math.log(2))
FORM = 16  # floats: 64 bytes
LEAST = F(1e-12)  # of what rounding may make 0 of a needle
WIDER = F(1.001)  # of an ellipse, so that no row is cut short by rounding: what lies outside draws nothing
RUNS = 64  # a power of 2
TILE_LOAD = 8  # pairs that a tile costs by itself
AHEAD = 8  # splats that are fetched before they are sorted


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
def _across(mx, my, slope, q, far, span, top, bottom):
    """From where to where along x the ellipse lies within a strip; the end before the beginning where it does not.

    At dy it spans mx - slope dy +- sqrt(span - q dy^2), farthest to the right at dy = far, to the left at -far.
    """
    least, most = top - my, bottom - my
    nearest = max(least, -most, ZERO)
    if q * nearest * nearest > span:
        return ONE, ZERO
    right, left = min(max(far, least), most), min(max(-far, least), most)
    last = mx - slope * right + np.sqrt(max(span - q * right * right, ZERO))
    return mx - slope * left - np.sqrt(max(span - q * left * left, ZERO)), last


@njit(inline=True)
def _box(splats, extents, i, tiles_x, tiles_y):
    """The tiles that a splat's box reaches: first and last along x, and along y."""
    x_lo = max(0, int(np.floor((splats[i, 0] - extents[i, 0]) / F(TILE))))
    x_hi = min(tiles_x - 1, int(np.floor((splats[i, 0] + extents[i, 0]) / F(TILE))))
    y_lo = max(0, int(np.floor((splats[i, 1] - extents[i, 1]) / F(TILE))))
    y_hi = min(tiles_y - 1, int(np.floor((splats[i, 1] + extents[i, 1]) / F(TILE))))
    return x_lo, x_hi, y_lo, y_hi


@njit(part=True)
def _boxes_some(begin, end, splats, extents, rows, tiles_x, tiles_y):
    """How many rows of tiles each splat's box has, at rows[1:]: the caller sums them up."""
    for i in range(begin, end):
        rows[i + 1] = 0
        if extents[i, 0] > ZERO:
            x_lo, x_hi, y_lo, y_hi = _box(splats, extents, i, tiles_x, tiles_y)
            rows[i + 1] = max(y_hi - y_lo + 1, 0) if x_hi >= x_lo else 0


@njit
def _boxes(team, count, *arguments):
    spread(_boxes_some, team, count, arguments)


@njit(part=True)
def _pairs_some(begin, end, splats, extents, rows, each, tiles_x, tiles_y, forms, lines, counts):
    """Forms; in which tiles of each row of its box a splat's ellipse lies, from `rows` on: the first, and how many; and
    how many in all."""
    for i in range(begin, end):
        counts[i] = 0
        if rows[i + 1] == rows[i]:
            continue
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
        x_lo, x_hi, y_lo, _ = _box(splats, extents, i, tiles_x, tiles_y)
        n, line = 0, rows[i]
        tile = i // each * tiles_x * tiles_y + y_lo * tiles_x
        q, span = forms[i, 12], forms[i, 13]
        steep = max(q, LEAST)
        far = -slope * np.sqrt(span / (steep * (steep + slope * slope)))
        for ty in range(y_lo, y_lo + rows[i + 1] - line):
            top = F(ty * TILE) + HALF  # of the pixels' middles
            left, right = _across(mx, my, slope, q, far, span, top, top + F(TILE - 1))
            # A tile's middles reach from its edge + 1/2 to the next one's - 1/2.
            tx_lo = max(x_lo, int(np.ceil((left + HALF) / F(TILE))) - 1)
            count = max(min(x_hi, int(np.floor((right - HALF) / F(TILE)))) - tx_lo + 1, 0) if left <= right else 0
            lines[line, 0], lines[line, 1] = tile + (tx_lo if count else 0), count
            n, line, tile = n + count, line + 1, tile + tiles_x
        counts[i] = n


@njit
def _pairs(team, count, *arguments):
    spread(_pairs_some, team, count, arguments)


@njit(part=True)
def _sort_by_tile_some(begin, end, splats, lines, order, views, rows, table, offsets, ranges, items, slots):
    """Of some views of so many splats, which begin at `views` in the order: tiles and pairs of a view follow those of
    the last."""
    each = (ranges.shape[0] - 1) // (views.shape[0] - 1)
    cursor = np.empty(each + 1, np.int64)
    for m in range(begin, end):
        before = m * each
        for tile in range(each + 1):
            cursor[tile] = 0
        # By how many more a tile has than the one before it.
        for line in range(rows[m * splats], rows[m * splats + splats]):
            first = lines[line, 0] - before
            cursor[first] += 1
            cursor[first + lines[line, 1]] -= 1
        place, count = offsets[views[m]], 0
        for tile in range(each):
            count += cursor[tile]
            cursor[tile] = ranges[before + tile] = place
            place += count
        last = views[m + 1] - 1
        for rank in range(views[m], views[m + 1]):
            prefetch(table, order[min(rank + 2 * AHEAD, last)])
            prefetch(lines, rows[order[min(rank + AHEAD, last)]])
            i, slot = order[rank], offsets[rank]
            for line in range(rows[i], rows[i + 1]):
                first = lines[line, 0] - before
                for tile in range(first, first + lines[line, 1]):
                    place = cursor[tile]
                    cursor[tile] = place + 1
                    items[place] = i
                    slots[place] = slot
                    slot += 1


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
    splats: np.ndarray, extents: np.ndarray, width: int, height: int, views: int = 1, plane: Plane | None = None
) -> Bins:
    """Bins of the splats of M views [M * N, 10], view by view, with extents [M * N, 2], over frames of width x height.

    Args:
        plane: of views in which each splat has one depth.
    """
    tiles_x, tiles_y, each = -(-width // TILE), -(-height // TILE), len(splats) // views
    depths, there, orders = splats[:, constants.DEPTH], extents[:, 0] > 0, []
    if plane is not None and plane.order is None:
        plane.order = stable_order(depths[:each])
    nearest = None if plane is None else plane.order
    assert nearest is None or len(nearest) == each, "one scene is drawn in a plane"
    for first in range(0, len(splats), each) if each else ():
        if nearest is None:
            drawn = np.flatnonzero(there[first : first + each]).astype(np.int32) + np.int32(first)
            orders.append(drawn[stable_order(depths[drawn])])
        else:
            orders.append(nearest[there[nearest + first]] + np.int32(first))
    order = np.concatenate(orders) if orders else np.empty(0, np.int32)
    # In the order that splats have in memory: what is gathered front to back waits for memory.
    count = len(splats)
    rows, counts, offsets = np.zeros(count + 1, np.int64), np.empty(count, np.int64), np.zeros(len(order) + 1, np.int64)
    _boxes(team(), count, splats, extents, rows, tiles_x, tiles_y)
    np.cumsum(rows, out=rows)
    lines, forms = np.empty((int(rows[-1]), 2), np.int32), _cache_lines(count)
    _pairs(team(), count, splats, extents, rows, each, tiles_x, tiles_y, forms, lines, counts)
    np.cumsum(counts[order], out=offsets[1:])
    pairs = int(offsets[-1])
    items, slots = np.empty(pairs, np.int32), np.empty(pairs, np.int32)
    ranges, begin = np.empty(views * tiles_x * tiles_y + 1, np.int64), np.zeros(views + 1, np.int64)
    ranges[-1] = pairs
    np.cumsum([len(one) for one in orders], out=begin[1 : len(orders) + 1])
    _sort_by_tile(team(), views, each, lines, order, begin, rows, rows[:-1, None], offsets, ranges, items, slots)
    stops = np.empty(len(ranges) - 1, np.int64)
    return Bins(order, offsets, ranges, items, slots, stops, extents, forms, _runs(ranges))


def _cache_lines(count: int) -> np.ndarray:
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
