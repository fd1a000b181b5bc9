"""The end of structure from motion: a model that is right, made accurate.

Matches are sought once more, close to the epipolar lines of the poses found (from poses that are off by 1 % they had to
be sought farther, among more that are false), and the pixels about the points place them. In: a model, features,
photos. Out: the model, its cameras and the features whose points have moved.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np

from macrosplat.cameras.sfm import mapping, refine
from macrosplat.cameras.sfm.align import aligned
from macrosplat.cameras.sfm.features import Features, Matches, Progress, read_grey, within
from macrosplat.cameras.sfm.pairs import joined
from macrosplat.photos.records import Photo
from macrosplat.support.colmap import pycolmap

# px on either side of an epipolar line, and what an observation may be off, by turns (experiments: sfm-polished).
BAND, ERRORS = 2.0, (3.0, 2.0)
# px once the pixels have placed the points: of the Cauchy loss, and beyond which an observation is left out, by turns.
ALIGNED_LOSS, ALIGNED_ERRORS = 0.5, (3.0, 1.5)


def polished(
    model: pycolmap.Reconstruction,
    features: list[Features],
    photos: tuple[Photo, ...],
    cameras: list[pycolmap.Camera],
    folder: Path,
    progress: Progress,
    seed: int,
) -> tuple[pycolmap.Reconstruction, list[pycolmap.Camera], list[Features]]:
    """The same photos, more accurately; the model as it was where some of them would be lost.

    Args:
        model: image n + 1 is photo n; it is left as it is.
        cameras: one per photo.

    Raises:
        MacrosplatError: a photo cannot be read any more.
    """
    names, closer, found = [photo.name for photo in photos], model, cameras
    for turn, most in enumerate(ERRORS):
        tell = within(progress, 0.4 * turn, 0.4 * (turn + 1))
        along = refine.along_lines_of(mapping.views_of(closer), features, found, BAND, tell)
        matches = joined(along, _of_others(model, features))
        closer = mapping.triangulate_tracks(features, names, found, mapping.views_of(closer), matches, folder, seed)
        for error in (2 * most, most):
            mapping.thin_out(closer, error, refine.KEEP_ANGLE)
            mapping.adjust(closer, refine.LOSS)
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
        mapping.adjust(closer, ALIGNED_LOSS, end=mapping.EXACT)
        mapping.thin_out(closer, error, refine.KEEP_ANGLE)
    mapping.adjust(closer, ALIGNED_LOSS, end=mapping.EXACT)
    mapping.leave_out_weak(closer, mapping.POSE_INLIERS)
    if set(mapping.views_of(closer)) != set(mapping.views_of(model)):
        return model, cameras, features
    return closer, refine.cameras_of(closer, found), moved


def _of_others(model: pycolmap.Reconstruction, features: list[Features]) -> Matches:
    """Matches of the model's points that are not of a photo's first extraction alone, which is all that is sought."""
    own = [len(one.first()) for one in features]
    found: defaultdict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for point_id in sorted(model.points3D):
        track = sorted((one.image_id - 1, one.point2D_idx) for one in model.points3D[point_id].track.elements)
        for (i, a), (j, b) in combinations(track, 2):
            if i != j and (a >= own[i] or b >= own[j]):
                found[i, j].append((a, b))
    return {pair: np.array(rows, np.int64) for pair, rows in found.items()}
