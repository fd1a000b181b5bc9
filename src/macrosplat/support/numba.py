"""Numba as this project uses it: one set of flags, one cache folder, one pool of threads.

Every CPU kernel imports `njit`, `prange` and `kernel_lock` from here and nothing from `numba` itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config

# The cache belongs in the user's cache folder: a package may be installed where nobody can write.
if "NUMBA_CACHE_DIR" not in os.environ:
    _cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "macrosplat" / "numba"
    os.environ["NUMBA_CACHE_DIR"] = str(_cache)
    config.reload_config()  # a program may have imported Numba before

prange = numba.prange

# Numba's fall-back thread pool (workqueue) aborts the process when two threads enter it at once, and a kernel
# uses every core anyway: kernels therefore take turns.
kernel_lock = threading.RLock()

# NaN and infinity stay meaningful (a diverged run must be noticed), all else of fastmath is wanted.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}


def njit(function: Callable[..., Any] | None = None, *, parallel: bool = False, inline: bool = False) -> Any:
    """`numba.njit` with this project's flags: cached, without the GIL, fast arithmetic that still knows NaN."""

    def decorate(f):
        return numba.njit(
            f,
            parallel=parallel,
            cache=True,
            nogil=True,
            fastmath=FASTMATH,
            error_model="numpy",
            inline="always" if inline else "never",
        )

    return decorate if function is None else decorate(function)
