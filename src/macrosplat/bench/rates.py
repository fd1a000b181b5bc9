"""What a machine reaches in two small loops: arithmetic, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from macrosplat.support.dispatch import one_torch_thread
from macrosplat.support.numba import njit
from macrosplat.support.spread import spread, team

REPEATS = 9  # the best counts: other programs only ever make a run slower


@dataclass(frozen=True)
class Rates:
    """What this machine reaches with all threads."""

    flops: float  # per second, float32
    bytes: float  # per second, read and written

    def floor(self, bytes_: float, flops: float) -> float:
        """Seconds."""
        return max(bytes_ / self.bytes, flops / self.flops)


def calibrate(cells: int = 1 << 24) -> Rates:
    """Time the two loops. Args: cells: floats of the copied array, which no cache should hold."""
    blocks = np.ones((16, 8192), np.float32)  # 32 KB each
    rounds = 400
    source, target = np.ones(cells, np.float32), np.empty(cells, np.float32)
    arithmetic = best(lambda: _multiply_add(team(), len(blocks), blocks, rounds, np.float32(0.999), np.float32(0.001)))
    copying = best(lambda: _copy(team(), len(source), source, target))
    return Rates(blocks.size * rounds * 2 * CHAIN / arithmetic, 2 * source.nbytes / copying)


CHAIN = 16  # multiply-adds per number read: enough to hide reading and writing it


@njit(part=True)
def _multiply_add_some(begin, end, blocks, rounds, a, b):
    for k in range(begin, end):
        block = blocks[k]
        for _ in range(rounds):
            for i in range(block.shape[0]):
                x = block[i]
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                block[i] = x


@njit
def _multiply_add(team, count, *arguments):
    spread(_multiply_add_some, team, count, arguments)


@njit(part=True)
def _copy_some(begin, end, source, target):
    for i in range(begin, end):
        target[i] = source[i]


@njit
def _copy(team, count, *arguments):
    spread(_copy_some, team, count, arguments)


def best(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Seconds of the quickest of several runs, after two that compile and warm up."""
    seconds = []
    with one_torch_thread():
        for _ in range(2 + repeats):
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
    return min(seconds[2:])
