"""A loop that threads share takes every number once, whatever their number and that of the threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team


@njit(part=True)
def _count_some(begin, end, seen, by):
    for i in range(begin, end):
        seen[i] += by[0]


@njit
def _count(team, count, *arguments):
    spread(_count_some, team, count, arguments)


@pytest.mark.parametrize("threads", [1, numba.config.NUMBA_NUM_THREADS])
@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_each_number_is_taken_once(count: int, threads: int) -> None:
    seen, by = np.zeros(1000, np.int64), np.full(1, 2, np.int64)
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        with kernel_lock:
            _count(team(), count, seen, by)
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(seen, 2 * (np.arange(1000) < count))
