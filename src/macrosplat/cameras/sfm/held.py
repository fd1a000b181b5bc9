"""Photos whose cameras are brought to agree with those of others, which are held.

In: photos, their cameras, and which of these may be off by a few px. Out: the same cameras, those few more accurate: by
matches along the epipolar lines of all, points that the pixels about them have placed, and bundle adjustment.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from macrosplat.cameras.records import Cameras, centres_of
from macrosplat.cameras.sfm import mapping, refine
from macrosplat.cameras.sfm.features import Features
from macrosplat.cameras.sfm.known import canvas_camera, named, silent
from macrosplat.cameras.sfm.polish import ALIGNED_ERRORS, ALIGNED_LOSS, placed_by_pixels
from macrosplat.photos.records import Photo

# px on either side of an epipolar line, and what an observation may be off, by turns.
BANDS, ERRORS = (4.0, 2.0), (3.0, 2.0)
# Observations that hold a camera, and how far it may move, in parts of the distance to what it sees: farther, and
# either the place was wrong, or matches are.
FEWEST, FARTHEST = 40, 0.03


def held_by_others(
    photos: Sequence[Photo],
    cameras: Cameras,
    names: Collection[str],
    workdir: Path,
    seed: int,
    taken: Sequence[Features],
) -> Cameras:
    """The cameras, those of `names` as the others hold them; of those that few points hold, as they were.

    Args:
        photos: with their masks; those that `cameras` names are used.
        workdir: a folder for scratch files; nothing stays in it.
        taken: the `key_points` of the cameras' photos.

    Raises:
        MacrosplatError: a photo cannot be read any more.
    """
    photos = named(photos, cameras.names)
    free = {n for n, name in enumerate(cameras.names) if name in names}
    held = [n for n in range(len(cameras)) if n not in free]
    if not free or len(held) < 3:
        return cameras
    features = [one.undistorted(lens) for one, lens in zip(taken, cameras.distortion, strict=True)]
    canvas = [canvas_camera(cameras, n, features[n]) for n in range(len(cameras))]
    views = dict(enumerate(cameras.views))
    model = None
    for band, most in zip(BANDS, ERRORS, strict=True):
        now = views if model is None else views | mapping.views_of(model)
        matches = refine.along_lines_of(now, features, canvas, band, silent)
        model = mapping.triangulate_tracks(features, list(cameras.names), canvas, now, matches, workdir, seed)
        for error in (2 * most, most):
            mapping.thin_out(model, error, refine.KEEP_ANGLE)
            mapping.adjust(model, refine.LOSS, focal=False, held=held)
    assert model is not None
    if not any(cameras.distortion):  # pixels are those of the photos as taken
        placed_by_pixels(model, features, photos)
        for error in ALIGNED_ERRORS:
            mapping.adjust(model, ALIGNED_LOSS, focal=False, held=held, end=mapping.EXACT)
            mapping.thin_out(model, error, refine.KEEP_ANGLE)
        mapping.adjust(model, ALIGNED_LOSS, focal=False, held=held, end=mapping.EXACT)
    better = cameras.views.copy()
    for n, view in mapping.views_of(model).items():
        image = model.images[n + 1]
        if n not in free or image.num_points3D < FEWEST:
            continue
        seen = [model.points3D[point.point3D_id].xyz for point in image.points2D if point.has_point3D()]
        depth = np.median(np.array(seen) @ view[2, :3] + view[2, 3])
        one, other = centres_of(np.stack([view, cameras.views[n]]))
        if np.linalg.norm(one - other) < FARTHEST * depth:
            better[n] = view
    return replace(cameras, views=better)
