"""What lies beside the slices of stacks, or looks like them: the same slices once more, results of other programs,
exposures and edits of one view.

In: photos, runs of slices, and how to come by a photo's thumbnail. Out: runs, indices, sentences.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

import numpy as np

from macrosplat.brackets.alike import Picture, SliceRun, alike, is_copy, of_one_place, of_one_pose
from macrosplat.photos.kinds import RAW, TIFF
from macrosplat.photos.names import bare, listed
from macrosplat.photos.records import Photo

EXPOSED = 0.8  # stops between neighbours that show one thing: a bracket of exposures, and none of focus
# What editors add to a photo's name, in lower case: img_e0001, img_0001-edit.
_EDITED = re.compile(r"(?<=^img_)e(?=[0-9])|[-_ ]+(?:edit(?:ed)?|enhanced|bearbeitet|copy|kopie)\b.*$")


def taken_twice(
    photos: Sequence[Photo], groups: Iterable[Sequence[int]], picture: Callable[[int], Picture]
) -> list[str]:
    """What to say of photos that show one thing from one place, and are too few for a stack. (Copies are left out
    elsewhere, and named there.)"""
    groups = [group for group in groups if not _is_copy(photos, group, picture)]
    if not groups:
        return []
    pairs = "; ".join(listed(photos[i].name for i in group) for group in groups[:3])
    more = f" and {len(groups) - 3} times more" if len(groups) > 3 else ""
    exposed = sum(_stops(photos[i] for i in group) >= EXPOSED for group in groups) > len(groups) / 2
    what = "as a bracket of exposures does" if exposed else "taken twice, or edited"
    return [
        f"These show one thing from one place, {what}, and each is a view of its own: {pairs}{more}; leave one of "
        "each, or, if their focus differs, name them in brackets.json."
    ]


def exposed(photos: Sequence[Photo], runs: Sequence[SliceRun], picture: Callable[[int], Picture]) -> list[str]:
    """What to say of slices that differ as exposures do: where EXIF says so of most runs, or, without it, pictures."""
    told = any(photo.exif.seconds for photo in photos)
    stops = [_stops(photos[i] for i in run.slices) if told else _apart(map(picture, run.slices)) for run in runs]
    if sum(one >= 2 * EXPOSED for one in stops) <= len(runs) / 2:
        return []
    names = listed(photos[i].name for i in runs[stops.index(max(stops))].slices)
    return [
        f"The slices of a pose differ by up to {max(stops):.1f} stops ({names}, by {'EXIF' if told else 'their light'}"
        "), as brackets of exposures do: if their focus is one, leave one exposure of each."
    ]


def _is_copy(photos: Sequence[Photo], group: Sequence[int], picture: Callable[[int], Picture]) -> bool:
    a, b = group[:2]
    return is_copy(picture(a), picture(b), resized=photos[a].width != photos[b].width)


def edited(photos: Sequence[Photo], known: set[int], picture: Callable[[int], Picture]) -> list[tuple[int, int]]:
    """Pairs of a photo and what an editor made of it, by their names and pictures."""
    by_name: dict[str, list[int]] = {}
    for i, photo in enumerate(photos):
        if i not in known:
            by_name.setdefault(_EDITED.sub("", bare(photo.name)), []).append(i)
    pairs = [(group[0], group[1]) for group in by_name.values() if len(group) > 1]
    return [pair for pair in pairs if of_one_place(*map(picture, pair))]


def _stops(photos: Iterable[Photo]) -> float:
    """How far the exposures lie apart, by EXIF; 0 where it does not tell."""
    light = [
        math.log2(exif.seconds * (exif.iso or 100) / (exif.f_number or 1) ** 2)
        for exif in (photo.exif for photo in photos)
        if exif.seconds
    ]
    return max(light) - min(light) if light else 0.0


def _apart(pictures: Iterable[Picture]) -> float:
    """How many stops of light, in the mean over the frame, lie between pictures: focus moves light, and takes none."""
    light = [math.log2(max(1e-4, float(np.square(picture).mean()))) for picture in pictures]
    return max(light) - min(light)


def joined(
    photos: Sequence[Photo], runs: Sequence[SliceRun], picture: Callable[[int], Picture]
) -> tuple[list[SliceRun], list[int]]:
    """The runs, those of one pose joined; and the slices that are another run's once more, by their names (a stack in
    JPEG and in TIFF, slices that a program aligned)."""
    poses: list[SliceRun] = []
    copies: list[int] = []
    for run in sorted(runs, key=lambda run: _preferred(photos[run.slices[0]])):
        middle = picture(run.slices[len(run.slices) // 2])
        same = next((one for one in poses if of_one_pose(picture(one.slices[len(one.slices) // 2]), middle)), None)
        if same is None:
            poses.append(run)
            continue
        taken, first = {bare(photos[i].name) for i in same.slices}, photos[same.slices[0]]
        further = tuple(
            i
            for i in run.slices
            if bare(photos[i].name) not in taken and (photos[i].width, photos[i].height) == (first.width, first.height)
        )
        copies += [i for i in run.slices if i not in further]
        poses[poses.index(same)] = SliceRun(same.slices + further, {**same.odd, **run.odd})
    return sorted(poses, key=lambda run: run.slices[0]), copies


def of_one_size(photos: Sequence[Photo], run: SliceRun) -> SliceRun:
    """The run without slices of another size than most (a preview, a crop): slices are joined pixel by pixel."""
    sizes = {i: (photos[i].width, photos[i].height) for i in run.slices}
    usual = max(sizes.values(), key=list(sizes.values()).count)
    odd = {i: f"{width} x {height} px" for i, (width, height) in sizes.items() if (width, height) != usual}
    return SliceRun(tuple(i for i in run.slices if i not in odd), {**run.odd, **odd}) if odd else run


def _preferred(photo: Photo) -> tuple[int, int, bool, str]:
    """Of two stacks alike the first counts: the one in the outer folder, the larger, the one in TIFF or RAW."""
    path = PurePosixPath(photo.name)
    return len(path.parts), -photo.width * photo.height, path.suffix.lower() not in RAW | TIFF, photo.name


def is_of(i: int, run: SliceRun, picture: Callable[[int], Picture]) -> bool:
    ends = {run.slices[0], run.slices[len(run.slices) // 2], run.slices[-1]}
    return any(alike(picture(one), picture(i)) > 0 for one in ends)
