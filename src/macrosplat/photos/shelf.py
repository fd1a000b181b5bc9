"""Pictures that are decoded when they are wanted, and kept within a memory budget: 200 photos of 24 MP need not fit.

In: how many there are, and how to read one. Out: a sequence of them, for any number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


class Shelf(Sequence[Picture]):
    """Keeps what was read until `budget` bytes are full; then what was wanted longest ago goes first."""

    def __init__(self, count: int, read: Callable[[int], Picture], budget: float) -> None:
        self._count, self._read, self._budget = count, read, budget
        self._kept: dict[int, Picture] = {}  # in the order in which they were wanted last
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> Picture: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Picture]: ...
    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(self._count))]
        number = range(self._count)[at]
        with self._lock:
            if number in self._kept:
                self._kept[number] = picture = self._kept.pop(number)
                return picture
        picture = self._read(number)  # two threads may read the same one: better than one waiting for all others
        with self._lock:
            if number not in self._kept:
                self._kept[number] = picture
                self._bytes += picture.nbytes
            while self._bytes > self._budget and len(self._kept) > 1:
                self._bytes -= self._kept.pop(next(iter(self._kept))).nbytes
        return picture
