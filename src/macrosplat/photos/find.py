"""The photos of a capture: found in its folders, each read once to know that it is whole.

In: a folder. Out: `Photo` records, sorted, with their masks; what is damaged or shows nothing; notes for the user.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.photos.decode import reason
from macrosplat.photos.inspected import Inspected, header_size, inspect
from macrosplat.photos.kinds import RAW, SUFFIXES
from macrosplat.photos.masks import MAYBE_MASKS, find_masks, is_mask_folder, masks_by_look, without_masks
from macrosplat.photos.names import is_text, listed, natural_key
from macrosplat.photos.records import Looking, Photo
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.threads import ordered, workers

# Where programs keep the photos that they work on; the first one that has any counts. In lower case.
PHOTO_FOLDERS = ("photos", "images", "image", "input", "rgb", "imgs")
# Folders of a capture that hold other pictures: truth, what programs computed, runs.
# Folders that programs and systems put among photos: reduced copies, what a Mac zips along, what was thrown away.
REDUCED = frozenset({"thumbs", "thumbnails", "thumbnail", "previews", "preview"})
SYSTEM = frozenset({"@eadir", "__macosx", "#recycle", "$recycle.bin", "lost+found"})
# What is not read here and may have been meant: what to do about it, and suffixes.
UNREAD = {
    "save as PNG or TIFF": "gif jxl exr hdr psd psb xcf jp2 j2k jxr tga ppm x3f braw",
    "take photos out of the film, sharp ones that overlap": "mp4 mov m4v avi mkv webm mts insv",
    "unpack": "zip 7z rar tar gz tgz",
}
REMEDIES = {f".{suffix}": remedy for remedy, suffixes in UNREAD.items() for suffix in suffixes.split()}
# Of these, what may hold photos though it lies beside the folder of photos.
BESIDE = frozenset(suffix for suffix, remedy in REMEDIES.items() if remedy.startswith(("unpack", "take")))
AWAY = ".icloud"  # after the name of a file, and a dot before it: a Mac has sent it to its cloud
OF_RUNS = ("sharp", "sparse", "sfm", "log.jsonl", "checkpoint")  # one of which lies beside a run's config.json
OTHERS = frozenset({"sharp", "novel", "novel_masks", "depth", "depths", "normals", "maps", "sparse", "stereo", "full"})
GLANCES = 64  # photos whose headers tell how large all of them are, before each is read
INSPECTING = 16  # bytes a px that a photo takes while it is read, of those that are not read at an eighth of their size
MOST_AT_A_TIME = 8
_REDUCED = re.compile(r"^(?:images?|photos)_([0-9]+)$")  # images_2, images_4: copies, halved and quartered


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    folder: Path  # photo names are relative to it
    photos: tuple[Photo, ...]  # sorted by name, numbers by value
    damaged: tuple[str, ...]  # names of photos that cannot be read
    notes: tuple[str, ...]  # sentences for the user
    empty: dict[str, str] = field(default_factory=dict)  # photos that show nothing: name to "black", "burnt out"
    alpha: frozenset[str] = frozenset()  # photos whose alpha channel cuts something out
    beside: tuple[Path, ...] = ()  # masks that lie among the photos
    small: dict[str, NDArray[np.float32]] = field(default_factory=dict)  # photo name to its thumbnail, [H, W]


def find_photos(
    root: Path,
    masks: bool = True,
    folder: Path | None = None,
    named: Sequence[Path] = (),
    looking: Looking | None = None,
) -> Found:
    """The photos of a capture folder, those included that show nothing (`Found.empty`).

    Photos of different sizes and cameras are fine: intrinsics belong to the photo.

    Args:
        root: a folder of photos, or one that holds `photos/`, `images/` (whose subfolders count too); if it has
            neither, photos in other subfolders are taken, and said.
        masks: whether to look for masks.
        folder: where the photos lie, if known; if there are none, as above.
        named: files that cameras are given for: where they lie counts before the usual folders.
        looking: told before the photos are read, and after each.

    Raises:
        MacrosplatError: no such folder, no photos, a missing reader (RAW, HEIC), a mask of another shape.
    """
    if not root.is_dir():
        raise MacrosplatError(f"{root} is not a folder; name a folder of photos.")
    folder, paths, notes = _photo_paths(root, folder, named)
    if not paths:
        there = " ".join(_unread(folder)) or "it takes JPEG, PNG, TIFF, WebP, AVIF, HEIC and camera RAW files."
        raise MacrosplatError(f"There are no photos in {folder}: {there[:1].lower()}{there[1:]}")
    notes += [*_unread(folder), *_left_alone(root, folder, paths)]
    paths, beside = without_masks(paths)
    if beside:
        notes.append(f"Taken for masks, not for photos, by their names: {listed(path.name for path in beside)}.")
    paths, more = _without_doubles(folder, paths)
    notes += more
    for path in paths:
        if not is_text(path.relative_to(folder).as_posix()):
            raise MacrosplatError(f"{path!r:.300} has a name that is no text (not UTF-8); rename it.")
    photos: list[Photo] = []
    damaged: dict[str, str] = {}
    empty: dict[str, str] = {}
    alpha: set[str] = set()
    small: dict[str, NDArray[np.float32]] = {}
    remarks: dict[str, list[str]] = {}
    sizes = _glance(paths)
    if looking is not None:
        looking.begin(sizes)
    threads = min(MOST_AT_A_TIME, workers(INSPECTING * max(width * height for width, height in sizes)))
    for path, result in zip(paths, ordered(_check, paths, threads), strict=True):
        if looking is not None:
            looking.advance()
        name = path.relative_to(folder).as_posix()
        if isinstance(result, str):
            damaged[name] = result
            continue
        if result.remark:
            remarks.setdefault(result.remark, []).append(name)
        if result.empty:
            empty[name] = result.empty
        if result.small is not None:
            small[name] = result.small
        if result.alpha:
            alpha.add(name)
        photos.append(Photo(name, path, result.width, result.height, result.exif, orientation=result.orientation))
    looks = masks_by_look(photos, small)
    if looks:
        beside += [photo.path for photo in looks]
        notes.append(f"Taken for masks, not for photos, by their looks: {listed(photo.name for photo in looks)}.")
        photos = [photo for photo in photos if photo not in looks]
    if damaged:
        which = ", ".join(f"{name} ({why})" for name, why in damaged.items())
        notes.insert(0, f"Damaged and left out: {which}.")
    notes += [f"{listed(names)}: {remark}." for remark, names in remarks.items()]
    found = Found(folder, tuple(photos), tuple(damaged), tuple(notes), empty, frozenset(alpha), tuple(beside), small)
    if not masks:
        return found
    with_them, more = with_masks(found, found.photos, root)
    return replace(found, photos=with_them, notes=(*found.notes, *more))


def with_masks(
    found: Found, photos: Sequence[Photo], root: Path, named: Mapping[str, Path] | None = None
) -> tuple[tuple[Photo, ...], list[str]]:
    """Some of the photos found, with their masks; notes for the user.

    Args:
        named: photo name to the mask that a file of cameras names for it.

    Raises:
        MacrosplatError: a mask cannot be read, or has another shape than its photo.
    """
    around = [root, found.folder, *(photo.path.parent for photo in photos)]
    return find_masks(photos, found.folder, around, found.beside, found.alpha, named or {})


def _photo_paths(root: Path, folder: Path | None, named: Sequence[Path]) -> tuple[Path, list[Path], list[str]]:
    """The photo folder, the photos in it, and what has to be said of the choice."""
    usual = _usual_folders(root)
    if folder is None and named:
        home = next((one for one in usual if all(path.is_relative_to(one.resolve()) for path in named)), None)
        if home is not None:
            usual = [home, *(one for one in usual if one != home)]
        else:
            folders = [one for one in dict.fromkeys(path.parent for path in named) if _is_folder(one)]
            paths = [path for one in folders for path in _pictures(one, one.iterdir())]
            if paths:
                base = Path(os.path.commonpath([str(path.parent) for path in paths]))
                return base, _in_order(base, paths), []
    for candidate in [*([] if folder is None else [folder]), *usual]:
        paths = _pictures(candidate, candidate.rglob("*")) if candidate.is_dir() else []
        if paths:
            return candidate, _in_order(candidate, paths), []
    paths = _pictures(root, root.iterdir())
    if paths:
        return root, _in_order(root, paths), []
    paths = [path for path in _pictures(root, root.rglob("*")) if _may_hold_photos(path.relative_to(root).parts[:-1])]
    paths = _largest_copies(root, paths)
    if not paths:
        return root, [], []
    folders = dict.fromkeys(path.relative_to(root).parts[0] for path in _in_order(root, paths))
    note = f"There are no photos in {root} itself; those in its folders were taken: {listed(folders)}."
    if len(folders) == 1:  # one more folder around the photos: names need not say it
        root = root / next(iter(folders))
    return root, _in_order(root, paths), [note]


def _unread(folder: Path) -> list[str]:
    """What lies among the photos and is not read, and what to do about it."""
    reduced: dict[str, None] = {}
    lost: list[str] = []
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES | REMEDIES.keys()]
    for path in paths:
        parts = path.relative_to(folder).parts
        if path.suffix.lower() in SUFFIXES:
            reduced |= dict.fromkeys(part for part in parts[:-1] if part.casefold() in REDUCED)
            if not (path.is_file() or path.is_dir() or _passed_over(parts)):
                lost.append("/".join(parts))
    notes = _not_read((path for path in paths if path.suffix.lower() in REMEDIES), folder)
    notes += [f"Not read, since they are no files, or links to none: {listed(lost)}."] if lost else []
    away = [path.name[1:].removesuffix(AWAY) for path in sorted(folder.rglob(f".*{AWAY}"))]
    notes += [f"Not downloaded from iCloud, and not read: {listed(away)}."] if away else []
    runs = [
        path for path in dict.fromkeys(path.parent for path in sorted(folder.rglob("config.json"))) if _is_run(path)
    ]
    names = listed(path.relative_to(folder).as_posix() for path in runs if path != folder)
    notes += [f"Results of macrosplat, and no photos, are what lies in {names}."] if names else []
    return notes + ([f"Taken for reduced copies, not for photos: {listed(reduced)}."] if reduced else [])


def _not_read(paths: Iterable[Path], folder: Path) -> list[str]:
    """Of files that are not read: what to do about them."""
    found: dict[str, list[str]] = {}
    for path in paths:
        parts = path.relative_to(folder).parts
        if not _passed_over(parts) and path.is_file():
            found.setdefault(REMEDIES[path.suffix.lower()], []).append("/".join(parts))
    return [f"Not read: {listed(names)}; {remedy}." for remedy, names in found.items()]


def _left_alone(root: Path, folder: Path, photos: Sequence[Path]) -> list[str]:
    """What lies beside the photos and was perhaps meant: packed files, and folders of pictures that are called as those
    of photos are, or lie below photos that lie in the capture itself."""
    notes: list[str] = []
    if folder != root:
        notes += _not_read((path for path in sorted(root.iterdir()) if path.suffix.lower() in BESIDE), root)
    called = re.compile(re.escape(folder.name.casefold()) + r"[^a-z]+.*")

    def meant(path: Path) -> bool:
        name = path.name.casefold()
        if not _may_hold_photos((name,)) or _passed_over((name, "")) or name in SYSTEM or MAYBE_MASKS.search(name):
            return False
        if folder != root and name not in PHOTO_FOLDERS and (not called.fullmatch(name) or _REDUCED.match(name)):
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
        return bool(_pictures(folder, folder.iterdir()))
    except OSError:
        return False


def _is_run(folder: Path) -> bool:
    """Whether it holds what a reconstruction made, whose pictures are no photos."""
    return (folder / "config.json").is_file() and any((folder / name).exists() for name in OF_RUNS)


def _passed_over(parts: tuple[str, ...]) -> bool:
    """Whether a path below the photos is of what systems and other programs put there; masks are found elsewhere."""
    hidden = any(part.startswith(".") for part in parts)  # also the ._ twins that macOS leaves on cards
    return hidden or any(is_mask_folder(part) or part.casefold() in REDUCED | SYSTEM for part in parts[:-1])


def _usual_folders(root: Path) -> list[Path]:
    there = [path for path in root.iterdir() if path.is_dir()]
    return [path for name in PHOTO_FOLDERS for path in sorted(there) if path.name.casefold() == name]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that no disk takes
        return False


def _may_hold_photos(folders: tuple[str, ...]) -> bool:
    return not any(part.casefold() in OTHERS for part in folders)


def _largest_copies(root: Path, paths: list[Path]) -> list[Path]:
    """Of images_2, images_4 only the larger copies."""
    factors = {path: found for path in paths if (found := _REDUCED.match(path.relative_to(root).parts[0].casefold()))}
    if not factors or len(factors) < len(paths):
        return [path for path in paths if path not in factors]
    least = min(int(found[1]) for found in factors.values())
    return [path for path in paths if int(factors[path][1]) == least]


def _pictures(folder: Path, paths: Iterable[Path]) -> list[Path]:
    of_run: dict[Path, bool] = {folder: False}  # the folder itself was asked for

    def in_run(inner: Path) -> bool:
        if inner not in of_run:
            of_run[inner] = _is_run(inner) or in_run(inner.parent)
        return of_run[inner]

    def wanted(path: Path) -> bool:
        kind = path.suffix.lower() in SUFFIXES and not _passed_over(path.relative_to(folder).parts)
        return kind and path.is_file() and not in_run(path.parent)

    return list(filter(wanted, paths))


def _in_order(folder: Path, paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def _without_doubles(folder: Path, paths: list[Path]) -> tuple[list[Path], list[str]]:
    """Drops the RAW of a RAW+JPEG pair: two photos of one exposure would only weigh it double."""
    developed = {path.with_suffix("") for path in paths if path.suffix.lower() not in RAW}
    doubles = [path for path in paths if path.suffix.lower() in RAW and path.with_suffix("") in developed]
    if not doubles:
        return paths, []
    names = listed(path.relative_to(folder).as_posix() for path in doubles)
    return [p for p in paths if p not in doubles], [f"Left out because a developed photo lies beside it: {names}."]


def _glance(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """(width, height) in px of each photo by some of the headers: the others are taken to be like the one before."""
    every, size, sizes = -(-len(paths) // GLANCES), (1, 1), []
    for n, path in enumerate(paths):
        if n % every == 0:
            try:
                size = header_size(path)
            except MacrosplatError:
                raise
            except Exception:  # decoders raise anything on a damaged file
                pass
        sizes.append(size)
    return sizes


def _check(path: Path) -> Inspected | str:
    """`inspect`, or the reason why it failed."""
    try:
        return inspect(path) if path.stat().st_size else "an empty file"
    except (MacrosplatError, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on a damaged file
        return reason(error)
