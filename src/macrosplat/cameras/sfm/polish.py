"""The end of structure from motion: a model that is right, made accurate.

Matches are sought once more, close to the epipolar lines of the poses found (from poses that are off by 1 % they had to
be sought farther, among more that are false), and the pixels about the points place them. Where few points hold some
photo, those of a finer extraction are placed the same way, and adjusted together with the first: each moves a photo by
chances of its own. In: a model, features, photos. Out: `Polished`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from macrosplat.cameras.sfm import mapping, refine
from macrosplat.cameras.sfm.align import aligned
from macrosplat.cameras.sfm.features import GUIDED, Features, Matches, Progress, extract, read_grey, within
from macrosplat.cameras.sfm.pairs import joined
from macrosplat.cameras.sfm.radial import with_radial
from macrosplat.photos.records import Photo
from macrosplat.support.colmap import pycolmap

# px on either side of an epipolar line, and what an observation may be off, by turns (experiments: sfm-polished).
BAND, ERRORS = 2.0, (3.0, 2.0)
# px once the pixels have placed the points: of the Cauchy loss, and beyond which an observation is left out, by turns.
ALIGNED_LOSS, ALIGNED_ERRORS = 0.5, (3.0, 1.5)
# A photo with fewer points makes finer ones be sought. Together they are adjusted under a wider loss: so narrow a one
# follows what both have in common that is no point (experiments: sfm-together).
FEW, TOGETHER_ERRORS = 60, (4.0, 2.0)


@dataclass(frozen=True)
class Polished:
    """The end of structure from motion."""

    model: pycolmap.Reconstruction
    cameras: list[pycolmap.Camera]  # one per photo
    features: list[Features]  # of each photo: those that the model's points are made of, where they were placed
    loss: float  # px of the Cauchy loss that the model was adjusted under


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
        finer: whether points of a finer extraction are sought, too, where a photo has few.

    Raises:
        MacrosplatError: a photo cannot be read any more.
    """
    few = finer and min(model.images[i].num_points3D for i in model.reg_image_ids()) < FEW
    found = _placed(model, features, photos, cameras, folder, within(progress, 0.0, 0.3 if few else 1.0), seed)
    if found is None:
        return Polished(model, cameras, features, refine.LOSS)
    if few:
        found = _with_finer(found, photos, folder, within(progress, 0.3, 1.0), seed)
    if not radial:
        return found
    bent = with_radial(found.model, found.features, found.loss)
    return replace(found, model=bent, cameras=refine.cameras_of(bent, found.cameras))


def _with_finer(first: Polished, photos: tuple[Photo, ...], folder: Path, progress: Progress, seed: int) -> Polished:
    """With the points of a finer extraction; as it was where photos would be lost."""
    fine = extract(photos, GUIDED, folder, within(progress, 0.0, 0.7))
    bare = pycolmap.Reconstruction(first.model)
    for point_id in list(bare.points3D):
        bare.delete_point3D(point_id)
    second = _placed(bare, fine, photos, first.cameras, folder, within(progress, 0.7, 0.95), seed)
    if second is None:
        return first
    features = [a.with_more(b) for a, b in zip(first.features, second.features, strict=True)]
    matches = joined(_of_tracks(first.model, [0] * len(photos)), _of_tracks(second.model, [*map(len, first.features)]))
    views = mapping.views_of(first.model)
    names = [photo.name for photo in photos]
    model = mapping.triangulate_tracks(features, names, first.cameras, views, matches, folder, seed)
    for error in TOGETHER_ERRORS:
        mapping.thin_out(model, error, refine.KEEP_ANGLE)
        mapping.adjust(model, refine.LOSS, most=mapping.POLISHED_AWAY)
    mapping.leave_out_weak(model, mapping.POSE_INLIERS)
    if set(mapping.views_of(model)) != set(views):
        return first
    return Polished(model, refine.cameras_of(model, first.cameras), features, refine.LOSS)


def _placed(
    model: pycolmap.Reconstruction,
    features: list[Features],
    photos: tuple[Photo, ...],
    cameras: list[pycolmap.Camera],
    folder: Path,
    progress: Progress,
    seed: int,
) -> Polished | None:
    """The same photos under points of `features`, placed by pixels; None where photos would be lost."""
    names, closer, found = [photo.name for photo in photos], model, cameras
    for turn, most in enumerate(ERRORS):
        tell = within(progress, 0.4 * turn, 0.4 * (turn + 1))
        along = refine.along_lines_of(mapping.views_of(closer), features, found, BAND, tell)
        matches = joined(along, _of_others(model, features))
        closer = mapping.triangulate_tracks(features, names, found, mapping.views_of(closer), matches, folder, seed)
        for error in (2 * most, most):
            mapping.thin_out(closer, error, refine.KEEP_ANGLE)
            mapping.adjust(closer, refine.LOSS, most=mapping.POLISHED_AWAY)
        mapping.thin_out(closer, most, refine.KEEP_ANGLE)
        found = refine.cameras_of(closer, found)
    progress(0.8, "placing points by the pixels about them")
    held = [i - 1 for i in closer.reg_image_ids()]
    moved = aligned(closer, features, {i: read_grey(photos[i]) for i in held})
    for i in held:
        image, px = closer.images[i + 1], moved[i].px
        for row, point in enumerate(image.points2D):
            if point.has_point3D():
                point.xy = px[row]
    for error in ALIGNED_ERRORS:
        mapping.adjust(closer, ALIGNED_LOSS, end=mapping.EXACT, most=mapping.POLISHED_AWAY)
        mapping.thin_out(closer, error, refine.KEEP_ANGLE)
    mapping.adjust(closer, ALIGNED_LOSS, end=mapping.EXACT, most=mapping.POLISHED_AWAY)
    mapping.leave_out_weak(closer, mapping.POSE_INLIERS)
    if set(mapping.views_of(closer)) != set(mapping.views_of(model)):
        return None
    return Polished(closer, refine.cameras_of(closer, found), moved, ALIGNED_LOSS)


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
