"""Focus brackets: which photos are slices of one pose, taken from the same place with the focus moved.

In: the photos of a capture and, if given, their cameras. Out: the same photos, `Photo.pose` set on every slice; odd
slices (turned, dark, of something else) named and left out. A pose is known from `brackets.json` (lists of names), from
equal cameras, or from the pictures (`brackets.alike`): whatever cameras call their photos, neighbours that show one
picture without any parallax were taken from one place.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from macrosplat.brackets.align import thumbnail
from macrosplat.brackets.alike import PROBES, SliceRun, alike, alike_among, of_several_places, runs_of
from macrosplat.brackets.beside import edited, exposed, is_of, joined, of_one_size, taken_twice
from macrosplat.cameras.records import Cameras
from macrosplat.photos.names import listed, matched, natural_key
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.json import checked, load_json

LISTING = "brackets.json"
SAME_POSE = 1e-6  # of a rotation's entries, and of the shift relative to its length: rounded copies, nothing else
FEWEST = 3  # slices of a pose that nothing but likeness tells of: two alike may be one photo taken twice
STRANGERS = 3  # fewer photos than this beside a lone stack are left out: somebody's all-in-focus picture, say
MOST_NUMBERS = 4  # in a name, that differ from photo to photo: each is another order to be looked at
_NUMBERED = re.compile(r"^(.+?)[_\-. ]+\(?[0-9]+\)?$")  # fly_0, IMG-0001, img (1)
_COUNTED = re.compile(r"^(.*?)[_\-. ]*\(?[0-9]+\)?$")  # DSC06620, too


def poses_of(photos: Sequence[Photo]) -> tuple[tuple[int, ...], ...]:
    """The photos' indices by pose, in order of first appearance; a photo of no bracket is a pose of its own."""
    groups: dict[tuple[bool, str], list[int]] = {}
    for i, photo in enumerate(photos):
        key = (True, photo.pose) if photo.pose is not None else (False, photo.name)
        groups.setdefault(key, []).append(i)
    return tuple(tuple(group) for group in groups.values())


def find_brackets(
    root: Path,
    photos: tuple[Photo, ...],
    cameras: Cameras | None,
    small: Mapping[str, NDArray[np.float32]] | None = None,
) -> tuple[tuple[Photo, ...], tuple[str, ...]]:
    """The photos, slices marked with their pose, and notes for the user. Photos that belong to no stack may go.

    Args:
        small: photo name to its thumbnail, as far as they are known already.

    Raises:
        MacrosplatError: `brackets.json` cannot be read, or names a photo that is not there, or names one twice; the
            cameras of photos that were taken from several places are at one.
    """
    known = small or {}
    if (root / LISTING).exists():
        groups = _listed_groups(root / LISTING, photos)
        odd = _of_views(photos, groups, known)
        doubt = f"{LISTING} joins photos that show the thing from different places: {listed(odd)}; is it right?"
        return _marked(photos, groups, (doubt,) if odd else ())
    if cameras is not None:
        groups = _same_cameras(cameras)
        odd = _of_views(photos, groups, known)
        for group in (groups[name] for name in odd if len(groups[name]) >= FEWEST):
            raise MacrosplatError(
                f"The cameras of {root} put {_names(photos[i] for i in group)} at one place, and they show the thing "
                "from different ones: these cameras are not the photos'; remove them to have them found."
            )
        pairs = listed(_names(photos[i] for i in groups[name]) for name in odd)
        doubt = f"Their cameras put these photos at one place, and they show the thing from different ones: {pairs}."
        return _marked(photos, groups, (doubt,) if odd else ())
    return _from_pictures(photos, known)


def _of_views(
    photos: Sequence[Photo], groups: Mapping[str, Sequence[int]], small: Mapping[str, NDArray[np.float32]]
) -> list[str]:
    """Of groups that are said to be slices of a pose, some of many, those that are views from several places."""
    several = [name for name, group in groups.items() if len(group) > 1]
    some = several if len(several) <= PROBES else several[:: -(-len(several) // PROBES)]
    return [name for name in some if of_several_places(groups[name], lambda i: _picture(photos[i], small))]


def _picture(photo: Photo, small: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    known = small.get(photo.name)
    return thumbnail(photo) if known is None else known


def is_one_picture(photos: Sequence[Photo], small: Mapping[str, NDArray[np.float32]]) -> bool:
    """Whether all photos were taken from one place."""

    def picture(i: int) -> NDArray[np.float32]:
        return _picture(photos[i], small)

    return any(len(run.slices) == len(photos) for run in runs_of(range(len(photos)), picture))


def _from_pictures(
    photos: tuple[Photo, ...], small: Mapping[str, NDArray[np.float32]]
) -> tuple[tuple[Photo, ...], tuple[str, ...]]:
    folders: dict[str, list[int]] = {}
    for i, photo in enumerate(photos):
        folders.setdefault(PurePosixPath(photo.name).parent.as_posix(), []).append(i)
    proposed = _proposed(photos)

    def picture(i: int) -> NDArray[np.float32]:
        return _picture(photos[i], small)

    orders = [_order_of_slices(photos, folder, picture) for folder in folders.values()]
    across = _order_across(photos, folders, picture) if all(order is None for order in orders) else None
    if across is None and len(proposed) < 2 and all(order is None for order in orders):
        return photos, tuple(taken_twice(photos, edited(photos, set(), picture), picture))
    if across is not None:
        found = runs_of(across, picture)
    else:
        pairs = zip(orders, folders.values(), strict=True)
        found = [run for order, folder in pairs for run in runs_of(folder if order is None else order, picture)]
    by_name = [run for run in found if any(set(run.slices) <= set(group) for group in proposed.values())]
    several = [run for run in found if len(run.slices) >= FEWEST]
    if 2 * sum(len(run.slices) for run in several) < len(photos):
        several = []  # a few photos alike among many views: some were taken twice
    accepted = [run for run in found if run in several or (run in by_name and len(proposed) > 1)]
    pairs = [run.slices for run in found if run not in accepted]
    notes = taken_twice(photos, [*pairs, *edited(photos, {i for run in found for i in run.slices}, picture)], picture)
    if not accepted:
        return photos, tuple(notes)
    accepted = [of_one_size(photos, run) for run in accepted]
    odd = {i: f"{photos[i].name} ({why})" for run in accepted for i, why in run.odd.items()}
    if odd:
        notes.append(f"Left out of their stacks: {listed(odd.values())}.")
    accepted = [SliceRun(_of_one_kind(photos, run.slices), run.odd) for run in accepted]
    accepted, copies = joined(photos, accepted, picture)
    notes += exposed(photos, accepted, picture)
    if copies:
        notes.append(f"Left out because they are the slices of a stack once more: {_names(photos[i] for i in copies)}.")
        odd |= dict.fromkeys(copies, "")
    grouped = {i for run in accepted for i in run.slices}
    strangers = [i for i in range(len(photos)) if i not in grouped and i not in odd]
    stacked = [i for i in strangers if any(is_of(i, run, picture) for run in accepted)]
    if stacked and not (len(accepted) == 1 and len(strangers) < STRANGERS):
        notes.append(
            "Left out because they show what a stack shows, from its place, and are no slices of it by their names, as "
            f"a picture stacked by another program: {_names(photos[i] for i in stacked)}."
        )
        odd |= dict.fromkeys(stacked, "")
        strangers = [i for i in strangers if i not in odd]
    if strangers and len(accepted) == 1 and len(strangers) < STRANGERS:
        which = _names(photos[i] for i in strangers)
        notes.append(f"Left out because they are no slices of the stack, by their names or pictures: {which}.")
        odd |= dict.fromkeys(strangers, "")
    names = _pose_names(photos, accepted)
    of = {i: name for name, run in zip(names, accepted, strict=True) for i in run.slices}
    kept = [i for i in range(len(photos)) if i not in odd]
    groups: dict[str, list[int]] = {}
    for at, i in enumerate(kept):
        if i in of:
            groups.setdefault(of[i], []).append(at)
    missed = [name for name, group in proposed.items() if len(proposed) > 1 and not (grouped | odd.keys()) & set(group)]
    if missed:
        notes.append(
            f"Named like focus brackets, but their photos differ, and so each is a view of its own: {listed(missed)}."
        )
    return _marked(tuple(photos[i] for i in kept), groups, tuple(notes))


def _order_of_slices(
    photos: Sequence[Photo], folder: Sequence[int], picture: Callable[[int], NDArray[np.float32]]
) -> list[int] | None:
    """The order in which slices follow each other, of those that the names allow; None: there are none."""
    names = [PurePosixPath(photos[i].name).stem for i in folder]
    orders = [[folder[at] for at in order] for order in orders_of(names)]
    counts = [alike_among(order, picture) for order in orders]
    return orders[int(np.argmax(counts))] if any(counts) else None


def _order_across(
    photos: Sequence[Photo], folders: Mapping[str, Sequence[int]], picture: Callable[[int], NDArray[np.float32]]
) -> list[int] | None:
    """The order in which slices follow each other, where a whole round was taken at each focus: every focus in a folder
    of its own, or numbers that go on from round to round."""
    every = range(len(photos))
    orders = [[i for first in range(step) for i in every[first::step]] for step in every[1:] if _rounds(every, step)]
    if len(folders) >= FEWEST:
        orders.insert(0, sorted(every, key=lambda i: natural_key(PurePosixPath(photos[i].name).name)))
    for order in orders:
        if all(alike(picture(a), picture(b)) > 0 for a, b in itertools.pairwise(order[:FEWEST])):
            return order
    return None


def _rounds(every: Sequence[int], step: int) -> bool:
    """Whether photos can be rounds of `step` views, of which there are as many as a stack has slices."""
    return step >= FEWEST and len(every) % step == 0 and len(every) // step >= FEWEST


def orders_of(names: Sequence[str]) -> list[list[int]]:
    """Orders of names: as they are; and, of names with several numbers in the same places (pose and slice, in whichever
    order, slices perhaps counted from -2 to +2), with each of the numbers as the one that moves fastest."""
    number = re.compile(r"([+-]?[0-9]+)" if any("+" in name for name in names) else r"([0-9]+)")
    parts = [number.split(name) for name in names]
    plain = list(range(len(names)))
    if len({tuple(part[::2]) for part in parts}) != 1:
        return [plain]
    values = [[int(text) for text in part[1::2]] for part in parts]
    moving = [n for n in range(len(values[0])) if len({value[n] for value in values}) > 1]
    if len(moving) > MOST_NUMBERS:
        return [plain]
    by_each = [
        sorted(plain, key=lambda i: ([v for m, v in enumerate(values[i]) if m != n], values[i][n])) for n in moving
    ]
    return [plain] + [order for order in by_each[::-1] if order != plain]


def _of_one_kind(photos: Sequence[Photo], slices: Sequence[int]) -> tuple[int, ...]:
    """Those named as most are: a result that somebody stacked and put beside the slices looks as they do."""
    kinds = [re.sub(r"[+-]?[0-9]+", "0", PurePosixPath(photos[i].name).stem) for i in slices]
    usual = max(kinds, key=kinds.count)
    if 2 * kinds.count(usual) <= len(slices):
        return tuple(slices)
    return tuple(i for i, kind in zip(slices, kinds, strict=True) if kind == usual)


def _pose_names(photos: Sequence[Photo], runs: Sequence[SliceRun]) -> list[str]:
    """What a stack's names have in common, if no other stack's have; else its first photo's name."""
    firsts = [PurePosixPath(photos[run.slices[0]].name).with_suffix("") for run in runs]
    stems = []
    for run, first in zip(runs, firsts, strict=True):
        counted = {PurePosixPath(photos[i].name).with_suffix("") for i in run.slices}
        of_all = {(found[1] if (found := _COUNTED.match(path.name)) else path.name) for path in counted}
        stem = next(iter(of_all)) if len(of_all) == 1 else ""
        stems.append((first.parent / stem).as_posix() if stem else "")
    return [
        stem if stem and stems.count(stem) == 1 else first.as_posix() for stem, first in zip(stems, firsts, strict=True)
    ]


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
    found = load_json(path)
    if isinstance(found, dict):
        lists = list(checked(found, dict[str, list[str]], str(path)).items())
    else:
        lists = [(str(n), group) for n, group in enumerate(checked(found, list[list[str]], str(path)))]
    names = [photo.name for photo in photos]
    groups: dict[str, list[int]] = {}
    seen: set[str] = set()
    for pose, group in lists:
        there = matched(group, names)
        for n, name in enumerate(group):
            if n not in there or names[there[n]] in seen or group.count(name) > 1:
                twice = group.count(name) > 1 or (n in there and names[there[n]] in seen)
                why = "twice" if twice else "but there is no such photo"
                raise MacrosplatError(f"{path} names {name[:100]}, {why}; correct or remove it.")
            seen.add(names[there[n]])
        slices = groups[pose or "0"] = [there[n] for n in range(len(group))]
        sizes = {(photos[i].width, photos[i].height): photos[i].name for i in slices}
        if len(sizes) > 1:
            which = listed(f"{name} {width} x {height}" for (width, height), name in sizes.items())
            raise MacrosplatError(f"{path} joins slices of different sizes ({which}); leave the others out of it.")
    return groups


def _same_cameras(cameras: Cameras) -> dict[str, list[int]]:
    """Groups of equal views, whatever their intrinsics: a lens may zoom as it focuses."""
    groups: list[list[int]] = []
    for i, view in enumerate(cameras.views):
        slack = SAME_POSE * np.array([1.0, 1.0, 1.0, max(1e-12, float(np.linalg.norm(view[:3, 3])))])
        same = (
            g
            for g in groups
            if (np.abs(cameras.views[g[0]][:3] - view[:3]) <= slack).all()
            and (cameras.sizes[g[0]] == cameras.sizes[i]).all()  # slices are joined pixel by pixel
        )
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
