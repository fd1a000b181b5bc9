"""Kernels compiled ahead, on a machine's first run: by a second process, which fills Numba's cache while this one has
work that leaves a core idle.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from macrosplat.support.numba import compiled_mark
from macrosplat.support.threads import CORES

PROGRAM = "macrosplat.bench.first_steps"


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Another process compiles meanwhile what is not in the cache yet. It ends with this block at the latest.

    Nothing depends on it: where it cannot be started, each kernel is compiled when it is first called.
    """
    process = None
    if CORES > 1 and not compiled_mark().exists() and _is_interpreter():
        with contextlib.suppress(OSError):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", PROGRAM],  # not what lies in the folder of the photos
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _is_interpreter() -> bool:
    """Whether `sys.executable` is Python: a program that embeds it would be started once more."""
    return not getattr(sys, "frozen", False) and Path(sys.executable or "").stem.lower().startswith("python")
