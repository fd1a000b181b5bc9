"""Photos as a run remembers them: told apart by their bytes, since cameras number their photos alike.

In: photos of a capture. Out: `TakenPhoto`, for `config.json`; whether two captures are of the same.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from macrosplat.photos.names import listed
from macrosplat.photos.records import Photo
from macrosplat.support.reading import read_bytes
from macrosplat.support.threads import ordered, workers


class TakenPhoto(msgspec.Struct, frozen=True):
    """One photo of the capture. Cameras number their photos alike: two captures are told apart by the bytes."""

    name: str
    path: str  # relative to the capture where it lies below it
    width: int
    height: int
    content: str  # hash of its bytes
    mask: str | None = None  # of its mask's


def same_photos(a: tuple[TakenPhoto, ...], b: tuple[TakenPhoto, ...]) -> bool:
    """Whether they are the same photos, wherever they lie and whatever is masked of them."""

    def plain(photos: tuple[TakenPhoto, ...]) -> list[TakenPhoto]:
        return [msgspec.structs.replace(one, path="", mask=None) for one in photos]

    return plain(a) == plain(b)


def difference(begun: tuple[TakenPhoto, ...], asked: tuple[TakenPhoto, ...]) -> str | None:
    """Which of the photos have changed; None: none has, or they are others altogether."""
    before, now = ({photo.name: photo for photo in photos} for photos in (begun, asked))
    if before.keys() != now.keys():
        return None
    changed = listed(name for name in before if not same_photos((before[name],), (now[name],)))
    return f"changed since: {changed}" if changed else None


def taken(capture: Path, photos: tuple[Photo, ...]) -> tuple[TakenPhoto, ...]:
    """What to remember of the photos of a capture."""
    root = capture.resolve()

    def place(path: Path) -> str:
        path = path.resolve()
        return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()

    def one(photo: Photo) -> TakenPhoto:
        mask = None if photo.mask is None or photo.mask_is_alpha else _content(photo.mask)
        return TakenPhoto(photo.name, place(photo.path), photo.width, photo.height, _content(photo.path), mask)

    largest = max((photo.path.stat().st_size for photo in photos), default=0)
    return tuple(ordered(one, photos, workers(largest)))


def _content(path: Path) -> str:
    """Of all bytes: a photo may be replaced by one of as many, and a copy of the capture has times of its own."""
    return hashlib.blake2b(read_bytes(path), digest_size=16).hexdigest()
