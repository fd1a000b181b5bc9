"""Work on several cores, in order: for what releases the GIL (numpy, scipy, decoders, COLMAP)."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from threadpoolctl import threadpool_limits

In = TypeVar("In")
Out = TypeVar("Out")

# That this process may use. What is computed does not depend on it.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SERIAL = 0.25  # of a training step, what one core does (experiments: cpu-threads)
ROOM = 4e9  # bytes that works at the same time may take together


def speed_of(cores: int) -> float:
    """How many times as fast as on one core training is on so many (Amdahl's law)."""
    return 1 / (SERIAL + (1 - SERIAL) / max(1, cores))


def workers(bytes_each: float) -> int:
    """How many works that take so much memory may be done at a time."""
    return max(1, min(CORES, int(ROOM / max(bytes_each, 1.0))))


def ordered(function: Callable[[In], Out], items: Iterable[In], workers: int = CORES) -> Iterator[Out]:
    """`map` over threads, in order, that Ctrl-C stops between two items."""
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in futures:
                # Waiting in slices: a plain result() would not see the signal on every platform.
                while not future.done():
                    wait([future], timeout=0.2, return_when=FIRST_COMPLETED)
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def ahead(function: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """`map`, of which a thread does the next while one is used: no more than two results are there at a time."""
    with ThreadPoolExecutor(1) as pool:
        coming: deque[Future[Out]] = deque()
        for item in items:
            coming.append(pool.submit(function, item))
            if len(coming) > 1:
                yield coming.popleft().result()
        if coming:
            yield coming.popleft().result()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """While several works go on at a time, of which each multiplies matrices: threads of BLAS itself would wait for one
    another (experiments: sfm-quick)."""
    with threadpool_limits(1, user_api="blas"):
        yield
