"""The end of structure from motion: a model that is right, made accurate.

Matches are sought once more, close to the epipolar lines of the poses found (from poses that are off by 1 % they had to
be sought farther, among more that are false), and the pixels about the points place them. Where few points hold some
photo, it may lie far off, and the same few confirm it there: points of blurred copies, three times as many, are sought
until they move the photos no more, then the first ones again, and all are adjusted together: each moves a photo by
chances of its own. At last each observation is trusted by the size of its key point; but a lens that breathes, whose
focal lengths are taken for one here, is told better where all are trusted alike (experiments: large-points), so that
model is kept beside. In: a model, features, photos. Out: `Polished`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.sfm import bundle, mapping, refine
from macrosplat.cameras.sfm.align import aligned
from macrosplat.cameras.sfm.features import COPIES, Features, Matches, Progress, extract, read_grey, within
from macrosplat.cameras.sfm.pairs import joined
from macrosplat.cameras.sfm.radial import with_radial
from macrosplat.photos.records import Photo
from macrosplat.support.colmap import pycolmap

# px on either side of an epipolar line, and what an observation may be off, by turns (experiments: sfm-polished); the
# last one again, at most so often, until the photos hardly move (`refine.SETTLED`).
BAND, ERRORS, AGAIN = 2.0, (3.0, 2.0), 4
# px once the pixels have placed the points: of the Cauchy loss, and beyond which an observation is left out, by turns.
ALIGNED_LOSS, ALIGNED_ERRORS = 0.5, (3.0, 1.5)
# A photo with fewer points of its first extraction makes those of copies be sought (experiments: sfm-copies).
FEW = 60


@dataclass(frozen=True)
class Polished:
    """The end of structure from motion."""

    model: pycolmap.Reconstruction
    cameras: list[pycolmap.Camera]  # one per photo
    features: list[Features]  # of each photo: those that the model's points are made of, where they were placed
    loss: float  # px of the Cauchy loss that its observations were chosen under
    copied: bool = False  # with points of blurred copies
    alike: pycolmap.Reconstruction | None = None  # the model by observations that are trusted alike


def polished(
    model: pycolmap.Reconstruction,
    features: list[Features],
    photos: tuple[Photo, ...],
    cameras: list[pycolmap.Camera],
    folder: Path,
    progress: Progress,
    seed: int,
    radial: bool = True,
    finer: bool = False,
) -> Polished:
    """The same photos, more accurately; the model as it was where some of them would be lost.

    Args:
        model: image n + 1 is photo n; it is left as it is.
        cameras: one per photo.
        radial: whether the lens may bend.
        finer: whether points of blurred copies are sought, too, where a photo has few.

    Raises:
        MacrosplatError: a photo cannot be read any more.
    """
    few = finer and min(_own(model.images[i], features[i - 1]) for i in model.reg_image_ids()) < FEW
    first = _Begun(features, mapping.views_of(model), cameras, _of_others(model, features))
    found = _placed(first, photos, folder, within(progress, 0.0, 0.2 if few else 1.0), seed)
    if found is None:
        return Polished(model, cameras, features, refine.LOSS)
    if few:
        found = _with_copies(first, found, photos, folder, within(progress, 0.2, 1.0), seed)
    alike, ended = found.model, pycolmap.Reconstruction(found.model)
    noise = bundle.Noise.by_size(ended, found.features)
    bundle.adjust(ended, noise, most=mapping.POLISHED_AWAY)
    if radial:
        alike = with_radial(alike, found.features, bundle.Noise.alike(found.features, found.loss))
        ended = with_radial(ended, found.features, noise)
    return replace(found, model=ended, cameras=refine.cameras_of(ended, found.cameras), alike=alike)


@dataclass(frozen=True)
class _Begun:
    """What photos are placed from."""

    features: list[Features]
    views: dict[int, NDArray[np.float64]]  # photo index: [4, 4] world to camera
    cameras: list[pycolmap.Camera]
    matches: Matches  # besides those that are sought


def _with_copies(
    first: _Begun, found: Polished, photos: tuple[Photo, ...], folder: Path, progress: Progress, seed: int
) -> Polished:
    """With the points of blurred copies; as it was found where photos would be lost.

    Args:
        first: what `found` was made from.
    """
    features, views = extract(photos, COPIES, folder, within(progress, 0.0, 0.6)), mapping.views_of(found.model)
    begun = _Begun(features, views, found.cameras, {})
    copied = _placed(begun, photos, folder, within(progress, 0.6, 0.85), seed, AGAIN)
    if copied is None:
        return found
    views = mapping.views_of(copied.model)
    begun = replace(first, views=views, cameras=copied.cameras)
    again = _placed(begun, photos, folder, within(progress, 0.85, 0.95), seed) or found
    features = [a.with_more(b) for a, b in zip(again.features, copied.features, strict=True)]
    matches = joined(_of_tracks(again.model, [0] * len(photos)), _of_tracks(copied.model, [*map(len, again.features)]))
    names = [photo.name for photo in photos]
    model = mapping.triangulate_tracks(features, names, copied.cameras, views, matches, folder, seed)
    _end(model)
    if set(mapping.views_of(model)) != set(views):
        return found
    return Polished(model, refine.cameras_of(model, copied.cameras), features, ALIGNED_LOSS, True)


def _placed(
    begun: _Begun, photos: tuple[Photo, ...], folder: Path, progress: Progress, seed: int, most: int = len(ERRORS)
) -> Polished | None:
    """The same photos, placed by pixels; None where some would be lost.

    Args:
        most: rounds of matching.
    """
    names, features = [photo.name for photo in photos], begun.features
    views, found = begun.views, begun.cameras
    for turn in range(most):
        tell = within(progress, 0.8 * turn / most, 0.8 * (turn + 1) / most)
        matches = joined(refine.along_lines_of(views, features, found, BAND, tell), begun.matches)
        closer = mapping.triangulate_tracks(features, names, found, views, matches, folder, seed)
        off = ERRORS[min(turn, len(ERRORS) - 1)]
        for error in (2 * off, off):
            mapping.thin_out(closer, error, refine.KEEP_ANGLE)
            mapping.adjust(closer, refine.LOSS, most=mapping.POLISHED_AWAY)
        mapping.thin_out(closer, off, refine.KEEP_ANGLE)
        found, before, views = refine.cameras_of(closer, found), views, mapping.views_of(closer)
        if turn + 1 >= len(ERRORS) and refine.moved(before, views, closer) < refine.SETTLED:
            break
    progress(0.8, "placing points by the pixels about them")
    held = [i - 1 for i in closer.reg_image_ids()]
    moved = aligned(closer, features, {i: read_grey(photos[i]) for i in held})
    for i in held:
        image, px = closer.images[i + 1], moved[i].px
        for row, point in enumerate(image.points2D):
            if point.has_point3D():
                point.xy = px[row]
    _end(closer)
    # Where next to no points are left, no photo is left out as weak.
    held_by = [closer.images[i].num_points3D for i in closer.reg_image_ids()]
    if set(mapping.views_of(closer)) != set(begun.views) or min(held_by) < mapping.POSE_INLIERS:
        return None
    return Polished(closer, refine.cameras_of(closer, found), moved, ALIGNED_LOSS)


def _end(model: pycolmap.Reconstruction) -> None:
    """Adjust a model whose points the pixels have placed."""
    for error in ALIGNED_ERRORS:
        mapping.adjust(model, ALIGNED_LOSS, end=mapping.EXACT, most=mapping.POLISHED_AWAY)
        mapping.thin_out(model, error, refine.KEEP_ANGLE)
    mapping.adjust(model, ALIGNED_LOSS, end=mapping.EXACT, most=mapping.POLISHED_AWAY)
    mapping.leave_out_weak(model, mapping.POSE_INLIERS)


def _own(image: pycolmap.Image, features: Features) -> int:
    """How many points of a photo's first extraction the model has."""
    return int((np.array(image.get_observation_point2D_idxs(), np.int64) < len(features.first())).sum())


def _of_others(model: pycolmap.Reconstruction, features: list[Features]) -> Matches:
    """Matches of the model's points that are not of a photo's first extraction alone, which is all that is sought."""
    own = [len(one.first()) for one in features]
    every = _of_tracks(model, [0] * len(features))
    found = {(i, j): rows[(rows[:, 0] >= own[i]) | (rows[:, 1] >= own[j])] for (i, j), rows in every.items()}
    return {pair: rows for pair, rows in found.items() if len(rows)}


def _of_tracks(model: pycolmap.Reconstruction, begin: Sequence[int]) -> Matches:
    """All pairs of the observations of the model's points, as rows behind those at which each photo's begin."""
    found: defaultdict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for point_id in sorted(model.points3D):
        track = sorted((one.image_id - 1, one.point2D_idx) for one in model.points3D[point_id].track.elements)
        for (i, a), (j, b) in combinations(track, 2):
            if i != j:
                found[i, j].append((begin[i] + a, begin[j] + b))
    return {pair: np.array(rows, np.int64) for pair, rows in found.items()}
