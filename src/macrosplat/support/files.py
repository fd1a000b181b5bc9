"""Files that appear whole or not at all: written beside their place under a temporary name, then renamed.

In: a path and what to write. Out: the file, or the old one untouched and a `MacrosplatError`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from macrosplat.support.errors import MacrosplatError


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


class Writers:
    """Threads that encode and write files while the work goes on. Leaving the context waits for them.

    At most a few writings wait at a time. What goes wrong in one is raised by a later `add`, or on leaving.
    """

    def __enter__(self) -> Writers:
        threads = os.cpu_count() or 1
        self._pool, self._most = ThreadPoolExecutor(threads), 2 * threads
        self._open: deque[Future] = deque()
        return self

    def add(self, function: Callable[..., Any], *args: Any) -> Future:
        """Call `function(*args)` soon."""
        while len(self._open) >= self._most:
            self._open.popleft().result()
        self._open.append(self._pool.submit(function, *args))
        return self._open[-1]

    def __exit__(self, kind: object, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            for future in self._open:
                future.result()
