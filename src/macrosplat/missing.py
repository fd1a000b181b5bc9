"""Photos without cameras, placed by a scene that is learned quickly of the others.

In: a capture, the cameras and points of some of its photos. Out: the cameras of more of them and new points, and
sentences that say it photo by photo. `train.place` finds a photo's view; here stands which ones, and what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.cameras.distort import with_focal
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.cameras.undistort import read_undistorted, read_undistorted_mask
from macrosplat.capture.records import TrainingInput
from macrosplat.photos.names import listed
from macrosplat.photos.records import Photo
from macrosplat.train.place import Lost, Placed, place
from macrosplat.train.trainer import Trainer

WIDTH = 480  # px at which the scene is learned, at most
STRIDES = 1, 2, 3, 4  # photos are taken in rings, or in turns at so many heights
FEWEST = 6  # photos with cameras that such a scene needs


@dataclass(frozen=True)
class Found:
    """What became of the photos without cameras."""

    cameras: Cameras  # of all that have one now, in the order of the photos, as training has corrected them
    points: SparsePoints
    placed: tuple[str, ...]  # names of those that had none
    said: str | None  # which were placed
    left: str | None  # which were not


def missing(photos: Sequence[Photo], cameras: Cameras) -> list[Photo]:
    """Photos that have no camera, and could be placed: there are enough others, and one of the same shape."""
    if len(cameras) < FEWEST or any(photo.pose is not None for photo in photos):
        return []
    sizes = {tuple(size) for size in cameras.sizes.tolist()}
    return [photo for photo in photos if photo.name not in cameras.names and (photo.width, photo.height) in sizes]


def find_missing(
    photos: Sequence[Photo],
    given: TrainingInput,
    learn: Callable[[], Trainer],
    triangulate: Callable[[Cameras], SparsePoints],
    folder: Path,
    seed: int,
    seen: Mapping[str, NDArray[np.float64]] | None = None,
) -> Found:
    """Place what can be placed.

    Args:
        photos: all of the capture, in order.
        given: what `learn` learns a scene of: some of them.
        triangulate: points of cameras.
        folder: for scratch files.
        seen: photo name to a view [4, 4] that it may have, of some of them.

    Raises:
        MacrosplatError: a photo cannot be read any more.
    """
    trainer = learn()
    model, targets = trainer.model, trainer.targets
    sampling = trainer.last_sampling()
    lost = [_lost(photo, photos, given, seen or {}) for photo in missing(photos, given.cameras)]
    found = place(model, targets.photos, targets.masks, lost, sampling, folder, seed)
    names = tuple(one.name for one, where in zip(lost, found, strict=True) if where.accepted)
    cameras = _all(photos, given, trainer, lost, found)
    points = triangulate(cameras) if names else given.points
    return Found(cameras if names else given.cameras, points, names, *_sentences(lost, found))


def around(at: int, count: int, row: Mapping[int, int]) -> list[tuple[int, int, float]]:
    """Pairs of rows with a camera, and the share of the way from one to the other at which photo `at` may lie: in the
    middle between photos as far before as after it, or as far again beyond two. After the last photo comes the first.

    Args:
        count: of photos. row: photo that has a camera to its row.
    """
    found = []
    for k in STRIDES:
        for first, second, share in ((at - k, at + k, 0.5), (at - 2 * k, at - k, 2.0), (at + 2 * k, at + k, 2.0)):
            first, second = first % count, second % count
            if first in row and second in row and first != second:
                found.append((row[first], row[second], share))
    return found


def _lost(photo: Photo, photos: Sequence[Photo], given: TrainingInput, seen: Mapping[str, NDArray[np.float64]]) -> Lost:
    """A photo without a camera, and where it may have been taken by those that have one."""
    names, order = given.cameras.names, [one.name for one in photos]
    at = order.index(photo.name)
    with_camera = [(n, names.index(name)) for n, name in enumerate(order) if name in names]
    before = max((one for one in with_camera if one[0] < at), default=None)
    after = min((one for one in with_camera if one[0] > at), default=None)
    share = 0.5 if before is None or after is None else (at - before[0]) / (after[0] - before[0])
    sizes = given.cameras.sizes.tolist()
    alike = [one for one in with_camera if sizes[one[1]] == [photo.width, photo.height]]
    like = min(alike, key=lambda one: abs(one[0] - at))[1]
    lens = given.cameras.distortion[like]
    return Lost(
        photo.name,
        read_undistorted(photo, lens, given.width),
        read_undistorted_mask(photo, lens, given.width) if photo.mask is not None else None,
        like,
        None if before is None else before[1],
        None if after is None else after[1],
        share,
        tuple(around(at, len(order), dict(with_camera))),
        seen.get(photo.name),
    )


def _all(
    photos: Sequence[Photo], given: TrainingInput, trainer: Trainer, lost: Sequence[Lost], found: Sequence[Placed]
) -> Cameras:
    """The cameras of the photos that have one now, in the order of the photos."""
    rig, old = trainer.model.rig, given.cameras
    with torch.no_grad():
        found_at = [rig.camera(v).view.cpu().numpy().astype(np.float64) for v in range(len(rig))]
    views = [seen if moved else was for seen, was, moved in zip(found_at, old.views, rig.moves.tolist(), strict=True)]
    rows = list(range(len(old)))
    names = list(old.names)
    for one, where in zip(lost, found, strict=True):
        if where.accepted:
            names.append(one.name)
            views.append(where.view)
            rows.append(one.like)
    cameras = replace(
        old,
        names=tuple(names),
        views=np.stack(views),
        intrinsics=old.intrinsics[rows],
        sizes=old.sizes[rows],
        distortion=tuple(old.distortion[row] for row in rows),
    )
    cameras = with_focal(cameras, np.full(len(cameras), rig.focal()))
    return cameras.select([photo.name for photo in photos if photo.name in names])


def _sentences(lost: Sequence[Lost], found: Sequence[Placed]) -> tuple[str | None, str | None]:
    """Of what was placed, and of what was not."""

    def told(accepted: bool) -> str:
        return listed(
            f"{one.name} ({where.agrees:.1f} dB)"
            for one, where in zip(lost, found, strict=True)
            if where.accepted == accepted
        )

    usual = f"the scene explains its own photos to {found[0].usual:.1f} dB" if found else ""
    some, all_of_them = (judge(where.accepted for where in found) for judge in (any, all))
    said = f"Placed by the scene that the other photos make: {told(True)}; {usual}." if some else None
    left = f"Left out, since the scene that the others make does not explain them: {told(False)}; {usual}."
    return said, None if all_of_them else left
