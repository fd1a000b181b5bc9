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
from macrosplat.render.camera import Plane
from macrosplat.render.capacity import current_buffer

TILE = 8  # px; a power of two, fewer waste less of a splat's corners (experiments: raster-tile)
BLOCK = 128  # splats or pairs a program
# Splats a program that counts their tiles, or writes them, so many of a row in one go; without fused operations, so
# that what is counted is what is written.
COUNTING = {"BLOCK": 32, "LANES": 1, "num_warps": 1, "enable_fp_fusion": False}
WRITING = {"BLOCK": 8, "LANES": 4, "num_warps": 1, "enable_fp_fusion": False}
LEAST = tl.constexpr(1e-12)  # of what rounding may make 0 of a needle
WIDER = tl.constexpr(1.001)  # of an ellipse, so that no row is cut short by rounding: what lies outside draws nothing
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

    order: Tensor  # [N], or [N / frames]: splats, front to back
    offsets: Tensor  # [N + 1] where the pairs of a rank begin; may exceed M: those are dropped
    ranges: Tensor  # [tiles + 1] where the pairs of a tile begin, in tile order
    items: Tensor  # [M] the splat of a pair, in tile order
    slots: Tensor  # [M] the place of the same pair in the order of ranks
    stops: Tensor  # [tiles] written by the forward pass: behind which pair all light paths of a tile have ended
    owners: Tensor  # [M / bucket] likewise: which tile has a bucket (not its first), or -1
    states: Tensor  # [M / bucket, 5 tile^2] likewise: each pixel's light left, colour and depth so far where it begins
    tile: int  # px
    bucket: int  # pairs


@triton.jit(do_not_specialize=["ordered"])
def _depth_keys(splats, keys, ordered, BLOCK: tl.constexpr):
    """What the first `ordered` splats are sorted by."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < ordered
    tl.store(keys + i, tl.load(splats + i * SPLAT + DEPTH, mask=inside, other=0.0), mask=inside)


@triton.jit
def splats_of(order, rank, inside, ordered):
    """Which splats have these ranks, of an order of so many that several frames may share."""
    lap = rank // ordered
    return tl.load(order + (rank - lap * ordered), mask=inside, other=0) + lap * ordered


@triton.jit
def _from(place, TILE: tl.constexpr):
    """The first tile that begins at these px or behind them, which may be beyond an int."""
    return tl.ceil(tl.minimum(tl.maximum(place / TILE, -1e6), 1e6)).to(tl.int32)


@triton.jit(do_not_specialize=["n", "ordered", "each", "capacity", "tiles_x", "tiles_y", "tiles"])
def _pairs(
    splats, extents, order, counts, offsets, keys, owners, needed, n, ordered, each, capacity, tiles_x, tiles_y, tiles,
    TILE: tl.constexpr, BLOCK: tl.constexpr, LANES: tl.constexpr, COUNT_ONLY: tl.constexpr,
):  # fmt: skip
    """How many tiles each splat meets, or who and which they are: through the rows of tiles of the ellipse's box."""
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
    # Held within the frame as floats: a wide splat's reach may be beyond an int.
    x_lo = tl.floor(tl.maximum(mx - ex, 0.0) / TILE).to(tl.int32)
    y_lo = tl.floor(tl.maximum(my - ey, 0.0) / TILE).to(tl.int32)
    x_hi = tl.floor(tl.minimum(tl.maximum((mx + ex) / TILE, -1.0), tiles_x - 1.0)).to(tl.int32)
    y_hi = tl.floor(tl.minimum(tl.maximum((my + ey) / TILE, -1.0), tiles_y - 1.0)).to(tl.int32)
    lines = tl.where(drawn & (x_hi >= x_lo), tl.maximum(y_hi - y_lo + 1, 0), 0)
    # At dy the ellipse spans mx - slope dy +- sqrt(span - q dy^2), farthest to the right at dy = far, to the left at
    # -far.
    inverse = 1.0 / a
    slope, span = b * inverse, (2 * WIDER) * tl.maximum(tl.log(opacity / ALPHA_MIN), 0.0) * inverse
    q = (c - b * slope) * inverse
    steep = tl.maximum(q, LEAST)
    far = -slope * tl.sqrt(span / (steep * (steep + slope * slope)))
    tile = (i // each).to(tl.int32) * (tiles_x * tiles_y) + y_lo * tiles_x
    found = tl.zeros([BLOCK], tl.int32)
    place, end = tl.zeros([BLOCK], tl.int64), tl.zeros([BLOCK], tl.int64)
    owner = i.to(tl.int32)[:, None] + tl.zeros([1, LANES], tl.int32)
    if not COUNT_ONLY:
        place = tl.load(offsets + rank, mask=inside, other=0)
        end = tl.minimum(tl.load(offsets + rank + 1, mask=inside, other=0), capacity)
    most = tl.max(lines, 0)
    k = 0
    while k < most:
        top = ((y_lo + k) * TILE).to(tl.float32) + 0.5 - my  # of the row's first and last pixels' middles
        bottom = top + (TILE - 1)
        nearest = tl.maximum(tl.maximum(top, -bottom), 0.0)
        right, left = tl.minimum(tl.maximum(far, top), bottom), tl.minimum(tl.maximum(-far, top), bottom)
        last = mx - slope * right + tl.sqrt(tl.maximum(span - q * right * right, 0.0))
        first = mx - slope * left - tl.sqrt(tl.maximum(span - q * left * left, 0.0))
        # A tile's middles reach from its edge + 1/2 to the next one's - 1/2.
        begin = tl.maximum(_from(first + (0.5 - TILE), TILE), x_lo)
        count = tl.minimum(_from(last - 0.5, TILE), x_hi + 1) - begin
        count = tl.where((k < lines) & (q * nearest * nearest <= span), tl.maximum(count, 0), 0)
        if not COUNT_ONLY:
            widest = tl.max(count, 0)
            key = tile + begin
            j = 0
            while j < widest:
                at = j + tl.arange(0, LANES)[None, :]
                to = place[:, None] + at
                fits = (at < count[:, None]) & (to < end[:, None])
                tl.store(keys + to, (key[:, None] + at).to(keys.dtype.element_ty), mask=fits)
                tl.store(owners + to, owner, mask=fits)
                j += LANES
            place += count
            tile += tiles_x
        found += count
        k += 1
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
            rest = start + tl.arange(0, BLOCK * LANES)
            unused = tl.full([BLOCK * LANES], 0, tl.int32) + tiles
            tl.store(keys + rest, unused.to(keys.dtype.element_ty), mask=rest < capacity)
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


def _order(splats: Tensor, count: int) -> Tensor:
    """[count] the first so many splats, front to back."""
    depths = torch.empty(count, device=splats.device)
    _depth_keys[(max(triton.cdiv(count, BLOCK), 1),)](splats, depths, count, BLOCK)
    return torch.sort(depths, stable=True).indices


def bin_splats(
    splats: Tensor, extents: Tensor, width: int, height: int, frames: int = 1, plane: Plane | None = None
) -> Bins:
    """Bins of splats [N, 10] with extents [N, 2] over a width x height frame, or over several: the first N / frames
    splats lie in the first, and so on; of one `plane` these have the depths of all others, too."""
    n, device = splats.shape[0], splats.device
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    tiles = frames * tiles_x * tiles_y
    each = max(n // frames, 1)
    ordered = max(n // frames if plane else n, 1)
    order = plane.order if plane else None
    if order is None:
        order = _order(splats, min(n, ordered))
        if plane:
            plane.order = order
    assert len(order) == min(n, ordered), "one scene is drawn in a plane"
    counts = torch.empty(n + 1, dtype=torch.int32, device=device)
    counting, writing = ((max(triton.cdiv(n, sizes["BLOCK"]), 1),) for sizes in (COUNTING, WRITING))
    frame = tiles_x, tiles_y, tiles
    nothing = (counts,) * 4
    numbers = n, ordered, each
    _pairs[counting](
        splats, extents, order, counts, *nothing, *numbers, 0, *frame, TILE=TILE, COUNT_ONLY=True, **COUNTING
    )
    offsets = torch.cumsum(counts, 0, dtype=torch.int64)

    buffer = current_buffer()
    capacity = buffer.capacity if buffer else max(int(offsets[-1].item()), 1)
    needed = buffer.needed if buffer else torch.zeros(1, dtype=torch.int64, device=device)
    # Two passes of a radix sort for 16 bits, four for 32.
    keys = torch.empty(capacity, dtype=torch.int16 if tiles < 2**15 else torch.int32, device=device)
    owners = torch.empty(capacity, dtype=torch.int32, device=device)
    lists = (order, counts, offsets, keys, owners, needed)
    _pairs[writing](splats, extents, *lists, *numbers, capacity, *frame, TILE=TILE, COUNT_ONLY=False, **WRITING)
    keys, slots = torch.sort(keys, stable=True)
    items = torch.empty(capacity, dtype=torch.int32, device=device)
    ranges = torch.empty(tiles + 1, dtype=torch.int32, device=device)
    programs = max(triton.cdiv(capacity, BLOCK), triton.cdiv(tiles + 1, SEARCH.value))
    buckets = torch.empty(triton.cdiv(capacity, BUCKET), dtype=torch.int32, device=device)
    _lists[(programs,)](keys, slots, owners, items, ranges, buckets, capacity, tiles, BLOCK, BUCKET)
    stops = torch.empty(tiles, dtype=torch.int32, device=device)
    states = splats.new_empty(len(buckets), 5 * TILE**2)
    return Bins(order, offsets, ranges, items, slots, stops, buckets, states, TILE, BUCKET)
