"""The first steps of a made-up scene, by a process of its own: the CPU's kernels are then in the cache.

`support/ahead.py` starts it, while the cameras of a run are found. It ends with the process that started it.
"""

from __future__ import annotations

import os
import sys
import threading

import torch

from macrosplat.loading import take_first_steps
from macrosplat.support.numba import compiled_mark

SAMPLES = ((1, 0), (4, 0))  # one step of each calls every kernel of the CPU


def _end_with_parent() -> None:
    """The pipe on stdin closes when the other process ends, however it does."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    take_first_steps(torch.device("cpu"), SAMPLES, 1)
    compiled_mark().touch()
    os._exit(0)
