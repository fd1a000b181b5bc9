"""One process at a time in a folder, by the system's own lock on it: it leaves no file, and ends with its owner."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import written


class Held(MacrosplatError):
    """Another process is at it."""


HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int | None]:
    """Hold `folder`, which is made if it is missing, as long as the context lasts.

    Where the system has no such lock (Windows, some network drives) nothing is locked. Yields the number of the open
    file that holds it (None: nothing does); a process that inherits it holds the folder, too.

    Raises:
        Held: another process holds it.
        MacrosplatError: it cannot be made.
    """
    with written(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError:
        yield None
        return
    with written(folder):
        number = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                raise Held(
                    f"{folder} is being written by another macrosplat; wait until it has ended, or choose another "
                    "--out."
                ) from error
        yield number
    finally:
        os.close(number)
