"""The blur ladder on a CPU.

Inside, channels lie in planes [M, C, H, W], and the ladder is climbed with two planes: each level is added to the
result where its weight is not zero, then only serves to make the next one. The derivative with respect to sigma
is gathered on the way, so that no level has to be kept. The frame is mirrored at its borders (the edge pixel
repeated): then every filter is its own adjoint, and the backward pass is the same ladder walked down.
"""

from __future__ import annotations

import numpy as np
import torch

from macrosplat.lens.blur_apart_cpu import climb_apart, descend_apart
from macrosplat.lens.blur_rows_cpu import ROWS, RUN, filter_row, look_up
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
def _locate_some(begin, end, sigma, coordinates, lowest, highest):
    """Table coordinates, and their range in every run of a row; of rows [R, W]."""
    _, width = sigma.shape
    for y in range(begin, end):
        for run in range(lowest.shape[1]):
            start = run * RUN
            stop = min(start + RUN, width)
            low = _COORDINATE_MAX
            high = np.float32(0.0)
            for x in range(start, stop):
                s = sigma[y, x]
                v = np.float32(ENTRIES) * s / (s + np.float32(SIGMA_HALF))
                # A sigma that is no number reads the table at 0; `_climb` lets it through to the result.
                v = v if v > np.float32(0.0) else np.float32(0.0)
                v = v if v < _COORDINATE_MAX else _COORDINATE_MAX
                coordinates[y, x] = v
                low = min(low, v)
                high = max(high, v)
            lowest[y, run] = low
            highest[y, run] = high


@njit
def _locate(team, count, *arguments):
    spread(_locate_some, team, count, arguments)


@njit(part=True)
def _climb_some(
    begin, end, below, level, taps, stride, sigma, coordinates, lowest, highest, table, support, blurred, slopes
):
    """Makes a level of M frames (stride 0: it is `below` itself) and adds its share to the result and its derivative.

    sigma, coordinates, lowest and highest have the frames' rows one below the other.
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
                        blurred[m, c, y, x] = np.float32(0.0) * sigma[at, x]
                    if with_slopes:
                        slopes[m, c, y, :] = np.float32(0.0)
            for run in range(lowest.shape[1]):
                if highest[at, run] < support[0] or lowest[at, run] > support[1]:
                    continue
                start = run * RUN
                stop = min(start + RUN, width)
                look_up(coordinates[at, start:stop], table, weight, slope)
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
def _descend_some(begin, end, above, level, taps, stride, coordinates, lowest, highest, table, support, gradient):
    """Gradient of a level: what the level above (stride 0: none) passes down, and its own share of the result, whose
    gradient [C, H, W] is that of M frames alike."""
    _, channels, height, width = level.shape
    blocks = (height + ROWS - 1) // ROWS
    for task in range(begin, end):
        m, block = task // blocks, task % blocks
        padded = np.empty(width + 2 * PAIRS * stride, np.float32)
        weight = np.empty(RUN, np.float32)
        slope = np.empty(RUN, np.float32)
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
                look_up(coordinates[at, start:stop], table, weight, slope)
                for c in range(channels):
                    source = gradient[0, c, y, start:stop]
                    target = level[m, c, y, start:stop]
                    for x in range(stop - start):
                        target[x] += weight[x] * source[x]


@njit
def _descend(team, count, *arguments):
    spread(_descend_some, team, count, arguments)


@njit(part=True)
def _sigma_gradient_some(begin, end, gradient, slopes, coordinates, result):
    """Of M frames, or of their channels if each has its own; their rows lie one below the other in `coordinates` and in
    the result."""
    frames, channels, height, width = slopes.shape
    each = coordinates.shape[0] // (frames * height)
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
            v = coordinates[at, x]
            rest = np.float32(1.0) - v * np.float32(1.0 / ENTRIES)
            inside = np.float32(1.0) if v < _COORDINATE_MAX else np.float32(0.0)
            row[x] *= inside * np.float32(ENTRIES / SIGMA_HALF) * rest * rest


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
            result, kept = _some(sharp[part], sigmas[part], with_slopes, -1 if pivot is None else pivot)
            _mean(team(), height, result, np.float32(1.0 / count), bool(saved), blurred.numpy())
        saved.append(kept)
    return blurred, (saved, in_planes(sharp) is not None)


def _some(sharp: torch.Tensor, sigma: np.ndarray, with_slopes: bool, pivot: int):
    """Blurred [M, C, H, W], which the next call overwrites, and what `_some_back` needs."""
    count, height, width, channels = sharp.shape
    each, runs = sigma.shape[1], (width + RUN - 1) // RUN
    sigma = sigma.reshape(-1, width)
    coordinates = np.empty(sigma.shape, np.float32)
    lowest, highest = np.empty((2, len(sigma), runs), np.float32)
    slopes = np.empty((count if with_slopes else 0, channels, height, width), np.float32)
    tables = _get_tables()
    spare, level, result = _planes((count, channels, height, width))
    below = read(sharp, spare)
    _locate(team(), len(sigma), sigma, coordinates, lowest, highest)
    telling = highest.reshape(count, each, height, runs)
    levels, tasks = _levels_used(telling if pivot < 0 else telling[:, pivot], tables), count * -(-height // ROWS)
    for k in range(levels):
        rung = (tables.taps[k], tables.strides[k]) if k > 0 else (tables.taps[0], 0)
        made = level if k > 0 else below
        where = (sigma, coordinates, lowest, highest, tables.weights[k], tables.support[k])
        if each == 1:
            _climb(team(), tasks, below, made, *rung, *where, result, slopes)
        else:
            climb_apart(team(), tasks, below, made, *rung, pivot, *where, result, slopes)
        if k > 0:
            below, level = level, spare if k == 1 else below
    return result, (coordinates, lowest, highest, pivot, levels, slopes)


def backward(gradient: torch.Tensor, saved, sharp_wanted: bool, sigma_wanted: bool):
    """From the mean's gradient [H, W, C]: those of sharp [M, H, W, C] and sigma, of its shape (None where not
    wanted)."""
    saved, planes = saved
    height, width, channels = gradient.shape
    counts = [len(one[-1]) if len(one[-1]) else len(one[0]) // height for one in saved]
    each = len(saved[0][0]) // (counts[0] * height)
    frames = sum(counts)
    shape = (frames, channels, height, width) if planes else (frames, height, width, channels)
    sharp_gradient = np.empty(shape, np.float32) if sharp_wanted else None
    sigma_gradient = np.empty((frames, each, height, width), np.float32) if sigma_wanted else None
    with kernel_lock:
        given = read((gradient / frames if frames > 1 else gradient)[None])
        first = 0
        for count, one in zip(counts, saved, strict=True):
            part = slice(first, first + count)
            if sigma_gradient is not None:
                rows = sigma_gradient[part].reshape(-1, width)
                _sigma_gradient(team(), len(rows), given, one[-1], one[0], rows)
            if sharp_gradient is not None:
                _some_back(given, one, sharp_gradient[part], planes)
            first += count
    return (
        None if sharp_gradient is None else as_frames(sharp_gradient) if planes else torch.from_numpy(sharp_gradient),
        None
        if sigma_gradient is None
        else as_frames(sigma_gradient)
        if each > 1
        else torch.from_numpy(sigma_gradient)[:, 0],
    )


def _some_back(gradient: np.ndarray, saved, found: np.ndarray, planes: bool) -> None:
    """Gradient of sharp, into `found` [M, C, H, W] or [M, H, W, C], by that of each of them alike [1, C, H, W]."""
    coordinates, lowest, highest, pivot, levels, _ = saved
    channels, height, width = gradient.shape[1:]
    count = len(found)
    tables = _get_tables()
    above, level, _ = _planes((count, channels, height, width))
    tasks = count * -(-height // ROWS)
    for k in range(levels - 1, -1, -1):
        rung = (tables.taps[k + 1], tables.strides[k + 1]) if k + 1 < levels else (tables.taps[0], 0)
        where = (coordinates, lowest, highest, tables.weights[k], tables.support[k])
        made = found if k == 0 and planes else level
        if len(coordinates) == count * height:
            _descend(team(), tasks, above, made, *rung, *where, gradient)
        else:
            descend_apart(team(), tasks, above, made, *rung, pivot, *where, gradient)
        above, level = made, above
    if not planes:
        write(above, found)
