"""Channels blurred on a CPU about one of them, the pivot: by its sigma, and its slope there times how far off they are.

With levels L, their weights w at the pivot's coordinate v and the weights' slopes w', channel c of coordinate v_c is
the sum of (w + (v_c - v) w') L_c: what the sums of w L_c and of w' L_c make, which the climb by the pivot's sigma alone
leaves behind. Only its end is another, and the way down.
"""

from __future__ import annotations

import numpy as np

from macrosplat.lens.blur_rows_cpu import ROWS, RUN, filter_row, look_up
from macrosplat.lens.ladder import ENTRIES, PAIRS, SIGMA_HALF, SIGMA_MAX, coordinate
from macrosplat.support.numba import njit
from macrosplat.support.spread import spread

_COORDINATE_MAX = np.float32(coordinate(SIGMA_MAX))


@njit(part=True)
def _mean_some(begin, end, planes, slopes, sigma, pivot, entries, rest, apart, part, added, frame):
    """The mean of planes [M, C, H, W] with what their slopes add, as a frame [H, W, C]; `added` to what that holds.
    Fills `apart`."""
    count, channels, height, width = planes.shape
    line = np.empty(width, np.float32)
    for y in range(begin, end):
        for c in range(channels):
            line[:] = np.float32(0.0)
            for m in range(count):
                source, away = planes[m, c, y], apart[m, c, y]
                if c == pivot:
                    for x in range(width):
                        away[x] = np.float32(0.0)
                        line[x] += source[x]
                    continue
                wide, slope, row = sigma[m, c, y], slopes[m, c, y], m * height + y
                entry, beyond = entries[row], rest[row]
                for x in range(width):
                    s = wide[x]
                    v = np.float32(ENTRIES) * s / (s + np.float32(SIGMA_HALF))
                    # A sigma that is no number is let through to the result.
                    v = v if v > np.float32(0.0) else np.float32(0.0)
                    v = v if v < _COORDINATE_MAX else _COORDINATE_MAX
                    off = v - (np.float32(entry[x]) + beyond[x])
                    away[x] = off
                    line[x] += source[x] + (off + np.float32(0.0) * s) * slope[x]
            target = frame[y, :, c]
            if added:
                for x in range(width):
                    target[x] += part * line[x]
            else:
                for x in range(width):
                    target[x] = part * line[x]


@njit
def mean_about(team, count, *arguments):
    spread(_mean_some, team, count, arguments)


@njit(part=True)
def _sigma_gradient_some(begin, end, gradient, slopes, entries, rest, apart, result):
    """Of rows of M frames: that of each channel's sigma [M, C, H, W]."""
    _, channels, height, width = slopes.shape
    for row in range(begin, end):
        m, y = row // height, row % height
        entry, beyond = entries[row], rest[row]
        for c in range(channels):
            given, slope, away, found = gradient[0, c, y], slopes[m, c, y], apart[m, c, y], result[m, c, y]
            for x in range(width):
                v = np.float32(entry[x]) + beyond[x] + away[x]
                left = np.float32(1.0) - v * np.float32(1.0 / ENTRIES)
                inside = np.float32(ENTRIES / SIGMA_HALF) if v < _COORDINATE_MAX else np.float32(0.0)
                found[x] = given[x] * slope[x] * inside * left * left


@njit
def sigma_gradient_about(team, count, *arguments):
    spread(_sigma_gradient_some, team, count, arguments)


@njit(part=True)
def _descend_some(
    begin, end, above, level, taps, stride, entries, rest, lowest, highest, table, support, gradient, apart
):
    """As `blur_cpu`'s, of channels about the pivot."""
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
                look_up(entries[at, start:stop], rest[at, start:stop], table, weight, slope)
                for c in range(channels):
                    source, away = gradient[0, c, y, start:stop], apart[m, c, y, start:stop]
                    target = level[m, c, y, start:stop]
                    for x in range(stop - start):
                        target[x] += (weight[x] + away[x] * slope[x]) * source[x]


@njit
def descend_about(team, count, *arguments):
    spread(_descend_some, team, count, arguments)
