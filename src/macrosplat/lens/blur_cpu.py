"""The blur ladder on a CPU.

Inside, channels lie in planes [M, C, H, W], and the ladder is climbed with two planes: each level is added to the
result where its weight is not zero, then only serves to make the next one. The derivative with respect to sigma
is gathered on the way, so that no level has to be kept. The frame is mirrored at its borders (the edge pixel
repeated): then every filter is its own adjoint, and the backward pass is the same ladder walked down.
"""

from __future__ import annotations

import numpy as np
import torch

from macrosplat.lens.ladder import ENTRIES, LEVELS, PAIRS, SIGMA_HALF, SIGMA_MAX, coordinate, ladder
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

ROWS = 8  # rows a thread takes at a time: their scratch stays in L1, and 600 rows still split evenly
RUN = 64  # px of a row that share the decision whether a level is used: 4 AVX-512 vectors
KEPT = 2**25  # bytes of a plane (1670 x 1670 px in colour) up to which scratch is kept between calls
TOGETHER = 2**19  # px of frames that take a level at the same time: two planes of them stay in L3

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


@njit(inner=True)
def mirror(i, n):
    """The pixel that stands for pixel i outside 0 ... n - 1."""
    i = i % (2 * n)
    return i if i < n else 2 * n - 1 - i


@njit(inner=True)
def _filter_row(plane, y, taps, stride, padded, row):
    """One row of the separable filter: down the columns into `padded`, then along it into `row`."""
    height, width = plane.shape
    reach = PAIRS * stride
    t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
    inner = padded[reach : reach + width]
    # Seven rows read and one written: LLVM vectorises only where it has few overlaps of arrays to rule out.
    a0 = plane[y]
    a1, b1 = plane[mirror(y - stride, height)], plane[mirror(y + stride, height)]
    a2, b2 = plane[mirror(y - 2 * stride, height)], plane[mirror(y + 2 * stride, height)]
    a3, b3 = plane[mirror(y - 3 * stride, height)], plane[mirror(y + 3 * stride, height)]
    for x in range(width):
        inner[x] = t0 * a0[x] + t1 * (a1[x] + b1[x]) + t2 * (a2[x] + b2[x]) + t3 * (a3[x] + b3[x])
    for i in range(reach):
        padded[i] = inner[mirror(i - reach, width)]
        padded[reach + width + i] = inner[mirror(width + i, width)]
    a1, b1 = padded[reach - stride :], padded[reach + stride :]
    a2, b2 = padded[reach - 2 * stride :], padded[reach + 2 * stride :]
    a3, b3 = padded[reach - 3 * stride :], padded[reach + 3 * stride :]
    for x in range(width):
        row[x] = t0 * inner[x] + t1 * (a1[x] + b1[x]) + t2 * (a2[x] + b2[x]) + t3 * (a3[x] + b3[x])


@njit(inner=True)
def _look_up(coordinates, table, weight, slope):
    for x in range(coordinates.shape[0]):
        v = coordinates[x]
        i = np.uint32(v)
        a = table[i]
        d = table[i + np.uint32(1)] - a
        weight[x] = a + (v - np.float32(i)) * d
        slope[x] = d


@njit(part=True)
def _read_some(begin, end, frames, planes):
    """[M, H, W, C] to [M, C, H, W]"""
    _, height, width, channels = frames.shape
    for line in range(begin, end):
        m, y = line // height, line % height
        for c in range(channels):
            source = frames[m, y, :, c]
            target = planes[m, c, y]
            for x in range(width):
                target[x] = source[x]


@njit
def _read(team, count, *arguments):
    spread(_read_some, team, count, arguments)


@njit(part=True)
def _write_some(begin, end, planes, frames):
    """[M, C, H, W] to [M, H, W, C]"""
    _, height, width, channels = frames.shape
    for line in range(begin, end):
        m, y = line // height, line % height
        for c in range(channels):
            source = planes[m, c, y]
            target = frames[m, y, :, c]
            for x in range(width):
                target[x] = source[x]


@njit
def _write(team, count, *arguments):
    spread(_write_some, team, count, arguments)


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
                    _filter_row(below[m, c], y, taps, stride, padded, level[m, c, y])
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
                _look_up(coordinates[at, start:stop], table, weight, slope)
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
                    _filter_row(above[m, c], y, taps, stride, padded, level[m, c, y])
                else:
                    level[m, c, y, :] = np.float32(0.0)
            for run in range(lowest.shape[1]):
                if highest[at, run] < support[0] or lowest[at, run] > support[1]:
                    continue
                start = run * RUN
                stop = min(start + RUN, width)
                _look_up(coordinates[at, start:stop], table, weight, slope)
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
    """Of M frames, whose rows lie one below the other in `coordinates` and in the result."""
    _, channels, height, width = slopes.shape
    for at in range(begin, end):
        m, y = at // height, at % height
        row = result[at]
        row[:] = np.float32(0.0)
        for c in range(channels):
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


def _together(frames: int, height: int, width: int) -> int:
    """How many frames take a level at the same time: waking threads for each takes longer than a small one."""
    return max(1, min(frames, TOGETHER // (height * width)))


def forward(sharp: torch.Tensor, sigma: torch.Tensor, with_slopes: bool):
    """From sharp [M, H, W, C] and sigma [M, H, W]: returns the mean of the blurred [H, W, C], and what `backward`
    needs."""
    each = _together(*sigma.shape)
    parts = zip(sharp.split(each), sigma.split(each), strict=True)
    blurred, saved = zip(*(_some(*part, with_slopes) for part in parts), strict=True)
    return (blurred[0][0] if len(sharp) == 1 else torch.cat(blurred).mean(0)), saved


def _some(sharp: torch.Tensor, sigma: torch.Tensor, with_slopes: bool):
    """Blurred [M, H, W, C], and what `_some_back` needs."""
    count, height, width, channels = sharp.shape
    runs = (width + RUN - 1) // RUN
    blurred = torch.empty_like(sharp)
    sigma_array = sigma.numpy().reshape(-1, width)
    coordinates = np.empty((count * height, width), np.float32)
    lowest, highest = np.empty((2, count * height, runs), np.float32)
    slopes = np.empty((count if with_slopes else 0, channels, height, width), np.float32)
    with kernel_lock:
        tables = _get_tables()
        below, level, result = _planes((count, channels, height, width))
        _read(team(), count * height, sharp.numpy(), below)
        _locate(team(), count * height, sigma_array, coordinates, lowest, highest)
        levels, tasks = _levels_used(highest, tables), count * -(-height // ROWS)
        common = (sigma_array, coordinates, lowest, highest)
        _climb(
            team(),
            tasks,
            below,
            below,
            tables.taps[0],
            0,
            *common,
            tables.weights[0],
            tables.support[0],
            result,
            slopes,
        )
        for k in range(1, levels):
            rung = tables.taps[k], tables.strides[k]
            _climb(team(), tasks, below, level, *rung, *common, tables.weights[k], tables.support[k], result, slopes)
            below, level = level, below
        _write(team(), count * height, result, blurred.numpy())
    return blurred, (coordinates, lowest, highest, levels, slopes)


def backward(gradient: torch.Tensor, saved, sharp_wanted: bool, sigma_wanted: bool):
    """From the mean's gradient [H, W, C]: those of sharp [M, H, W, C] and sigma [M, H, W] (None where not wanted)."""
    frames = sum(len(one[0]) for one in saved) // len(gradient)
    gradient = gradient / frames if frames > 1 else gradient
    parts = zip(*(_some_back(gradient, one, sharp_wanted, sigma_wanted) for one in saved), strict=True)
    return tuple(None if of[0] is None else of[0] if len(of) == 1 else torch.cat(of) for of in parts)


def _some_back(gradient: torch.Tensor, saved, sharp_wanted: bool, sigma_wanted: bool):
    """Gradients of sharp [M, H, W, C] and sigma [M, H, W] (None where not wanted), by that of each of them alike."""
    coordinates, lowest, highest, levels, slopes = saved
    height, width, channels = gradient.shape
    count = len(coordinates) // height
    sharp_gradient = gradient.new_empty(count, height, width, channels) if sharp_wanted else None
    sigma_gradient = torch.empty(count, height, width) if sigma_wanted else None
    with kernel_lock:
        tables = _get_tables()
        above, level, planes = _planes((count, channels, height, width))
        planes, tasks = planes[:1], count * -(-height // ROWS)
        _read(team(), height, gradient.numpy()[None], planes)
        if sigma_gradient is not None:
            _sigma_gradient(
                team(), count * height, planes, slopes, coordinates, sigma_gradient.numpy().reshape(-1, width)
            )
        if sharp_gradient is not None:
            for k in range(levels - 1, -1, -1):
                rung = (tables.taps[k + 1], tables.strides[k + 1]) if k + 1 < levels else (tables.taps[0], 0)
                common = (coordinates, lowest, highest, tables.weights[k], tables.support[k])
                _descend(team(), tasks, above, level, *rung, *common, planes)
                above, level = level, above
            _write(team(), count * height, above, sharp_gradient.numpy())
    return sharp_gradient, sigma_gradient
