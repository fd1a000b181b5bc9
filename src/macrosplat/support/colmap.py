"""pycolmap, imported so that the program that imports it keeps its own answer to SIGTERM."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from macrosplat.support.errors import MacrosplatError

# pycolmap, once imported, answers SIGTERM with a page of addresses and ends: the answer from before is put back. Only
# the main thread may do so.
_before = signal.getsignal(signal.SIGTERM)
import pycolmap as pycolmap  # noqa: E402

with contextlib.suppress(ValueError):
    signal.signal(signal.SIGTERM, _before or signal.SIG_DFL)

OF_A_DISK = ("database factory", "filesystem error")  # words of COLMAP's and of C++'s errors


@contextlib.contextmanager
def disk_told() -> Iterator[None]:
    """COLMAP's errors of a disk (a database that cannot be opened, a folder that cannot be made) as a sentence.

    Raises:
        MacrosplatError: that is what happened meanwhile.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in OF_A_DISK):
            raise
        raise MacrosplatError(
            "What is kept in --out, or in /dev/shm, while cameras are found cannot be written: the disk is full, or "
            "nobody may write there any more; mend that, and run again with --resume."
        ) from error


@contextlib.contextmanager
def open_database(path: Path) -> Iterator[Any]:
    """A COLMAP database, closed afterwards.

    Raises:
        MacrosplatError: it cannot be opened.
    """
    with disk_told():
        database = pycolmap.Database.open(path)
    try:
        yield database
    finally:
        database.close()
