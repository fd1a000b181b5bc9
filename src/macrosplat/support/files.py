"""Files written atomically: beside their place under a temporary name, then renamed.

In: a path and what to write. Out: the file, or the old one untouched and a `MacrosplatError`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from macrosplat.support.errors import MacrosplatError

LONGEST = 255  # bytes of a file's name, on nearly every file system
WAITING = 1 << 30  # bytes of arrays that are to be written, at the most, or one of them
# What a killed process leaves: `.NAME.PROCESS.part.SUFFIX`, `.old` of a folder that was being replaced, and the scratch
# folders of structure from motion.
LEFTOVER = re.compile(r"\..*\.\d+\.(part|old)(\.[^.]*)?|\.(sfm|features)\.\w+", re.DOTALL)


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Errors of writing `path` as sentences.

    Raises:
        MacrosplatError: the disk is full, the folder cannot be written, or no file can have this name.
    """
    try:
        os.fsencode(path).index(0)
    except ValueError as error:
        if isinstance(error, UnicodeError):
            raise MacrosplatError(f"{str(path)!r} is no name that a file can have; choose another --out.") from error
    else:
        raise MacrosplatError(f"{str(path)!r} is no name that a file can have; choose another --out.")
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MacrosplatError(
                f"The disk is full: {path} could not be written; free some space and run again with --resume."
            ) from error
        if error.errno == errno.EMFILE:
            raise MacrosplatError(f"{path} could not be written: too many files are open (see `ulimit -n`).") from error
        why = error.strerror or str(error)
        raise MacrosplatError(f"{path} cannot be written ({why}); mend that, or choose another --out.") from error


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it becomes `path`, on an error it is removed.

    Raises:
        MacrosplatError: the disk is full or the folder cannot be written.
    """
    with written(path):
        part = temporary(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):  # the error to speak of is the first one
                part.unlink(missing_ok=True)
            raise


def temporary(path: Path, kind: str = "part") -> Path:
    """The name beside `path` under which it is made. The suffix stays last, since encoders choose the format by it;
    the process number keeps two runs apart."""
    end = f".{os.getpid()}.{kind}{path.suffix}"
    stem = path.stem
    if len(os.fsencode(stem + end)) >= LONGEST:
        stem = hashlib.sha256(os.fsencode(stem)).hexdigest()[:16]
    return path.with_name(f".{stem}{end}")


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; on a clean exit it takes the place of `folder` and all that is in it.

    Raises:
        MacrosplatError: the disk is full or the folder cannot be written.
    """
    with written(folder):
        part, old = temporary(folder), temporary(folder, "old")
        try:
            part.mkdir(parents=True)
            yield part
            if folder.exists():
                os.replace(folder, old)
            os.replace(part, folder)
        except BaseException:
            if old.exists() and not folder.exists():
                os.replace(old, folder)
            raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def sweep(run: Path) -> None:
    """Remove from RUN what killed processes left half-written. Only for who has RUN alone (`support.lock`)."""
    for base, folders, files in os.walk(run):
        for name in [name for name in folders if LEFTOVER.fullmatch(name)]:
            folders.remove(name)
            shutil.rmtree(Path(base, name), ignore_errors=True)
        for name in files:
            if LEFTOVER.fullmatch(name):
                with contextlib.suppress(OSError):
                    Path(base, name).unlink()


def expanded(path: Path | str) -> Path:
    """The path with `~` for the folder of its user.

    Raises:
        MacrosplatError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise MacrosplatError(f"{path}: there is no user of that name here; give the path itself.") from error


def below(folder: Path, name: str) -> Path:
    """`folder / name`, where `name` comes from a file that somebody else may have written.

    Raises:
        MacrosplatError: the name leads out of the folder, or is none.
    """
    parts = PurePosixPath(name.replace("\\", "/") if os.name == "nt" else name)
    if not parts.parts or parts.is_absolute() or ".." in parts.parts or "\0" in name or Path(name).drive:
        raise MacrosplatError(f"{name!r} is no name of a file in {folder}; the file that says so was changed by hand.")
    return folder / parts


def only_ours(folder: Path, ours: Callable[[str], bool]) -> None:
    """Check that a folder that is about to be written holds nothing but what it would hold afterwards.

    Args:
        ours: whether a file of this path, relative to the folder and with `/`, is one of those that are written.

    Raises:
        MacrosplatError: it holds something else, or is not a folder.
    """
    with written(folder):
        if not os.path.lexists(folder):
            return
        if not folder.is_dir():
            raise MacrosplatError(f"{folder} is a file; give --out a new or an empty folder.")
        for base, folders, files in os.walk(folder):
            for name in sorted(files) + [name for name in folders if Path(base, name).is_symlink()]:
                there = Path(base, name).relative_to(folder).as_posix()
                if not ours(there):
                    raise MacrosplatError(
                        f"{folder} holds something else ({there}), which stays as it is; give --out a new or an empty "
                        "folder."
                    )


@contextlib.contextmanager
def scratch_in(folder: Path, prefix: str) -> Iterator[str]:
    """A folder for a while. Where it cannot be removed (nobody may write there any more) it stays for `sweep`: Python's
    own then calls itself without end (3.11)."""
    made = tempfile.mkdtemp(dir=folder, prefix=prefix)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def no_strangers_beside(path: Path, suffixes: Sequence[str]) -> None:
    """Check that files that are written beside `path` under its name replace nothing but what was written with it.

    Raises:
        MacrosplatError: one of them is there, and `path` is not.
    """
    there = [path.with_suffix(suffix).name for suffix in suffixes if os.path.lexists(path.with_suffix(suffix))]
    if there and not os.path.lexists(path):
        raise MacrosplatError(f"{path} would be written with {there[0]} beside it, which is there already: rename one.")


def room_on_disk(folder: Path, size: float) -> None:
    """Check that a library may write `size` bytes into a folder: some of them end the process when a disk is full.

    Raises:
        MacrosplatError: there is not that much room.
    """
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
        if free < size:
            raise MacrosplatError(
                f"The disk is full: finding the cameras takes up to {size / 1e6:.0f} MB in {folder}, and "
                f"{free / 1e6:.1f} MB are free; free some space and run again with --resume."
            )


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Call `write(temporary)` and rename the result to `path`."""
    with whole(path) as part:
        write(part)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON atomically. NaN is refused: it is not JSON."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


class Writers:
    """Threads that encode and write files while the work goes on. Leaving the context waits for them.

    At most a few writings wait at a time, and of large arrays no more than `WAITING` bytes. What goes wrong in one is
    raised by a later `add`, or on leaving.
    """

    def __enter__(self) -> Writers:
        threads = os.cpu_count() or 1
        self._pool, self._most = ThreadPoolExecutor(threads), 2 * threads
        self._open: deque[Future] = deque()
        self._sizes: deque[int] = deque()  # bytes of the arrays that each was given
        return self

    def add(self, function: Callable[..., Any], *args: Any) -> Future:
        """Call `function(*args)` soon."""
        size = sum(getattr(arg, "nbytes", 0) for arg in args)
        while self._open and (len(self._open) >= self._most or size + sum(self._sizes) > WAITING):
            self._sizes.popleft()
            self._open.popleft().result()
        future = self._pool.submit(function, *args)
        self._open.append(future)
        self._sizes.append(size)
        return future

    def __exit__(self, kind: object, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            for future in self._open:
                future.result()
