"""Which neighbouring photos show one picture from one place: the slices of a stack, whatever they are called.

In: thumbnails of photos in their order. Out: `SliceRun`s, with the odd ones among them (turned, dark, of something
else), which do not break a run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.brackets.align import IDENTITY, aligned, likeness, motion
from macrosplat.photos.records import same_shape
from macrosplat.photos.resample import area_average

Picture = NDArray[np.float32]  # [H, W] square root of linear light, 96 px wide: `align.thumbnail`
# Correlation of two pictures 96 px wide, blurred by 2 px. Neighbouring slices reach 0.98 and more, also through a lens
# that zooms as it focuses; neighbouring photos of three captures (8 to 15 degrees apart) 0.07 to 0.97.
ALIKE = 0.95
PERHAPS = 0.7  # as they lie: below it they are not even aligned
ALIKE_ALIGNED = 0.9  # to the middle slice, zoom, shift and roll taken out: a slow turntable fails here
# px of `motion`, to the neighbour and to the middle slice: stacks stay below 0.25, views of a turned thing reach 2.
MOVED, MOVED_FROM_MIDDLE = 0.5, 1.0
DARKER = 2.0  # stops that a slice may differ by from its stack: beyond, 8 bits hold too little of it
SLICES = 0.98  # what slices reach: with less a large `motion` is no noise of pictures that show little
PROBES = 20  # neighbours that are compared before all are: most captures hold no stack
BEFORE = 8  # slices before the last one that a photo may be like: not every focus moves one way only
# Of the middle slices of two runs: what makes them one pose, taken twice or saved twice.
ONE_POSE, STILL = 0.98, 0.25
COPIED, RESIZED = 0.02, 0.1  # difference of a photo saved again, as a share of its spread: `capture.doubles`
SPLITS = 4.0  # a neighbour that is this much less alike than neighbours of the run are is where another pose begins


@dataclass(frozen=True)
class SliceRun:
    """Photos of one pose."""

    slices: tuple[int, ...]
    odd: dict[int, str] = field(default_factory=dict)  # index of a photo among them that is none of them: why


def runs_of(order: Sequence[int], picture: Callable[[int], Picture]) -> list[SliceRun]:
    """Runs of two slices and more.

    Args:
        order: indices of photos, as they were taken.
    """
    pictures = {i: picture(i) for i in order}
    found: list[SliceRun] = []
    at = 0
    while at < len(order):
        slices, odd, at = _run_from(order, at, pictures)
        found += _checked(slices, odd, pictures)
    found = _wrapped(found, order, pictures)
    return [_even(run, pictures) for run in found]


def alike_among(order: Sequence[int], picture: Callable[[int], Picture]) -> int:
    """How many of some neighbours, evenly spaced, are of one place: where most photos are slices, two thirds are."""
    pairs = len(order) - 1
    some = (
        range(pairs) if pairs <= PROBES else np.unique(np.linspace(0, pairs - 1, PROBES).round().astype(int)).tolist()
    )
    return sum(alike(picture(order[n]), picture(order[n + 1])) > 0 for n in some)


def alike(a: Picture, b: Picture) -> float:
    """Likeness of two pictures if they are of one place, else -1: zoom, shift and roll do not count, parallax does."""
    if a.shape != b.shape:
        return -1.0
    plain = likeness(a, b, IDENTITY)
    if plain < PERHAPS:
        return -1.0
    warp = aligned(a, b)
    best = max(plain, likeness(a, b, warp))
    return best if best >= ALIKE and motion(a, b, warp) <= MOVED else -1.0


def is_copy(a: Picture, b: Picture, resized: bool) -> bool:
    """Whether one is the other, saved once more, and perhaps in another size."""
    most = (RESIZED if resized else COPIED) * max(float(a.std()), 1e-9)
    return a.shape == b.shape and bool(np.sqrt(np.mean((a - b) ** 2)) <= most)


def of_one_pose(a: Picture, b: Picture) -> bool:
    """Whether two runs, by their middle slices, are of one pose: far stricter than of neighbours."""
    if a.shape != b.shape or likeness(a, b, IDENTITY) < PERHAPS:
        return False
    warp = aligned(a, b)
    return likeness(a, b, warp) >= ONE_POSE and motion(a, b, warp) <= STILL


def of_several_places(slices: Sequence[int], picture: Callable[[int], Picture]) -> bool:
    """Whether pictures that are said to be of one place are not: those beside the middle one, since the ends of a stack
    differ most by their blur."""
    middle, beside = slices[len(slices) // 2], (len(slices) // 2 - 1, len(slices) // 2 + 1)
    others = [slices[n] for n in beside if 0 <= n < len(slices)]
    return bool(others) and all(_moved(picture(middle), picture(other)) for other in others)


def _moved(a: Picture, b: Picture) -> bool:
    if a.shape != b.shape:
        return False
    warp = aligned(a, b)
    return motion(a, b, warp) > MOVED_FROM_MIDDLE and likeness(a, b, warp) < SLICES


def _run_from(order: Sequence[int], at: int, pictures: dict[int, Picture]) -> tuple[list[int], dict[int, str], int]:
    """The run that begins at a place of the order, and the place where the next one does."""
    slices, odd = [order[at]], {}
    at += 1
    while at < len(order):
        here, last = pictures[order[at]], pictures[slices[-1]]
        if alike(last, here) > 0 or any(alike(pictures[i], here) > 0 for i in slices[-BEFORE:-1]):
            slices.append(order[at])
        elif turn := _turned(last, here):
            if len(slices) == 1 and at + 1 < len(order) and alike(here, pictures[order[at + 1]]) > 0:
                break  # the first one is the odd one
            odd[order[at]] = turn
        elif at + 1 < len(order) and len(slices) > 1 and alike(last, pictures[order[at + 1]]) > 0:
            odd[order[at]] = "it shows something else"
        else:
            break
        at += 1
    return slices, odd, at


def _turned(a: Picture, b: Picture) -> str | None:
    """What to say of a picture that is the other one, turned by the camera's orientation."""
    for quarters in (1, 2, 3):
        turned: Any = np.ascontiguousarray(np.rot90(b, quarters))
        if not same_shape(turned.shape[::-1], a.shape[::-1]):
            continue
        # Thumbnails are of one width: of a portrait's they are larger than of the same photo as a landscape.
        width, height = min(turned.shape[::-1], a.shape[::-1])
        if alike(area_average(a, (width, height)), area_average(turned, (width, height))) > 0:
            return f"it is turned by {90 * quarters} degrees against the others, by its EXIF orientation"
    return None


def _checked(slices: Sequence[int], odd: dict[int, str], pictures: dict[int, Picture]) -> list[SliceRun]:
    """The run, if its slices are alike from end to end; else what it falls into where neighbours are least alike."""
    if len(slices) < 2:
        return []
    middle = pictures[slices[len(slices) // 2]]
    if all(of_one_place(middle, pictures[i]) for i in slices):
        return [SliceRun(tuple(slices), {i: why for i, why in odd.items()})]
    less = [1 - alike(pictures[a], pictures[b]) for a, b in itertools.pairwise(slices)]
    weakest = int(np.argmax(less))
    if less[weakest] < SPLITS * float(np.median(less)):
        return []  # alike from photo to photo, all the way round: a slow turntable
    halves = slices[: weakest + 1], slices[weakest + 1 :]
    return [
        run
        for half in halves
        for run in _checked(half, {i: w for i, w in odd.items() if half[0] < i < half[-1]}, pictures)
    ]


def of_one_place(middle: Picture, other: Picture) -> bool:
    if middle.shape != other.shape:
        return False
    warp = aligned(middle, other)
    return likeness(middle, other, warp) >= ALIKE_ALIGNED and motion(middle, other, warp) <= MOVED_FROM_MIDDLE


def _wrapped(found: list[SliceRun], order: Sequence[int], pictures: dict[int, Picture]) -> list[SliceRun]:
    """The first and the last run as one, if they are: a camera's numbers go on at 0001 after 9999."""
    if len(found) < 2 or found[0].slices[0] != order[0] or found[-1].slices[-1] != order[-1]:
        return found
    joined = found[-1].slices + found[0].slices
    if alike(pictures[found[-1].slices[-1]], pictures[found[0].slices[0]]) < 0:
        return found
    whole = _checked(list(joined), {}, pictures)
    if len(whole) != 1 or len(whole[0].slices) != len(joined):
        return found
    return [SliceRun(joined, {**found[-1].odd, **found[0].odd}), *found[1:-1]]


def _even(run: SliceRun, pictures: dict[int, Picture]) -> SliceRun:
    """Without slices that are far darker or brighter than the others."""
    stops = {i: math.log2(max(float((pictures[i] ** 2).mean()), 1e-6)) for i in run.slices}
    usual = float(np.median(list(stops.values())))
    off = {i: value - usual for i, value in stops.items() if abs(value - usual) > DARKER}
    if not off or len(run.slices) - len(off) < 2:
        return run
    odd = {
        i: f"{abs(value):.1f} stops {'brighter' if value > 0 else 'darker'} than the others" for i, value in off.items()
    }
    return SliceRun(tuple(i for i in run.slices if i not in off), {**run.odd, **odd})
