"""The levels of the blur on a CPU where each channel has a sigma of its own.

Rows of entries and rests are those of all channels, one below the other.
"""

from __future__ import annotations

import numpy as np

from macrosplat.lens.blur_rows_cpu import ROWS, RUN, add, filter_row, look_up, weigh
from macrosplat.lens.ladder import PAIRS
from macrosplat.support.numba import njit
from macrosplat.support.spread import spread


@njit(part=True)
def _climb_some(
    begin, end, below, level, taps, stride, sigma, entries, rest, lowest, highest, table, support, blurred, slopes
):
    """As `blur_cpu`'s, of channels apart."""
    _, channels, height, width = below.shape
    with_slopes = slopes.shape[0] > 0
    blocks = (height + ROWS - 1) // ROWS
    for task in range(begin, end):
        m, block = task // blocks, task % blocks
        padded = np.empty(width + 2 * PAIRS * stride, np.float32)
        weight = np.empty(RUN, np.float32)
        slope = np.empty(RUN, np.float32)
        for y in range(block * ROWS, min(block * ROWS + ROWS, height)):
            for c in range(channels):
                plane = m * channels + c
                at = plane * height + y
                if stride > 0:
                    filter_row(below[m, c], y, taps, stride, padded, level[m, c, y])
                else:
                    for x in range(width):
                        blurred[m, c, y, x] = np.float32(0.0) * sigma[plane, 0, y, x]
                    if with_slopes:
                        slopes[m, c, y, :] = np.float32(0.0)
                for run in range(lowest.shape[1]):
                    if highest[at, run] < support[0] or lowest[at, run] > support[1]:
                        continue
                    start = run * RUN
                    stop = min(start + RUN, width)
                    look_up(entries[at, start:stop], rest[at, start:stop], table, weight, slope)
                    source = level[m, c, y, start:stop]
                    add(weight, source, blurred[m, c, y, start:stop])
                    if with_slopes:
                        add(slope, source, slopes[m, c, y, start:stop])


@njit
def climb_apart(team, count, *arguments):
    spread(_climb_some, team, count, arguments)


@njit(part=True)
def _descend_some(begin, end, above, level, taps, stride, entries, rest, lowest, highest, table, support, gradient):
    """As `blur_cpu`'s, of channels apart."""
    _, channels, height, width = level.shape
    blocks = (height + ROWS - 1) // ROWS
    for task in range(begin, end):
        m, block = task // blocks, task % blocks
        padded = np.empty(width + 2 * PAIRS * stride, np.float32)
        weight = np.empty(RUN, np.float32)
        for y in range(block * ROWS, min(block * ROWS + ROWS, height)):
            for c in range(channels):
                at = (m * channels + c) * height + y
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
                    add(weight, gradient[0, c, y, start:stop], level[m, c, y, start:stop])


@njit
def descend_apart(team, count, *arguments):
    spread(_descend_some, team, count, arguments)
