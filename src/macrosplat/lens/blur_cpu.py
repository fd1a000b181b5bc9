"""The blur ladder on a CPU.

Inside, channels lie in planes [M, C, H, W], and the ladder is climbed with two planes: each level is added to the
result where its weight is not zero, then only serves to make the next one. The derivative with respect to sigma
is gathered on the way, so that no level has to be kept. The frame is mirrored at its borders (the edge pixel
repeated): then every filter is its own adjoint, and the backward pass is the same ladder walked down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from macrosplat.lens.blur_about_cpu import descend_about, mean_about, sigma_gradient_about
from macrosplat.lens.blur_apart_cpu import climb_apart, descend_apart
from macrosplat.lens.blur_rows_cpu import ROWS, RUN, filter_row, look_up, weigh
from macrosplat.lens.ladder import ENTRIES, LEVELS, PAIRS, SIGMA_HALF, SIGMA_MAX, coordinate, ladder
from macrosplat.lens.planes_cpu import as_frames, in_planes, read, write
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

KEPT = 2**25  # bytes of a plane (1670 x 1670 px in colour) up to which scratch is kept between calls
TOGETHER = 2**17  # px of frames that take a level at the same time: two planes of them stay in L2

_COORDINATE_MAX = np.float32(coordinate(SIGMA_MAX))


class _Tables:
    """The ladder in float32, as the kernels read it."""

    def __init__(self):
        numbers = ladder()
        self.strides = [int(s) for s in numbers.strides]
        self.taps = numbers.taps.astype(np.float32)
        self.weights = numbers.weights.astype(np.float32)
        self.support = numbers.support.astype(np.float32)


_tables: _Tables | None = None
_workspace: list[np.ndarray] = []


def _get_tables() -> _Tables:
    global _tables
    if _tables is None:
        _tables = _Tables()
    return _tables


def _planes(shape: tuple[int, int, int, int]) -> list[np.ndarray]:
    """Three planes of scratch, kept for the next call of the same size. Only under the kernel lock."""
    global _workspace
    if not _workspace or _workspace[0].shape != shape:
        _workspace = [np.empty(shape, np.float32) for _ in range(3)]
    planes = _workspace
    if planes[0].nbytes > KEPT:
        _workspace = []
    return planes


@njit(part=True)
def _mean_some(begin, end, planes, part, added, frame):
    """The mean of planes [M, C, H, W], as a frame [H, W, C]; `added` to what that holds."""
    count, channels, _, width = planes.shape
    line = np.empty(width, np.float32)
    for y in range(begin, end):
        for c in range(channels):
            line[:] = planes[0, c, y]
            for m in range(1, count):
                source = planes[m, c, y]
                for x in range(width):
                    line[x] += source[x]
            target = frame[y, :, c]
            if added:
                for x in range(width):
                    target[x] += part * line[x]
            else:
                for x in range(width):
                    target[x] = part * line[x]


@njit
def _mean(team, count, *arguments):
    spread(_mean_some, team, count, arguments)


@njit(part=True)
def _locate_some(begin, end, sigma, which, entries, rest, lowest, highest):
    """Entries of the table and the rest of each coordinate, and the range of those in every run of a row; of rows of
    sigma [M, :, H, W]."""
    height, width = sigma.shape[2:]
    for at in range(begin, end):
        wide, entry, beyond = sigma[at // height, which, at % height], entries[at], rest[at]
        for run in range(lowest.shape[1]):
            start = run * RUN
            stop = min(start + RUN, width)
            low = _COORDINATE_MAX
            high = np.float32(0.0)
            for x in range(start, stop):
                s = wide[x]
                v = np.float32(ENTRIES) * s / (s + np.float32(SIGMA_HALF))
                # A sigma that is no number reads the table at 0; `_climb` lets it through to the result.
                v = v if v > np.float32(0.0) else np.float32(0.0)
                v = v if v < _COORDINATE_MAX else _COORDINATE_MAX
                i = np.int32(v)
                entry[x] = i
                beyond[x] = v - np.float32(i)
                low = min(low, v)
                high = max(high, v)
            lowest[at, run] = low
            highest[at, run] = high


@njit
def _locate(team, count, *arguments):
    spread(_locate_some, team, count, arguments)


@njit(part=True)
def _climb_some(
    begin, end, below, level, taps, stride, sigma, which, entries, rest, lowest, highest, table, support, blurred,
    slopes,
):  # fmt: skip
    """Makes a level of M frames (stride 0: it is `below` itself) and adds its share to the result and its derivative.

    entries, rest, lowest and highest, of sigma [M, which, H, W], have the frames' rows one below the other.
    """
    _, channels, height, width = below.shape
    with_slopes = slopes.shape[0] > 0
    blocks = (height + ROWS - 1) // ROWS
    for task in range(begin, end):
        m, block = task // blocks, task % blocks
        padded = np.empty(width + 2 * PAIRS * stride, np.float32)
        weight = np.empty(RUN, np.float32)
        slope = np.empty(RUN, np.float32)
        for y in range(block * ROWS, min(block * ROWS + ROWS, height)):
            at = m * height + y
            if stride > 0:
                for c in range(channels):
                    filter_row(below[m, c], y, taps, stride, padded, level[m, c, y])
            else:
                for c in range(channels):
                    for x in range(width):
                        blurred[m, c, y, x] = np.float32(0.0) * sigma[m, which, y, x]
                    if with_slopes:
                        slopes[m, c, y, :] = np.float32(0.0)
            for run in range(lowest.shape[1]):
                if highest[at, run] < support[0] or lowest[at, run] > support[1]:
                    continue
                start = run * RUN
                stop = min(start + RUN, width)
                look_up(entries[at, start:stop], rest[at, start:stop], table, weight, slope)
                for c in range(channels):
                    source = level[m, c, y, start:stop]
                    target = blurred[m, c, y, start:stop]
                    for x in range(stop - start):
                        target[x] += weight[x] * source[x]
                    if with_slopes:
                        target = slopes[m, c, y, start:stop]
                        for x in range(stop - start):
                            target[x] += slope[x] * source[x]


@njit
def _climb(team, count, *arguments):
    spread(_climb_some, team, count, arguments)


@njit(part=True)
def _descend_some(begin, end, above, level, taps, stride, entries, rest, lowest, highest, table, support, gradient):
    """Gradient of a level: what the level above (stride 0: none) passes down, and its own share of the result, whose
    gradient [C, H, W] is that of M frames alike."""
    _, channels, height, width = level.shape
    blocks = (height + ROWS - 1) // ROWS
    for task in range(begin, end):
        m, block = task // blocks, task % blocks
        padded = np.empty(width + 2 * PAIRS * stride, np.float32)
        weight = np.empty(RUN, np.float32)
        for y in range(block * ROWS, min(block * ROWS + ROWS, height)):
            at = m * height + y
            for c in range(channels):
                if stride > 0:
                    filter_row(above[m, c], y, taps, stride, padded, level[m, c, y])
                else:
                    level[m, c, y, :] = np.float32(0.0)
            for run in range(lowest.shape[1]):
                if highest[at, run] < support[0] or lowest[at, run] > support[1]:
                    continue
                start = run * RUN
                stop = min(start + RUN, width)
                weigh(entries[at, start:stop], rest[at, start:stop], table, weight)
                for c in range(channels):
                    source = gradient[0, c, y, start:stop]
                    target = level[m, c, y, start:stop]
                    for x in range(stop - start):
                        target[x] += weight[x] * source[x]


@njit
def _descend(team, count, *arguments):
    spread(_descend_some, team, count, arguments)


@njit(part=True)
def _sigma_gradient_some(begin, end, gradient, slopes, entries, rest, result):
    """Of M frames, or of their channels if each has its own; their rows lie one below the other in `entries`, `rest`
    and the result."""
    frames, channels, height, width = slopes.shape
    each = rest.shape[0] // (frames * height)
    for at in range(begin, end):
        plane, y = at // height, at % height
        m, k = plane // each, plane % each
        row = result[at]
        row[:] = np.float32(0.0)
        for c in range(k, channels if each == 1 else k + 1):
            g = gradient[0, c, y]
            s = slopes[m, c, y]
            for x in range(width):
                row[x] += g[x] * s[x]
        for x in range(width):
            v = np.float32(entries[at, x]) + rest[at, x]
            left = np.float32(1.0) - v * np.float32(1.0 / ENTRIES)
            inside = np.float32(1.0) if v < _COORDINATE_MAX else np.float32(0.0)
            row[x] *= inside * np.float32(ENTRIES / SIGMA_HALF) * left * left


@njit
def _sigma_gradient(team, count, *arguments):
    spread(_sigma_gradient_some, team, count, arguments)


def _levels_used(highest: np.ndarray, tables: _Tables) -> int:
    top = highest.max()
    return max(k for k in range(LEVELS) if tables.support[k, 0] <= top) + 1


def _parts(frames: int, height: int, width: int) -> list[slice]:
    """Frames that take a level at the same time: waking threads for each takes longer than a small one."""
    each = max(1, min(frames, TOGETHER // (height * width)))
    return [slice(first, min(first + each, frames)) for first in range(0, frames, each)]


def forward(sharp: torch.Tensor, sigma: torch.Tensor, with_slopes: bool, pivot: int | None = None):
    """From sharp [M, H, W, C] and sigma [M, H, W] or [M, H, W, C]: returns the mean of the blurred [H, W, C], and what
    `backward` needs."""
    count, height, width, channels = sharp.shape
    blurred, saved = torch.empty(height, width, channels), []
    sigmas = sigma.contiguous().numpy()[:, None] if sigma.ndim == 3 else read(sigma)
    for part in _parts(count, height, width):
        with kernel_lock:
            result, kept = _some(sharp[part], sigmas[part], with_slopes, pivot)
            into = np.float32(1.0 / count), bool(saved), blurred.numpy()
            if pivot is None:
                _mean(team(), height, result, *into)
            else:
                mean_about(
                    team(), height, result, kept.slopes, sigmas[part], pivot, kept.entries, kept.rest, kept.apart, *into
                )
        saved.append(kept)
    return blurred, (saved, in_planes(sharp) is not None)


def each(sharp: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """From sharp [M, H, W, C] and sigma [M, H, W] or [M, H, W, C]: the blurred [M, H, W, C]."""
    return torch.stack([forward(*frame, False)[0] for frame in zip(sharp.split(1), sigma.split(1), strict=True)])


@dataclass(frozen=True)
class _Saved:
    """What the way down needs of some frames. Rows of the table's coordinates lie one below the other: those of each
    frame, or of each of its channels where they have sigmas of their own."""

    frames: int
    entries: np.ndarray  # [R, W]
    rest: np.ndarray  # [R, W]
    lowest: np.ndarray  # [R, runs]
    highest: np.ndarray  # [R, runs]
    levels: int
    slopes: np.ndarray  # [M, C, H, W], or none of them
    pivot: int | None
    apart: np.ndarray  # [M, C, H, W] how far a channel's coordinate lies from the pivot's, or none of them


def _some(sharp: torch.Tensor, sigma: np.ndarray, with_slopes: bool, pivot: int | None) -> tuple[np.ndarray, _Saved]:
    """Blurred [M, C, H, W], which the next call overwrites, by sigma [M, 1, H, W] or [M, C, H, W]."""
    count, height, width, channels = sharp.shape
    runs, about = (width + RUN - 1) // RUN, pivot is not None
    sigma, which = (sigma, pivot) if about else (sigma.reshape(-1, 1, height, width), 0)
    rows = len(sigma) * height
    entries, rest = np.empty((rows, width), np.uint16), np.empty((rows, width), np.float32)
    lowest, highest = np.empty((2, rows, runs), np.float32)
    shape = count, channels, height, width
    slopes = np.empty(shape if with_slopes or about else (0, *shape[1:]), np.float32)
    tables = _get_tables()
    spare, level, result = _planes(shape)
    below = read(sharp, spare)
    _locate(team(), rows, sigma, which, entries, rest, lowest, highest)
    levels, tasks = _levels_used(highest, tables), count * -(-height // ROWS)
    for k in range(levels):
        rung = (tables.taps[k], tables.strides[k]) if k > 0 else (tables.taps[0], 0)
        made = level if k > 0 else below
        where = (entries, rest, lowest, highest, tables.weights[k], tables.support[k])
        if rows == count * height:
            _climb(team(), tasks, below, made, *rung, sigma, which, *where, result, slopes)
        else:
            climb_apart(team(), tasks, below, made, *rung, sigma, *where, result, slopes)
        if k > 0:
            below, level = level, spare if k == 1 else below
    apart = np.empty(shape if about else (0, *shape[1:]), np.float32)
    return result, _Saved(count, entries, rest, lowest, highest, levels, slopes, pivot, apart)


def backward(gradient: torch.Tensor, saved, sharp_wanted: bool, sigma_wanted: bool):
    """From the mean's gradient [H, W, C]: those of sharp [M, H, W, C] and sigma, of its shape (None where not
    wanted)."""
    saved, planes = saved
    height, width, channels = gradient.shape
    frames = sum(one.frames for one in saved)
    each = channels if saved[0].pivot is not None else len(saved[0].rest) // (saved[0].frames * height)
    shape = (frames, channels, height, width) if planes else (frames, height, width, channels)
    sharp_gradient = np.empty(shape, np.float32) if sharp_wanted else None
    sigma_gradient = np.empty((frames, each, height, width), np.float32) if sigma_wanted else None
    with kernel_lock:
        given = read((gradient / frames if frames > 1 else gradient)[None])
        first = 0
        for one in saved:
            part = slice(first, first + one.frames)
            if sigma_gradient is not None:
                found, by = sigma_gradient[part], (given, one.slopes, one.entries, one.rest)
                if one.pivot is None:
                    rows = found.reshape(-1, width)
                    _sigma_gradient(team(), len(rows), *by, rows)
                else:
                    sigma_gradient_about(team(), one.frames * height, *by, one.apart, found)
            if sharp_gradient is not None:
                _some_back(given, one, sharp_gradient[part], planes)
            first += one.frames
    return (
        None if sharp_gradient is None else as_frames(sharp_gradient) if planes else torch.from_numpy(sharp_gradient),
        None
        if sigma_gradient is None
        else as_frames(sigma_gradient)
        if each > 1
        else torch.from_numpy(sigma_gradient)[:, 0],
    )


def _some_back(gradient: np.ndarray, saved: _Saved, found: np.ndarray, planes: bool) -> None:
    """Gradient of sharp, into `found` [M, C, H, W] or [M, H, W, C], by that of each of them alike [1, C, H, W]."""
    channels, height, width = gradient.shape[1:]
    count, levels = len(found), saved.levels
    tables = _get_tables()
    above, level, _ = _planes((count, channels, height, width))
    tasks = count * -(-height // ROWS)
    for k in range(levels - 1, -1, -1):
        rung = (tables.taps[k + 1], tables.strides[k + 1]) if k + 1 < levels else (tables.taps[0], 0)
        where = (saved.entries, saved.rest, saved.lowest, saved.highest, tables.weights[k], tables.support[k])
        made = found if k == 0 and planes else level
        if saved.pivot is not None:
            descend_about(team(), tasks, above, made, *rung, *where, gradient, saved.apart)
        elif len(saved.rest) == count * height:
            _descend(team(), tasks, above, made, *rung, *where, gradient)
        else:
            descend_apart(team(), tasks, above, made, *rung, *where, gradient)
        above, level = made, above
    if not planes:
        write(above, found)
