"""What the kernels of the blur do with a row of a level, or a run of it."""

from __future__ import annotations

import numpy as np

from macrosplat.lens.ladder import PAIRS
from macrosplat.support.numba import njit

ROWS = 8  # rows a thread takes at a time: their scratch stays in L1, and 600 rows still split evenly
RUN = 64  # px of a row that share the decision whether a level is used: 4 AVX-512 vectors


@njit(inner=True)
def mirror(i, n):
    """The pixel that stands for pixel i outside 0 ... n - 1."""
    i = i % (2 * n)
    return i if i < n else 2 * n - 1 - i


@njit(inner=True)
def filter_row(plane, y, taps, stride, padded, row):
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
def look_up(entries, rest, table, weight, slope):
    """Weights and their slopes: entries of the table, and what coordinates are beyond them."""
    for x in range(entries.shape[0]):
        i = np.uint32(entries[x])
        a = table[i]
        d = table[i + np.uint32(1)] - a
        weight[x] = a + rest[x] * d
        slope[x] = d


@njit(inner=True)
def weigh(entries, rest, table, weight):
    """The weights alone."""
    for x in range(entries.shape[0]):
        i = np.uint32(entries[x])
        a = table[i]
        weight[x] = a + rest[x] * (table[i + np.uint32(1)] - a)


@njit(inner=True)
def add(weight, source, target):
    for x in range(target.shape[0]):
        target[x] += weight[x] * source[x]
