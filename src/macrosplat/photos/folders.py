"""Folders of a capture: which of them hold photos, and what systems and other programs put among them.

In: paths. Out: paths, by their names alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from macrosplat.photos.kinds import SUFFIXES
from macrosplat.photos.masks import is_mask_folder
from macrosplat.photos.names import natural_key

# Where programs keep the photos that they work on; the first one that has any counts. In lower case.
PHOTO_FOLDERS = ("photos", "images", "image", "input", "rgb", "imgs")
# Folders that programs and systems put among photos: reduced copies, what a Mac zips along, what was thrown away.
REDUCED = frozenset({"thumbs", "thumbnails", "thumbnail", "thmbnl", "previews", "preview"})
SYSTEM = frozenset({"@eadir", "__macosx", "#recycle", "$recycle.bin", "lost+found"})
OF_RUNS = ("sharp", "sparse", "sfm", "log.jsonl", "checkpoint")  # one of which lies beside a run's config.json
# Folders of a capture that hold other pictures: truth, what programs computed.
OTHERS = frozenset({"sharp", "novel", "novel_masks", "depth", "depths", "normals", "maps", "sparse", "stereo", "full"})
HALVED = re.compile(r"^(?:images?|photos)_([0-9]+)$")  # images_2, images_4: copies, halved and quartered


def below(folder: Path) -> Iterator[Path]:
    """What lies below a folder, in order; links to folders are followed, unless what they lead to holds the folder or
    lies in it. What may not be listed is passed over."""
    home = os.path.realpath(folder)
    seen = {home}
    for base, folders, files in os.walk(folder, followlinks=True):
        inner = []
        for name in sorted(folders):
            path = os.path.join(base, name)
            if os.path.islink(path):
                real = os.path.realpath(path)
                if real in seen or _is_within(home, real) or _is_within(real, home):
                    continue
                seen.add(real)
            inner.append(name)
        folders[:] = inner
        yield from (Path(base, name) for name in sorted([*inner, *files]))


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def is_run(folder: Path) -> bool:
    """Whether it holds what a reconstruction made, whose pictures are no photos."""
    return (folder / "config.json").is_file() and any((folder / name).exists() for name in OF_RUNS)


def passed_over(parts: tuple[str, ...]) -> bool:
    """Whether a path below the photos is of what systems and other programs put there; masks are found elsewhere."""
    hidden = any(part.startswith(".") for part in parts)  # also the ._ twins that macOS leaves on cards
    hidden = hidden or any(part.casefold().endswith(".lrdata") for part in parts[:-1])  # Lightroom's previews
    return hidden or any(is_mask_folder(part) or part.casefold() in REDUCED | SYSTEM for part in parts[:-1])


def usual_folders(root: Path) -> list[Path]:
    there = [path for path in root.iterdir() if path.is_dir()]
    return [path for name in PHOTO_FOLDERS for path in sorted(there) if path.name.casefold() == name]


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that no disk takes
        return False


def may_hold_photos(folders: tuple[str, ...]) -> bool:
    return not any(part.casefold() in OTHERS for part in folders)


def largest_copies(root: Path, paths: list[Path]) -> list[Path]:
    """Of images_2, images_4 only the larger copies."""
    factors = {path: found for path in paths if (found := HALVED.match(path.relative_to(root).parts[0].casefold()))}
    if not factors or len(factors) < len(paths):
        return [path for path in paths if path not in factors]
    least = min(int(found[1]) for found in factors.values())
    return [path for path in paths if int(factors[path][1]) == least]


def pictures(folder: Path, paths: Iterable[Path]) -> list[Path]:
    of_run: dict[Path, bool] = {folder: False}  # the folder itself was asked for

    def in_run(inner: Path) -> bool:
        if inner not in of_run:
            of_run[inner] = is_run(inner) or in_run(inner.parent)
        return of_run[inner]

    def wanted(path: Path) -> bool:
        kind = path.suffix.lower() in SUFFIXES and not passed_over(path.relative_to(folder).parts)
        return kind and path.is_file() and not in_run(path.parent)

    return list(filter(wanted, paths))


def in_order(folder: Path, paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: natural_key(path.relative_to(folder).as_posix()))
