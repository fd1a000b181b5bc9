"""Focus brackets: which photos are slices of one pose, taken from the same place with the focus moved.

In: the photos of a capture and, if given, their cameras. Out: the same photos, `Photo.pose` set on every slice.
A pose is known from `brackets.json` (lists of names), from equal cameras, from folders (one per pose), or from names
(`stem_0`, `stem_1`, ...). Names and folders only propose: rings and cameras number their photos alike, so the slices
have to show the same picture, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from macrosplat.brackets.align import IDENTITY, align, likeness, thumbnail
from macrosplat.cameras.records import Cameras
from macrosplat.photos.names import listed
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError

LISTING = "brackets.json"
# Correlation of two pictures 96 px wide, blurred by 2 px. Neighbouring slices reach 0.98 and more, also through a lens
# that zooms as it focuses; neighbouring photos of three captures (8 to 15 degrees apart) 0.07 to 0.9.
ALIKE = 0.95
ALIKE_ALIGNED = 0.9  # to the middle slice, zoom and shift taken out: a slow turntable fails here
SAME_POSE = 1e-6  # of a rotation's entries, and of the shift relative to its length: rounded copies, nothing else
_NUMBERED = re.compile(r"^(.+?)[_\-. ]+[0-9]+$")


def poses_of(photos: Sequence[Photo]) -> tuple[tuple[int, ...], ...]:
    """The photos' indices by pose, in order of first appearance; a photo of no bracket is a pose of its own."""
    groups: dict[tuple[bool, str], list[int]] = {}
    for i, photo in enumerate(photos):
        key = (True, photo.pose) if photo.pose is not None else (False, photo.name)
        groups.setdefault(key, []).append(i)
    return tuple(tuple(group) for group in groups.values())


def find_brackets(
    root: Path, photos: tuple[Photo, ...], cameras: Cameras | None
) -> tuple[tuple[Photo, ...], tuple[str, ...]]:
    """The photos, slices marked with their pose, and notes for the user. Photos that belong to no stack may go.

    Raises:
        MacrosplatError: `brackets.json` cannot be read, or names a photo that is not there, or names one twice.
    """
    if (root / LISTING).is_file():
        return _marked(photos, _listed_groups(root / LISTING, photos), ())
    if cameras is not None:
        return _marked(photos, _same_cameras(cameras), ())
    proposed = _proposed(photos)
    checked = {name: group for name, group in proposed.items() if _one_picture([photos[i] for i in group])}
    notes = []
    if checked and len(checked) < len(proposed):
        left = listed(name for name in proposed if name not in checked)
        notes.append(f"Named like focus brackets, but their photos differ, and so each is a view of its own: {left}.")
    grouped = {i for group in checked.values() for i in group}
    strangers = [photo for i, photo in enumerate(photos) if i not in grouped]
    if len(checked) == 1 and len(proposed) == 1 and 0 < len(strangers) < 3:  # somebody's all-in-focus picture, say
        notes.append(f"Left out because the names are not of the stack {next(iter(checked))}: {_names(strangers)}.")
        photos, checked = tuple(photos[i] for i in sorted(grouped)), {}
        checked = _proposed(photos)
    return _marked(photos, checked, tuple(notes))


def _names(photos: Iterable[Photo]) -> str:
    return listed(photo.name for photo in photos)


def _marked(
    photos: tuple[Photo, ...], groups: dict[str, list[int]], notes: tuple[str, ...]
) -> tuple[tuple[Photo, ...], tuple[str, ...]]:
    groups = {name: group for name, group in groups.items() if len(group) > 1}
    if not groups:
        return photos, notes
    of = {i: name for name, group in groups.items() for i in group}
    marked = tuple(replace(photo, pose=of.get(i)) for i, photo in enumerate(photos))
    slices = sorted({len(group) for group in groups.values()})
    each = f"{slices[0]}" if len(slices) == 1 else f"{slices[0]} to {slices[-1]}"
    poses = "1 pose" if len(groups) == 1 else f"{len(groups)} poses"
    return marked, (*notes, f"Focus brackets: {poses}, {each} slices each; the slices of a pose share its camera.")


def _listed_groups(path: Path, photos: Sequence[Photo]) -> dict[str, list[int]]:
    """`{"pose": ["a.jpg", ...], ...}` or `[["a.jpg", ...], ...]`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise MacrosplatError(f"{path} cannot be read ({error}); correct or remove it.") from error
    lists = list(found.items()) if isinstance(found, dict) else [(str(n), g) for n, g in enumerate(found or [])]
    index = {photo.name: i for i, photo in enumerate(photos)}
    groups: dict[str, list[int]] = {}
    seen: set[str] = set()
    for pose, group in lists:
        if not isinstance(group, list) or not all(isinstance(name, str) for name in group):
            raise MacrosplatError(f"{path}: the slices of {pose} are not a list of photo names; correct or remove it.")
        for name in group:
            if name not in index or name in seen:
                why = "twice" if name in seen else "but there is no such photo"
                raise MacrosplatError(f"{path} names {name}, {why}; correct or remove it.")
            seen.add(name)
        groups[pose] = [index[name] for name in group]
    return groups


def _same_cameras(cameras: Cameras) -> dict[str, list[int]]:
    """Groups of equal views, whatever their intrinsics: a lens may zoom as it focuses."""
    groups: list[list[int]] = []
    for i, view in enumerate(cameras.views):
        slack = SAME_POSE * np.array([1.0, 1.0, 1.0, max(1e-12, float(np.linalg.norm(view[:3, 3])))])
        same = (g for g in groups if (np.abs(cameras.views[g[0]][:3] - view[:3]) <= slack).all())
        group = next(same, None)
        if group is None:
            groups.append([i])
        else:
            group.append(i)
    return {_pose_name(cameras.names[g[0]]): g for g in groups if len(g) > 1}


def _pose_name(name: str) -> str:
    path = PurePosixPath(name)
    stem = _stem(path.stem)
    return (path.parent / (stem or path.stem)).as_posix()


def _stem(stem: str) -> str | None:
    found = _NUMBERED.match(stem)
    return found[1] if found else None


def _proposed(photos: Sequence[Photo]) -> dict[str, list[int]]:
    """Groups by folder where photos lie in folders, else by `stem_N`; those of two and more."""
    folders: dict[str, list[int]] = {}
    stems: dict[str, list[int]] = {}
    for i, photo in enumerate(photos):
        path = PurePosixPath(photo.name)
        folders.setdefault(path.parent.as_posix(), []).append(i)
        stem = _stem(path.stem)
        if stem:
            stems.setdefault((path.parent / stem).as_posix(), []).append(i)
    several = {name: group for name, group in stems.items() if len(group) > 1}
    if "." not in folders and not any(len(group) < len(folders[_folder(name)]) for name, group in several.items()):
        return {name: group for name, group in folders.items() if len(group) > 1}
    return several


def _folder(pose: str) -> str:
    return PurePosixPath(pose).parent.as_posix()


def _one_picture(photos: Sequence[Photo]) -> bool:
    """Whether the photos are of one pose: each like the one before, and, aligned, like the middle one."""
    if len({(photo.width, photo.height) for photo in photos}) > 1:
        return False
    small: list[NDArray[np.float32]] = []
    for photo in photos:  # one by one: a capture of single photos is left at its first pair
        small.append(thumbnail(photo))
        if len(small) > 1 and likeness(small[-2], small[-1], IDENTITY) < ALIKE:
            return False
    warps = align(small)
    middle = len(small) // 2
    return all(likeness(small[middle], one, warp) >= ALIKE_ALIGNED for one, warp in zip(small, warps, strict=True))
