"""Numba as this project uses it: one set of flags, one cache folder of our kernels, one pool of threads.

Every CPU kernel imports `njit` and `kernel_lock` from here, `spread` from beside it, and nothing from `numba` itself.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
from llvmlite.binding import Linkage
from numba.core import config
from numba.core.codegen import CPUCodeLibrary
from numba.core.cpu import CPUTargetOptions
from numba.core.options import TargetOptions

from macrosplat.support.sources import digest

# Numba's fall-back thread pool (workqueue) aborts the process when two threads enter it at once, and a kernel
# uses every core anyway: kernels therefore take turns.
kernel_lock = threading.RLock()

# Way of compiling, in the name of the cache folder: kernels of two ways crash a process. Raise it with the flags.
WAY = 4
# NaN and infinity stay meaningful (a diverged run must be noticed), all else of fastmath is wanted.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}


def _own_copies() -> None:
    """Each kernel runs its own copy of the functions that it calls, wherever they were compiled.

    A kernel's object holds a copy of all that it calls (parts that threads share among it), optimized once more with
    it, and so of other roundings than the same function compiled by itself. Numba marks copies as weak: the process
    that compiles a kernel runs the function by itself, and one that loads the kernel from the cache runs the copy, or
    that of whichever kernel was loaded first. A run that is interrupted would go on with other bits. This holds for all
    that Numba compiles in the process; values change by such roundings only.
    """
    optimize = CPUCodeLibrary._optimize_final_module

    def with_own_copies(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        optimize(self)

    CPUCodeLibrary._optimize_final_module = with_own_copies


_own_copies()
_options: Any = CPUTargetOptions
_options.noalias = TargetOptions.Mapping("noalias")  # which Numba itself sets for the bodies of its `prange`


def njit(
    function: Callable[..., Any] | None = None, *, inline: bool = False, inner: bool = False, part: bool = False
) -> Any:
    """`numba.njit` with this project's flags: cached, without the GIL, fast arithmetic that still knows NaN.

    Args:
        inner: only kernels call it: what Python would call it by is not compiled.
        part: so is what threads share by `spread`, and no two arrays that it is given overlap where one is written.
    """

    def decorate(f):
        flags: dict[str, Any] = {"no_cpython_wrapper": inner or part, "no_cfunc_wrapper": True, "noalias": part}
        with _cache_folder():
            return numba.njit(
                f,
                cache=True,
                nogil=True,
                fastmath=FASTMATH,
                error_model="numpy",
                inline="always" if inline else "never",
                **flags,
            )

    return decorate if function is None else decorate(function)


def _sources() -> str:
    """A digest of all kernels. Numba looks at a kernel's own file only, but a kernel holds what it calls in others, and
    one of today beside one of yesterday crashes a process."""
    return digest(b"njit")


def _folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "macrosplat" / f"numba-{WAY}-{_sources()}"


def compiled_mark() -> Path:
    """A file that says, where it exists, that all kernels of a run are in the cache, for this kind of processor."""
    settings: Any = config
    folder = Path(settings.CACHE_DIR) if settings.CACHE_DIR else _folder()
    return folder / f"compiled-{WAY}-{_sources()}-{llvmlite.binding.get_host_cpu_name()}"


@contextlib.contextmanager
def _cache_folder() -> Iterator[None]:
    """A kernel that is declared meanwhile keeps its cache in the user's cache folder.

    A package may be installed where nobody can write. Numba reads the folder when a function is declared; the setting
    of the program that imports this one is put back, and a folder that it chose itself is used.
    """
    settings: Any = config
    before = settings.CACHE_DIR
    if not before:
        settings.CACHE_DIR = str(_folder())
    try:
        yield
    finally:
        settings.CACHE_DIR = before
