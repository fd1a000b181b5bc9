"""Files of other programs and other people: read whole, of a size that fits into memory, or refused in a sentence.

In: a path that anybody may have given. Out: its bytes. Folders, pipes and devices are refused without waiting for them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.memory import available

SHARE = 0.5  # of the free memory that a file's bytes may take: what is made of them wants room, too
KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Errors of reading `path` as sentences.

    Raises:
        MacrosplatError: it is missing, not to be read by this user, or no path at all.
    """
    try:
        yield
    except OSError as error:
        raise MacrosplatError(f"{path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:  # a zero byte, or half a character
        raise MacrosplatError(f"{str(path)!r} is no path of this system ({error}).") from error


def read_bytes(path: Path, most: float | None = None) -> bytes:
    """All bytes of a file.

    Args:
        most: the largest size in bytes that the reader has use for; None: what memory allows.

    Raises:
        MacrosplatError: it cannot be read, is no file (a folder, a pipe, a device), or is too large.
    """
    with readable(path):
        # Not blocking: opening a pipe would wait for whoever writes into it.
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(number, "rb") as file:
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode):
                kind = next((name for test, name in KINDS if test(status.st_mode)), "a device")
                raise MacrosplatError(f"{path} cannot be read: it is {kind}, not a file.")
            check_room(path, status.st_size, most)
            # A file that grows while it is read, as some of /proc do, is read to the limit only.
            return file.read(int(status.st_size) if status.st_size else 1 << 20)


def check_room(path: Path, size: float, most: float | None = None) -> None:
    """Whether `size` bytes that `path` holds, or promises, may be read.

    Raises:
        MacrosplatError: they do not fit into memory, or are more than `most`.
    """
    if most is not None and size > most:
        raise MacrosplatError(f"{path} is too large: {_amount(size)}, where {_amount(most)} are the most.")
    there = available()
    if there is not None and size > SHARE * there:
        raise MacrosplatError(
            f"{path} is too large for this machine: it takes {_amount(size)}, and {_amount(there)} of memory are free."
        )


def _amount(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
