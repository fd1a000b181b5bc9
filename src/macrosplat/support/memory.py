"""How much memory there is to work with, and what is kept of it when it is free."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

# Bytes at the heap's end that stay with the process when they are free: what a step takes of planes up to half a
# megapixel, which else go back to the system and come anew with every step, zeroed page by page (experiments:
# kept-planes).
KEPT = 2**29
WITH_HEAP = 2**25  # bytes up to which an array lies in the heap at all: the most that glibc allows
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def available() -> float | None:
    """Bytes of memory free for a program (Linux); None where nobody says."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def keep_freed() -> None:
    """Freed memory stays with this process, up to `KEPT`, where the C library can be told so (glibc)."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library, or another system
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, WITH_HEAP)
        mallopt(_TRIM_THRESHOLD, KEPT)


def give_back() -> None:
    """What is free goes back to the system, where the C library can be told so: before work of another kind, whose
    arrays do not fit into the gaps that the last has left."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
