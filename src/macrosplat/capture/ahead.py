"""What of a run does not want torch, by a thread while the libraries are loaded: the capture opened, and the feature
points of photos whose cameras are given.

In: a folder, and how it is to be opened. Out: the `Capture`, and its `Features`. Nothing where something is wrong or
there is much to be done: the run does it itself then, and says what is wrong.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from macrosplat.brackets.composite import has_brackets
from macrosplat.cameras.sfm.features import GIVEN_SIDE, GUIDED, Features, extract
from macrosplat.capture.open import open_capture
from macrosplat.capture.records import Capture
from macrosplat.photos.records import Looking, Photo

MANY, MUCH = 100, 1e9  # photos, and px of all of them, that take more than some seconds to look through
Found = TypeVar("Found")


class _Long(Exception):
    """People want to see how far it is."""


class Ahead:
    """Works from its beginning on; whoever leaves it as a context stops it."""

    def __init__(self, folder: Path, masks: bool, brackets: bool) -> None:
        """Args: as of `open_capture`."""
        self._stopped = threading.Event()
        self._capture: Future[Capture] = Future()
        self._features: Future[dict[Path, Features]] = Future()
        self._thread = threading.Thread(target=self._work, args=(folder, masks, brackets), name="ahead", daemon=True)

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def capture(self) -> Capture | None:
        """As `open_capture` has it."""
        with contextlib.suppress(Exception):
            return self._capture.result()
        return None

    def features(self, photos: Sequence[Photo]) -> list[Features] | None:
        """Of those photos, as `sfm.known.key_points` has them."""
        with contextlib.suppress(Exception):
            found = self._features.result()
            return [found[photo.path].inside(photo) for photo in photos]
        return None

    def _work(self, folder: Path, masks: bool, brackets: bool) -> None:
        opened = self._kept(self._capture, lambda: open_capture(folder, masks, brackets, lambda _: self._looking()))
        self._kept(self._features, lambda: self._sought(opened))

    def _kept(self, into: Future[Found], work: Callable[[], Found]) -> Found | None:
        try:
            into.set_result(work())
        except BaseException as error:
            into.set_exception(error)
            return None
        return into.result()

    def _looking(self) -> Looking:
        def begin(sizes: list[tuple[int, int]]) -> None:
            if many(sizes):
                raise _Long

        return Looking(begin, lambda: None)

    def _go_on(self, *_: object) -> None:
        if self._stopped.is_set():
            raise InterruptedError

    def _sought(self, opened: Capture | None) -> dict[Path, Features]:
        if opened is None or opened.cameras is None or opened.points is not None or has_brackets(opened.photos):
            return {}
        photos = tuple(replace(photo, mask=None) for photo in opened.photos)
        found = extract(photos, GUIDED, None, self._go_on, GIVEN_SIDE, wanted=lambda: not self._stopped.is_set())
        return {photo.path: one for photo, one in zip(photos, found, strict=True)}


def many(sizes: Sequence[tuple[int, int]]) -> bool:
    """Whether photos of these sizes take long to look through."""
    return len(sizes) > MANY or sum(width * height for width, height in sizes) > MUCH
