"""Files that appear whole or not at all: written beside their place under a temporary name, then renamed.

In: a path and what to write. Out: the file, or the old one untouched and a `MacrosplatError`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from macrosplat.errors import MacrosplatError


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Errors of writing `path` as sentences.

    Raises:
        MacrosplatError: the disk is full or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MacrosplatError(
                f"The disk is full: {path} could not be written; free some space and run again with --resume."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise MacrosplatError(f"{path} cannot be written ({error.strerror}); choose another --out.") from error
        raise


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it becomes `path`, on an error it is removed.

    Raises:
        MacrosplatError: the disk is full or the folder cannot be written.
    """
    # The suffix stays last, since encoders choose the format by it; the process number keeps two runs apart.
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    with written(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):  # the error to speak of is the first one
                part.unlink(missing_ok=True)
            raise


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Call `write(temporary)` and rename the result to `path`."""
    with whole(path) as part:
        write(part)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN is refused: it is not JSON."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
