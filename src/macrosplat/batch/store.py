"""Runs and photos in an object store, through fsspec: s3://, gs://, az://, and folders.

In: addresses. Out: folders of this machine. A run that is kept in a store is fetched before it goes on, and copied back
while it works (its checkpoint, every `EVERY` s) and when it ends: a machine that dies loses no more than that.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from macrosplat.batch.state import Place
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.extras import install
from macrosplat.support.files import LEFTOVER, temporary, whole_folder, write_whole

EVERY = 60.0  # s between two copies of a run that works
# What goes last: where it stands in a store, all that it speaks of does, too.
LAST = ("checkpoint", "config.json", "status.json")


def is_address(path: str) -> bool:
    return "://" in path


@contextlib.contextmanager
def fetch(folder: str, into: Path) -> Iterator[str]:
    """The folder of photos, copied to `into` as long as the context lasts if it lies in a store.

    Raises:
        MacrosplatError: fsspec is missing, or the store refuses.
    """
    if not is_address(folder):
        yield folder
        return
    with _told(folder):
        store, path = _open(folder)
        with whole_folder(into) as part:
            if not _get(store, path, part):
                raise MacrosplatError(f"{folder} holds nothing; look whether the address is right.")
    try:
        yield str(into)
    finally:
        shutil.rmtree(into, ignore_errors=True)


@contextlib.contextmanager
def kept_in_store(address: str | None, place: Place) -> Iterator[None]:
    """Keep a specimen's folder at `address`/SPECIMEN, too; None: it is kept nowhere else.

    Raises:
        MacrosplatError: fsspec is missing, or the store refuses.
    """
    if address is None:
        yield
        return
    with _told(address):
        store, root = _open(address)
        there = f"{root.rstrip('/')}/{place.folder.name}"
        if not place.run.exists():
            with whole_folder(place.run) as part:
                _get(store, f"{there}/run", part)
            if not any(place.run.iterdir()):
                place.run.rmdir()
    over, sent = threading.Event(), dict[str, tuple[int, int]]()

    def follow() -> None:
        while not over.wait(EVERY):
            with contextlib.suppress(Exception):  # the next one, or the last, says what is wrong
                _put(store, place.folder, there, sent)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()
        with _told(address):
            _put(store, place.folder, there, sent)


def states(address: str, places: Sequence[Place]) -> None:
    """Bring here what other machines did: the states (and pictures) of specimens that have none here."""
    with _told(address):
        store, root = _open(address)
        for place in places:
            there = f"{root.rstrip('/')}/{place.folder.name}"
            if place.status.exists() or not store.exists(f"{there}/{place.status.name}"):
                continue
            for path in (place.thumbnail, place.events, place.status):  # the state last: it speaks of the others
                if store.exists(f"{there}/{path.name}"):
                    write_whole(
                        path, lambda part, name=path.name, there=there: store.get_file(f"{there}/{name}", str(part))
                    )


def send(address: str, files: list[Path]) -> None:
    """Copy single files (the page, the table, a state) to an address."""
    with _told(address):
        store, root = _open(address)
        for path in files:
            store.put_file(str(path), f"{root.rstrip('/')}/{path.name}")


def _open(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise MacrosplatError(f"{address} needs fsspec: {install('cluster')}.") from error
    return fsspec.core.url_to_fs(address)


@contextlib.contextmanager
def _told(address: str) -> Iterator[None]:
    """Whatever a store raises, as a sentence."""
    try:
        yield
    except MacrosplatError:
        raise
    except Exception as error:  # each store has errors of its own
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise MacrosplatError(
            f"{address} cannot be used ({words}); look at the address and its access keys."
        ) from error


def _get(store: Any, path: str, into: Path) -> int:
    """Copy all files below `path`; how many."""
    path = path.rstrip("/")
    store.invalidate_cache()
    names = store.find(path) if store.exists(path) else []
    for name in names:
        inner = name[len(path) :].lstrip("/") if name.startswith(path) else name.rpartition(path.lstrip("/") + "/")[2]
        if not inner or ".." in Path(inner).parts:
            continue
        target = into / inner
        target.parent.mkdir(parents=True, exist_ok=True)
        store.get_file(name, str(target))
    return len(names)


def _put(store: Any, folder: Path, there: str, sent: dict[str, tuple[int, int]]) -> None:
    """Copy what is new or has changed since it was sent."""
    files = [path for path in folder.rglob("*") if path.is_file() and not LEFTOVER.fullmatch(path.name)]
    files = [path for path in files if path.relative_to(folder).parts[0] != "photos"]
    for path in sorted(files, key=lambda path: (LAST.index(path.name) if path.name in LAST else -1, path)):
        with contextlib.suppress(FileNotFoundError):  # replaced in the meantime
            status = path.stat()
            mark = status.st_size, status.st_mtime_ns
            name = path.relative_to(folder).as_posix()
            if sent.get(name) == mark:
                continue
            # A file that is replaced while it is read would be sent half old, half new.
            copy = temporary(path, "part")
            try:
                shutil.copyfile(path, copy)
                store.makedirs(f"{there}/{name}".rpartition("/")[0], exist_ok=True)
                store.put_file(str(copy), f"{there}/{name}")
            finally:
                copy.unlink(missing_ok=True)
            sent[name] = mark
