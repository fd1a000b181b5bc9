"""How many (tile, splat) pairs a GPU has room for, decided before they are counted.

Counting them takes the host out of step with the GPU: it has to wait for the number before it can allocate. Inside
`fixed_capacity` the room is given, nothing waits, and a step can be recorded as a CUDA graph; what was needed is kept
on the device, to be read when the host has time. Outside, the count is read and the room is exact.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

# Room beyond what was needed when a buffer grows: splats move and widen between two looks at the counter.
HEADROOM = 1.25
# Pairs; a capacity is a multiple of this, so that growing by little does not record another graph.
STEP = 1 << 14


class PairBuffer:
    """Room for `capacity` pairs, and the most that any picture drawn with it needed."""

    def __init__(self, capacity: int, device: torch.device | str) -> None:
        assert capacity > 0, f"capacity is {capacity}, expected at least one pair"
        self.capacity = capacity
        self.needed = torch.zeros(1, dtype=torch.int64, device=device)  # written by the kernels only

    def overflowed(self) -> bool:
        """Whether pairs were dropped since the buffer was made. Waits for the device."""
        return int(self.needed.item()) > self.capacity

    def grown(self) -> PairBuffer:
        """A buffer with room for what was needed, and some more, that is no smaller. Waits for the device."""
        fitted = self.fitted()
        return fitted if fitted.capacity > self.capacity else PairBuffer(self.capacity, self.needed.device)

    def fitted(self) -> PairBuffer:
        """A buffer with room for what was needed, and some more. Waits for the device."""
        most = max(1, int(HEADROOM * int(self.needed.item())))
        return PairBuffer(-(-most // STEP) * STEP, self.needed.device)


_current: ContextVar[PairBuffer | None] = ContextVar("pair_buffer", default=None)


def current_buffer() -> PairBuffer | None:
    """The buffer of the innermost `fixed_capacity`, if any."""
    return _current.get()


@contextlib.contextmanager
def fixed_capacity(buffer: PairBuffer) -> Iterator[PairBuffer]:
    """Pictures drawn inside take their room from `buffer`; pairs beyond it are dropped, and `buffer` knows of them."""
    token = _current.set(buffer)
    try:
        yield buffer
    finally:
        _current.reset(token)
