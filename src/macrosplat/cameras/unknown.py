"""Files that go with the photos by name, and that no reader here knows: a table that names them, a file for each.

They may hold cameras; nothing is made of them but a sentence. In: files of a capture, photos. Out: paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from macrosplat.photos.names import bare, same_text
from macrosplat.photos.records import Photo
from macrosplat.support.reading import read_bytes

TABLES = frozenset({".csv", ".tsv", ".txt", ".json", ".xml", ".out", ".dat", ".yaml", ".yml"})
OF_EACH = TABLES | {".npy", ".npz", ".cam", ".pose"}
ADDED = re.compile(r"[_\-. ]?(?:cam|camera|pose|extrinsics?|intrinsics?)$")  # to a photo's name: 00000001_cam.txt
OWN = frozenset({"brackets.json", "truth.json", "novel.json", "config.json"})  # read, or known, elsewhere
LARGEST = 1 << 24  # bytes of a table that is looked through
FEWEST = 3  # photos that have to be named, and at least half of them
NUMBERS = 6  # for each photo: fewer place no camera
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?", re.IGNORECASE)
_WORD = re.compile(r"[^\s,;\"'<>=|\\/:\[\](){}#]+")


def going_with(files: Iterable[Path], photos: Sequence[Photo]) -> list[Path]:
    """Tables that name most photos with numbers for each; of folders of a file for each photo, the first such file."""
    files = [path for path in files if path.suffix.lower() in OF_EACH and path.name.casefold() not in OWN]
    stems = {bare(photo.name) for photo in photos}
    needed = max(FEWEST, -(-len(photos) // 2))
    by_folder: dict[Path, dict[str, Path]] = {}
    for path in files:
        stem = bare(path.name)
        stem = stem if stem in stems else ADDED.sub("", stem)
        if stem in stems:
            by_folder.setdefault(path.parent, {}).setdefault(stem, path)
    found = []
    for several in by_folder.values():
        first = next(iter(several.values()))
        if len(several) >= needed and (first.suffix.lower() in (".npy", ".npz") or _numbers(_text(first)) >= NUMBERS):
            found.append(first)
    each = {path for several in by_folder.values() for path in several.values()}
    found += [path for path in files if path not in each and path.suffix.lower() in TABLES and _names(path, photos)]
    return found


def _names(path: Path, photos: Sequence[Photo]) -> bool:
    text = _text(path)
    words = {same_text(word).casefold() for word in _WORD.findall(text)}
    whole = [PurePosixPath(same_text(photo.name).casefold()) for photo in photos]
    named = sum(one.name in words or (one.stem in words and not one.stem.isdecimal()) for one in whole)
    return named >= max(FEWEST, -(-len(photos) // 2)) and _numbers(text) >= NUMBERS * named


def _numbers(text: str) -> int:
    return sum(1 for _ in _NUMBER.finditer(text))


def _text(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return ""
        data = read_bytes(path)
    except OSError:
        return ""
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    return data.decode("utf-16" if wide else "utf-8-sig", errors="replace")
