"""The coded targets of a capture, read once and kept in RUN/targets.json.

In: a `Capture`, the file to keep them in. Out: `Readings`, px of the undistorted photos at full size.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import numpy as np

from macrosplat.cameras.targets import Readings, Sizes
from macrosplat.cameras.undistort import read_undistorted
from macrosplat.capture.records import Capture
from macrosplat.photos.names import listed
from macrosplat.photos.records import Photo
from macrosplat.photos.targets import Family, Target, opencv, read_targets
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_json
from macrosplat.support.json import checked, load_json
from macrosplat.support.progress import Progress
from macrosplat.support.threads import ordered, workers

READ_AT = 2400  # px of width: more tells corners no better, and takes the time that it has pixels
MOST_PX = 1e6  # how unsure a corner may be
BYTES = 60  # per px that a photo takes while it is read


class _Kept(msgspec.Struct):
    number: int
    corners: list[tuple[float, float]]
    sigma: float
    blur: float
    fit: float


def find_targets(opened: Capture, sizes: Sizes, kept: Path, progress: Progress) -> Readings:
    """The targets of every photo, read or as they are kept.

    Raises:
        MacrosplatError: OpenCV is missing, a photo cannot be read, or the file is damaged.
    """
    if kept.is_file():
        return read_kept(kept)
    family = Family(sizes.family)
    family.patterns  # noqa: B018  made once, before the threads
    progress.stage("reading coded targets", len(opened.photos))
    lenses = dict(zip(opened.cameras.names, opened.cameras.distortion, strict=True)) if opened.cameras else {}

    def one(photo: Photo) -> list[Target]:
        width = min(photo.width, READ_AT)
        found = read_targets(read_undistorted(photo, lenses.get(photo.name), width), family)
        larger = photo.width / width
        return [
            replace(target, corners=target.corners * larger, sigma=target.sigma * larger, blur=target.blur * larger)
            for target in found
        ]

    opencv().setNumThreads(1)
    most = workers(BYTES * max(min(photo.width, READ_AT) ** 2 for photo in opened.photos))
    found = {}
    for photo, targets in zip(opened.photos, ordered(one, opened.photos, most), strict=True):
        found[photo.name] = targets
        progress.advance()
    write_json(
        kept, {name: [{**asdict(one), "corners": one.corners.tolist()} for one in some] for name, some in found.items()}
    )
    progress.note(_said(found))
    return found


def read_kept(path: Path) -> Readings:
    """What `find_targets` has kept.

    Raises:
        MacrosplatError: the file is damaged.
    """
    remedy = "remove it to have the targets read again"
    found = checked(load_json(path, finite=True, remedy=remedy), dict[str, list[_Kept]], str(path), remedy)
    if any(len(one.corners) != 4 or not 0 < one.sigma < MOST_PX for some in found.values() for one in some):
        raise MacrosplatError(f"{path} is damaged: a target has four corners, and how sure they are in px; {remedy}.")
    return {
        name: [Target(one.number, np.array(one.corners), one.sigma, one.blur, one.fit) for one in some]
        for name, some in found.items()
    }


def _said(found: Readings) -> str:
    numbers = sorted({one.number for some in found.values() for one in some})
    count = sum(map(len, found.values()))
    if not numbers:
        return "No coded target was read in any photo: are they of the family that was said, and not too blurred?"
    without = [name for name, some in found.items() if not some]
    more = f"; none in {listed(without)}" if without else ""
    which = listed(str(number) for number in numbers)
    return f"Coded targets: {len(numbers)} ({which}), read {count} times in {len(found) - len(without)} photos{more}."
