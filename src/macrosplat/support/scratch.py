"""Folders for the files of a library, for a while: in memory where there is room, since COLMAP (through SQLite) ends
the process when a disk becomes full under it.

In: where they would lie, how large they become. Out: a folder, which is removed. One that a killed process has left in
memory is removed by the next that needs one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import room_on_disk, scratch_in
from macrosplat.support.lock import locked
from macrosplat.support.memory import available

IN_MEMORY = Path("/dev/shm")  # a file system in memory, on Linux
NAME = "macrosplat."
MOST = 200e6  # bytes: what a killed process leaves in memory is not much
SHARE = 0.25  # of the memory that is free, at the most
OLD = 60.0  # s: a folder is locked long before


@contextlib.contextmanager
def library_scratch(folder: Path | None, prefix: str, size: float) -> Iterator[str]:
    """A folder for `size` bytes: in memory, or else in `folder` (None: only in memory).

    Raises:
        MacrosplatError: there is no room.
    """
    with contextlib.ExitStack() as held:
        made = None
        if size < MOST and _fits(size):
            _sweep()
            with contextlib.suppress(OSError, MacrosplatError):
                made = held.enter_context(scratch_in(IN_MEMORY, NAME))
                held.enter_context(locked(Path(made)))
            if made is not None and folder is not None:
                with contextlib.suppress(OSError):  # where one would look for it
                    Path(held.enter_context(scratch_in(folder, prefix)), "in-memory").symlink_to(made)
        if made is None:
            if folder is None:
                raise MacrosplatError("There is no room in memory for scratch files.")
            room_on_disk(folder, size)
            made = held.enter_context(scratch_in(folder, prefix))
        yield made


def _fits(size: float) -> bool:
    try:
        free = min(shutil.disk_usage(IN_MEMORY).free, available() or 0.0)
    except OSError:
        return False
    return size < SHARE * free and os.access(IN_MEMORY, os.W_OK | os.X_OK)


def _sweep() -> None:
    """Remove what nobody holds any more."""
    for path in IN_MEMORY.glob(f"{NAME}*"):
        with contextlib.suppress(OSError, MacrosplatError):
            if path.is_dir() and not path.is_symlink() and time.time() - path.stat().st_mtime > OLD:
                with locked(path):
                    shutil.rmtree(path, ignore_errors=True)
