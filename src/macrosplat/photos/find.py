"""The photos of a capture: found in its folders, each read once to know that it is whole.

In: a folder. Out: `Photo` records, sorted, with their masks; what is damaged or shows nothing; notes for the user.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.photos.decode import reason
from macrosplat.photos.folders import (
    below,
    in_order,
    is_folder,
    largest_copies,
    may_hold_photos,
    pictures,
    usual_folders,
)
from macrosplat.photos.inspected import Inspected, header_size, inspect
from macrosplat.photos.kinds import RAW
from macrosplat.photos.masks import find_masks, masks_by_look, without_masks
from macrosplat.photos.names import is_text, listed
from macrosplat.photos.records import Looking, Photo
from macrosplat.photos.unread import left_alone, not_taken, unread
from macrosplat.photos.usable import even_below
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.threads import ordered, workers

GLANCES = 64  # photos whose headers tell how large all of them are, before each is read
INSPECTING = 16  # bytes a px that a photo takes while it is read, of those that are not read at an eighth of their size
MOST_AT_A_TIME = 8


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
        there = (
            " ".join([*unread(folder), *notes]) or "it takes JPEG, PNG, TIFF, WebP, AVIF, HEIC and camera RAW files."
        )
        raise MacrosplatError(f"There are no photos in {folder}: {there[:1].lower()}{there[1:]}")
    notes += [*unread(folder), *left_alone(root, folder, paths)]
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
    cut = {photo.name: share for photo in photos if photo.name in small and (share := even_below(small[photo.name]))}
    if 2 * len(cut) < len(photos):  # else it is how these pictures are made
        damaged |= {name: f"its lower {share:.0%} are empty, of one colour" for name, share in cut.items()}
        photos = [photo for photo in photos if photo.name not in cut]
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
    usual = usual_folders(root)
    if folder is None and named:
        home = next((one for one in usual if all(path.is_relative_to(one.resolve()) for path in named)), None)
        if home is not None:
            usual = [home, *(one for one in usual if one != home)]
        else:
            folders = [one for one in dict.fromkeys(path.parent for path in named) if is_folder(one)]
            paths = [path for one in folders for path in pictures(one, one.iterdir())]
            if paths:
                base = Path(os.path.commonpath([str(path.parent) for path in paths]))
                return base, in_order(base, paths), []
    for candidate in [*([] if folder is None else [folder]), *usual]:
        paths = pictures(candidate, below(candidate)) if candidate.is_dir() else []
        if paths:
            return candidate, in_order(candidate, paths), []
    paths = pictures(root, root.iterdir())
    if paths:
        return root, in_order(root, paths), []
    there = list(below(root))
    paths = [path for path in pictures(root, there) if may_hold_photos(path.relative_to(root).parts[:-1])]
    paths, others = largest_copies(root, paths), not_taken(root, there)
    if not paths:
        return root, [], others
    folders = dict.fromkeys(path.relative_to(root).parts[0] for path in in_order(root, paths))
    note = f"There are no photos in {root} itself; those in its folders were taken: {listed(folders)}."
    if len(folders) == 1:  # one more folder around the photos: names need not say it
        root = root / next(iter(folders))
    return root, in_order(root, paths), [note, *others]


def _without_doubles(folder: Path, paths: list[Path]) -> tuple[list[Path], list[str]]:
    """Drops the RAW of a RAW+JPEG pair: two photos of one exposure would only weigh it double. They may lie in folders
    of their own."""
    developed = Counter(_stem(path) for path in paths if path.suffix.lower() not in RAW)
    beside = {(path.parent, _stem(path)) for path in paths if path.suffix.lower() not in RAW}
    raw = [path for path in paths if path.suffix.lower() in RAW]
    doubles = {path for path in raw if (path.parent, _stem(path)) in beside}
    stems = Counter(map(_stem, raw))
    for home in {path.parent for path in raw}:
        here = [path for path in raw if path.parent == home]
        twins = [path for path in here if stems[_stem(path)] == 1 == developed[_stem(path)]]
        if 2 * len(twins) > len(here):
            doubles |= set(twins)
    if not doubles:
        return paths, []
    names = listed(path.relative_to(folder).as_posix() for path in paths if path in doubles)
    note = f"Left out because a developed photo of the same name is there: {names}."
    return [path for path in paths if path not in doubles], [note]


def _stem(path: Path) -> str:
    return path.stem.casefold()


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
