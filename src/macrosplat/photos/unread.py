"""What lies in a capture and is not read: named, with what to do about it.

In: the capture's folder, the folder of its photos, the photos. Out: sentences for the user.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from macrosplat.photos.folders import (
    HALVED,
    PHOTO_FOLDERS,
    REDUCED,
    SYSTEM,
    below,
    is_run,
    may_hold_photos,
    passed_over,
    pictures,
)
from macrosplat.photos.kinds import SUFFIXES, is_picture
from macrosplat.photos.masks import MAYBE_MASKS
from macrosplat.photos.names import listed

# What is not read here and may have been meant: what to do about it, and suffixes.
UNREAD = {
    "save as PNG or TIFF": "gif jxl exr hdr psd psb xcf jp2 j2k jxr tga ppm x3f gpr eip heics afphoto "
    "czi nd2 lif vsi oib oif",  # of microscopes
    "take photos out of the film, sharp ones that overlap": "mp4 mov m4v avi mkv webm mts m2ts mpg 3gp mxf braw crm "
    "insv",
    "unpack": "zip 7z rar tar gz tgz",
}
REMEDIES = {f".{suffix}": remedy for remedy, suffixes in UNREAD.items() for suffix in suffixes.split()}
# Of these, what may hold photos though it lies beside the folder of photos.
BESIDE = frozenset(suffix for suffix, remedy in REMEDIES.items() if remedy.startswith(("unpack", "take")))
AWAY = ".icloud"  # after the name of a file, and a dot before it: a Mac has sent it to its cloud


def unread(folder: Path) -> list[str]:
    """What lies among the photos and is not read, and what to do about it."""
    reduced: dict[str, None] = {}
    lost: list[str] = []
    there = list(below(folder))
    paths = [path for path in there if path.suffix.lower() in SUFFIXES | REMEDIES.keys()]
    for path in paths:
        parts = path.relative_to(folder).parts
        if path.suffix.lower() in SUFFIXES:
            reduced |= dict.fromkeys(part for part in parts[:-1] if part.casefold() in REDUCED)
            if not (path.is_file() or path.is_dir() or passed_over(parts)):
                lost.append("/".join(parts))
    notes = _not_read((path for path in paths if path.suffix.lower() in REMEDIES), folder)
    notes += [f"Not read, since they are no files, or links to none: {listed(lost)}."] if lost else []
    away = [
        path.name[1:].removesuffix(AWAY) for path in there if path.name.startswith(".") and path.name.endswith(AWAY)
    ]
    notes += [f"Not downloaded from iCloud, and not read: {listed(away)}."] if away else []
    runs = [path for path in dict.fromkeys(path.parent for path in there if path.name == "config.json") if is_run(path)]
    names = listed(path.relative_to(folder).as_posix() for path in runs if path != folder)
    notes += [f"Results of macrosplat, and no photos, are what lies in {names}."] if names else []
    odd = listed(path.relative_to(folder).as_posix() for path in _pictures_of_other_names(folder, there, runs))
    notes += [f"Not read, though pictures by what they hold: {odd}; give them the suffix of a picture."] if odd else []
    return notes + ([f"Taken for reduced copies, not for photos: {listed(reduced)}."] if reduced else [])


def _pictures_of_other_names(folder: Path, there: Sequence[Path], runs: Sequence[Path]) -> list[Path]:
    """Pictures without a suffix that pictures have; not those that were put aside (1.jpg_original, 1.jpg~)."""
    photos = {path for path in there if path.suffix.lower() in SUFFIXES}

    def put_aside(path: Path) -> bool:
        return any(path.name.startswith(one.name) for one in photos if one.parent == path.parent)

    return [
        path
        for path in there
        if path.suffix.lower() not in SUFFIXES | REMEDIES.keys()
        and not passed_over(parts := path.relative_to(folder).parts)
        and may_hold_photos(parts[:-1])
        and not any(path.is_relative_to(run) for run in runs)
        and path.is_file()
        and is_picture(path)
        and not put_aside(path)
    ]


def not_taken(root: Path, there: Sequence[Path]) -> list[str]:
    """What to say of pictures in folders that are called as those of results are."""
    found = [path for path in pictures(root, there) if not may_hold_photos(path.relative_to(root).parts[:-1])]
    names = listed(dict.fromkeys(path.parent.relative_to(root).as_posix() for path in found))
    said = f"Taken for results, not for photos, by their folder's name: what lies in {names}; photos are looked for in"
    return [f"{said} folders of other names."] if names else []


def _not_read(paths: Iterable[Path], folder: Path) -> list[str]:
    """Of files that are not read: what to do about them."""
    found: dict[str, list[str]] = {}
    for path in paths:
        parts = path.relative_to(folder).parts
        if not passed_over(parts) and path.is_file():
            found.setdefault(REMEDIES[path.suffix.lower()], []).append("/".join(parts))
    return [f"Not read: {listed(names)}; {remedy}." for remedy, names in found.items()]


def left_alone(root: Path, folder: Path, photos: Sequence[Path]) -> list[str]:
    """What lies beside the photos and was perhaps meant: packed files, and folders of pictures that are called as those
    of photos are, or lie below photos that lie in the capture itself."""
    notes: list[str] = []
    if folder != root:
        notes += _not_read((path for path in sorted(root.iterdir()) if path.suffix.lower() in BESIDE), root)
        alone = [one for one in pictures(root, sorted(root.iterdir())) if MAYBE_MASKS.search(one.stem.casefold())]
        said = "masks lie in masks/, each called as its photo is"
        notes += [f"Left alone: {listed(one.name for one in alone)}; {said}."] if alone else []
    called = re.compile(re.escape(folder.name.casefold()) + r"[^a-z]+.*")

    def meant(path: Path) -> bool:
        name = path.name.casefold()
        if not may_hold_photos((name,)) or passed_over((name, "")) or name in SYSTEM or MAYBE_MASKS.search(name):
            return False
        if folder != root and name not in PHOTO_FOLDERS and (not called.fullmatch(name) or HALVED.match(name)):
            return False
        run = (path / "config.json").is_file()
        return not run and not any(photo.is_relative_to(path) for photo in photos)

    if folder == root or folder.parent == root:
        beside = [path for path in sorted(root.iterdir()) if path != folder and path.is_dir() and meant(path)]
        # A link leads anywhere, and a folder that may not be listed is none of photos.
        found = [path.name for path in beside if not path.is_symlink() and _has_pictures(path)]
        where = "the folder itself" if folder == root else folder.name
        notes += (
            [f"Photos are those of {where}; left alone, though there are pictures: {listed(found)}."] if found else []
        )
    return notes


def _has_pictures(folder: Path) -> bool:
    try:
        return bool(pictures(folder, folder.iterdir()))
    except OSError:
        return False
