"""Which splats lie over which tile on a GPU: depth sort of the splats, then a stable sort of their pairs by tile.

Frames of one size are binned together: the tiles of all are counted through, and their splats sorted as one.

No shape depends on the data but the room for the pairs, which `capacity` decides.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from macrosplat.render import constants
from macrosplat.render.capacity import current_buffer

TILE = 8  # px; a power of two, fewer waste less of a splat's corners (experiments: raster-tile)
BLOCK = 128  # splats or pairs a program
PAIR_BLOCK = 4  # splats a program that looks for their tiles: all wait for the one with most
LANES = 8  # tiles that it looks at of each in one go
TOGETHER = tl.constexpr(32)  # tiles of a splat that it looks at so; of wide splats the rest comes one splat at a time
BUCKET = 256  # pairs that a program of the backward pass takes at most, chunks of it (experiments: raster-buckets)
SEARCH = tl.constexpr(16)  # tiles a program looks for the beginning of, with as many probes a step
ALPHA_MIN = tl.constexpr(constants.ALPHA_MIN)
DEPTH, SPLAT = tl.constexpr(constants.DEPTH), tl.constexpr(constants.SPLAT)


@dataclass(frozen=True)
class Bins:
    """M (tile, splat) pairs, or room for them, of N splats over the tiles, frame by frame and row by row.

    A splat's rank is its place in `order`; where frames share their depths, `order` is that of the first one's splats,
    and the ranks of each further frame follow.
    """

    order: Tensor  # [N], or [N / frames]: splats, front to back; those that draw nothing come last
    offsets: Tensor  # [N + 1] where the pairs of a rank begin; may exceed M: those are dropped
    ranges: Tensor  # [tiles + 1] where the pairs of a tile begin, in tile order
    items: Tensor  # [M] the splat of a pair, in tile order
    slots: Tensor  # [M] the place of the same pair in the order of ranks
    stops: Tensor  # [tiles] written by the forward pass: behind which pair all light paths of a tile have ended
    owners: Tensor  # [M / bucket] likewise: which tile has a bucket (not its first), or -1
    states: Tensor  # [M / bucket, 5 tile^2] likewise: each pixel's light left, colour and depth so far where it begins
    tile: int  # px
    bucket: int  # pairs


@triton.jit(do_not_specialize=["n", "ordered"])
def _depth_keys(splats, extents, keys, n, ordered, BLOCK: tl.constexpr):
    """What the first `ordered` splats are sorted by, behind all others those that no frame draws."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < ordered
    depth = tl.load(splats + i * SPLAT + DEPTH, mask=inside, other=0.0)
    reach = tl.zeros([BLOCK], tl.float32)
    at = i
    while tl.min(at, 0) < n:
        reach = tl.maximum(reach, tl.load(extents + at * 2, mask=inside, other=0.0))
        at += ordered
    tl.store(keys + i, tl.where(reach > 0, depth, float("inf")), mask=inside)


@triton.jit
def splats_of(order, rank, inside, ordered):
    """Which splats have these ranks, of an order of so many that several frames may share."""
    lap = rank // ordered
    return tl.load(order + (rank - lap * ordered), mask=inside, other=0) + lap * ordered


@triton.jit
def _touches(mx, my, a, b, c, reach, left, right, top, bottom):
    """Whether the ellipse a dx^2 + 2 b dx dy + c dy^2 <= reach meets a rectangle: the form's exact minimum over it."""
    dx = tl.minimum(tl.maximum(mx, left), right) - mx
    dy = tl.minimum(tl.maximum(my, top), bottom) - my
    # A convex form takes its minimum on one of the two edges that face the centre.
    y = tl.minimum(tl.maximum(my - (b / c) * dx, top), bottom) - my
    x = tl.minimum(tl.maximum(mx - (b / a) * dy, left), right) - mx
    on_side = (dx != 0) & (a * dx * dx + 2 * b * dx * y + c * y * y <= reach)
    on_lid = (dy != 0) & (a * x * x + 2 * b * x * dy + c * dy * dy <= reach)
    return ((dx == 0) & (dy == 0)) | on_side | on_lid


@triton.jit
def _hits(at, boxes, wide, x_lo, y_lo, mx, my, a, b, c, reach, TILE: tl.constexpr):
    """Which of the tiles `at` of a splat's box it meets, and where these are."""
    line = at // wide
    tx, ty = x_lo + at - line * wide, y_lo + line
    left, top = (tx * TILE).to(tl.float32) + 0.5, (ty * TILE).to(tl.float32) + 0.5
    hit = (at < boxes) & _touches(mx, my, a, b, c, reach, left, left + (TILE - 1), top, top + (TILE - 1))
    return hit, tx, ty


@triton.jit
def _one(values, mine):
    """The number of a splat among those of all."""
    return tl.sum(tl.where(mine, values, 0), 0)


@triton.jit(do_not_specialize=["n", "ordered", "each", "capacity", "tiles_x", "tiles_y", "tiles"])
def _pairs(
    splats, extents, order, counts, offsets, keys, owners, needed, n, ordered, each, capacity, tiles_x, tiles_y, tiles,
    TILE: tl.constexpr, BLOCK: tl.constexpr, LANES: tl.constexpr, COUNT_ONLY: tl.constexpr,
):  # fmt: skip
    rank = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rank < n
    i = splats_of(order, rank, inside, ordered)
    ex = tl.load(extents + i * 2, mask=inside, other=0.0)
    ey = tl.load(extents + i * 2 + 1, mask=inside, other=0.0)
    drawn = inside & (ex > 0)
    row = splats + i * SPLAT
    mx, my = tl.load(row, mask=drawn, other=0.0), tl.load(row + 1, mask=drawn, other=0.0)
    a, b = tl.load(row + 2, mask=drawn, other=1.0), tl.load(row + 3, mask=drawn, other=0.0)
    c, opacity = tl.load(row + 4, mask=drawn, other=1.0), tl.load(row + 5, mask=drawn, other=1.0)
    reach = 2 * tl.log(opacity / ALPHA_MIN)
    # Held within the frame as floats: a wide splat's reach may be beyond an int.
    x_lo = tl.floor(tl.maximum(mx - ex, 0.0) / TILE).to(tl.int32)
    y_lo = tl.floor(tl.maximum(my - ey, 0.0) / TILE).to(tl.int32)
    x_hi = tl.floor(tl.minimum(tl.maximum((mx + ex) / TILE, -1.0), tiles_x - 1.0)).to(tl.int32)
    y_hi = tl.floor(tl.minimum(tl.maximum((my + ey) / TILE, -1.0), tiles_y - 1.0)).to(tl.int32)
    wide = tl.maximum(x_hi - x_lo + 1, 1)
    boxes = tl.where(drawn, tl.maximum(x_hi - x_lo + 1, 0) * tl.maximum(y_hi - y_lo + 1, 0), 0)
    slot = tl.zeros([BLOCK], tl.int64)
    frame = (i // each).to(tl.int32) * (tiles_x * tiles_y)
    if not COUNT_ONLY:
        slot = tl.load(offsets + rank, mask=inside, other=0)
    found = tl.zeros([BLOCK], tl.int32)
    most = tl.max(boxes, 0)
    k = 0
    while k < tl.minimum(most, TOGETHER):
        hit, tx, ty = _hits(
            k + tl.arange(0, LANES)[None, :], boxes[:, None], wide[:, None], x_lo[:, None], y_lo[:, None],
            mx[:, None], my[:, None], a[:, None], b[:, None], c[:, None], reach[:, None], TILE,
        )  # fmt: skip
        hits = hit.to(tl.int32)
        if not COUNT_ONLY:
            place = slot[:, None] + (found[:, None] + tl.cumsum(hits, 1) - hits)
            fits = hit & (place < capacity)
            tl.store(keys + place, (frame[:, None] + ty * tiles_x + tx).to(keys.dtype.element_ty), mask=fits)
            tl.store(owners + place, tl.broadcast_to(i.to(tl.int32)[:, None], [BLOCK, LANES]), mask=fits)
        found += tl.sum(hits, 1)
        k += LANES
    if most > TOGETHER:
        for j in range(BLOCK):
            mine = tl.arange(0, BLOCK) == j
            box, so_far, begin = _one(boxes, mine), _one(found, mine), _one(slot, mine)
            cells, left_cell, top_cell, base = _one(wide, mine), _one(x_lo, mine), _one(y_lo, mine), _one(frame, mine)
            owner = _one(i.to(tl.int32), mine)
            x, y, far = _one(mx, mine), _one(my, mine), _one(reach, mine)
            aa, bb, cc = _one(a, mine), _one(b, mine), _one(c, mine)
            k = TOGETHER
            while k < box:
                hit, tx, ty = _hits(
                    k + tl.arange(0, TOGETHER), box, cells, left_cell, top_cell, x, y, aa, bb, cc, far, TILE
                )
                hits = hit.to(tl.int32)
                if not COUNT_ONLY:
                    place = begin + (so_far + tl.cumsum(hits, 0) - hits)
                    fits = hit & (place < capacity)
                    tl.store(keys + place, (base + ty * tiles_x + tx).to(keys.dtype.element_ty), mask=fits)
                    tl.store(owners + place, tl.zeros([TOGETHER], tl.int32) + owner, mask=fits)
                so_far += tl.sum(hits, 0)
                k += TOGETHER
            found = tl.where(mine, so_far, found)
    if COUNT_ONLY:
        # One place further on: after summing up, an offset is where a splat begins.
        tl.store(counts + rank + 1, found, mask=inside)
        if tl.program_id(0) == 0:
            tl.store(counts, 0)
    else:
        used = tl.load(offsets + n)
        if tl.program_id(0) == 0:  # other views of the same step may write at the same time
            tl.atomic_max(needed, used)
        # Unused room sorts behind all tiles.
        start = used + tl.program_id(0) * (BLOCK * LANES)
        while start < capacity:
            place = start + tl.arange(0, BLOCK * LANES)
            unused = tl.full([BLOCK * LANES], 0, tl.int32) + tiles
            tl.store(keys + place, unused.to(keys.dtype.element_ty), mask=place < capacity)
            start += tl.num_programs(0) * (BLOCK * LANES)


@triton.jit(do_not_specialize=["capacity", "tiles"])
def _lists(keys, slots, owners, items, ranges, buckets, capacity, tiles, BLOCK: tl.constexpr, BUCKET: tl.constexpr):
    """The splat of every sorted pair, and by search where every tile's pairs begin."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < capacity
    used = inside & (tl.load(keys + place, mask=inside, other=0) < tiles)
    slot = tl.load(slots + place, mask=used, other=0)
    tl.store(items + place, tl.load(owners + slot, mask=used, other=0), mask=used)
    tl.store(buckets + place // BUCKET, tl.full([BLOCK], -1, tl.int32), mask=inside & (place % BUCKET == 0))
    if tl.program_id(0) * SEARCH <= tiles:
        tile = tl.program_id(0) * SEARCH + tl.arange(0, SEARCH)
        probe = tl.arange(1, SEARCH + 1)[None, :].to(tl.int64)
        low = tl.zeros([SEARCH], tl.int64)
        high = low + capacity
        while tl.max(high - low, 0) > 0:
            wide = high - low
            at = low[:, None] + wide[:, None] * probe // (SEARCH + 1)
            below = tl.load(keys + at, mask=(wide > 0)[:, None], other=0) < tile[:, None]
            below = tl.sum(below.to(tl.int32), 1)  # of the probes, which are in order
            high = tl.where(below < SEARCH, low + wide * (below + 1) // (SEARCH + 1), high)
            low = tl.where(below > 0, low + wide * below // (SEARCH + 1) + tl.where(wide > 0, 1, 0), low)
        tl.store(ranges + tile, low.to(tl.int32), mask=tile <= tiles)


def bin_splats(
    splats: Tensor, extents: Tensor, width: int, height: int, frames: int = 1, same_depths: bool = False
) -> Bins:
    """Bins of splats [N, 10] with extents [N, 2] over a width x height frame, or over several: the first N / frames
    splats lie in the first, and so on; with `same_depths` these have the depths of all others, too."""
    n, device = splats.shape[0], splats.device
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    tiles = frames * tiles_x * tiles_y
    each = max(n // frames, 1)
    ordered = max(n // frames if same_depths else n, 1)
    depths = torch.empty(min(n, ordered), device=device)
    _depth_keys[(max(triton.cdiv(ordered, BLOCK), 1),)](splats, extents, depths, n, min(n, ordered), BLOCK)
    order = torch.sort(depths, stable=True).indices
    counts = torch.empty(n + 1, dtype=torch.int32, device=device)
    blocks, sizes = (
        (max(triton.cdiv(n, PAIR_BLOCK), 1),),
        {"TILE": TILE, "BLOCK": PAIR_BLOCK, "LANES": LANES, "num_warps": 1},
    )
    frame = tiles_x, tiles_y, tiles
    nothing = (counts,) * 4
    _pairs[blocks](splats, extents, order, counts, *nothing, n, ordered, each, 0, *frame, COUNT_ONLY=True, **sizes)
    offsets = torch.cumsum(counts, 0, dtype=torch.int64)

    buffer = current_buffer()
    capacity = buffer.capacity if buffer else max(int(offsets[-1].item()), 1)
    needed = buffer.needed if buffer else torch.zeros(1, dtype=torch.int64, device=device)
    # Two passes of a radix sort for 16 bits, four for 32.
    keys = torch.empty(capacity, dtype=torch.int16 if tiles < 2**15 else torch.int32, device=device)
    owners = torch.empty(capacity, dtype=torch.int32, device=device)
    lists = (order, counts, offsets, keys, owners, needed)
    _pairs[blocks](splats, extents, *lists, n, ordered, each, capacity, *frame, COUNT_ONLY=False, **sizes)
    keys, slots = torch.sort(keys, stable=True)
    items = torch.empty(capacity, dtype=torch.int32, device=device)
    ranges = torch.empty(tiles + 1, dtype=torch.int32, device=device)
    programs = max(triton.cdiv(capacity, BLOCK), triton.cdiv(tiles + 1, SEARCH.value))
    buckets = torch.empty(triton.cdiv(capacity, BUCKET), dtype=torch.int32, device=device)
    _lists[(programs,)](keys, slots, owners, items, ranges, buckets, capacity, tiles, BLOCK, BUCKET)
    stops = torch.empty(tiles, dtype=torch.int32, device=device)
    states = splats.new_empty(len(buckets), 5 * TILE**2)
    return Bins(order, offsets, ranges, items, slots, stops, buckets, states, TILE, BUCKET)
