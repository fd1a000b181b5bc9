"""Feature points brought into agreement by the pixels around them, within fractions of a pixel.

A detector places each point by its own photo alone: on blurred photos two of them meet to 1 to 2 px. Here the patch
about every point of a track is laid on that of the track's sharpest photo (`patches`), beginning with the affine shapes
of the two points.

In: a model, features and pictures. Out: features whose points have moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.patches import laid
from macrosplat.cameras.sfm.features import Features
from macrosplat.support.colmap import pycolmap

ALIKE = 0.8  # correlation of two patches that agree


def aligned(
    model: pycolmap.Reconstruction, features: Sequence[Features], pictures: Mapping[int, NDArray[np.uint8]]
) -> list[Features]:
    """Features with the points of the model's tracks moved; those whose patches do not agree stay where they are.

    Args:
        model: image n + 1 is photo n.
        pictures: [H, W] sRGB levels at the working size, of every photo that the model holds.
    """
    rows = _pairs(model, features)
    margins = np.array([one.margin for one in features])
    first, second = (
        np.array([features[i].keypoints[row] for i, row in rows[:, k : k + 2]], np.float64).reshape(-1, 6)
        for k in (0, 2)
    )
    first[:, :2] -= margins[rows[:, 0]]
    second[:, :2] -= margins[rows[:, 2]]
    found = laid(pictures, rows[:, 0], first, rows[:, 2], second, known=False)
    found[:, :2] += margins[rows[:, 2]]
    moved = [one.keypoints.copy() for one in features]
    for (_, _, j, b), (x, y, alike) in zip(rows, found, strict=True):
        if alike >= ALIKE:
            moved[j][b, :2] = x, y
    return [_with(one, points) for one, points in zip(features, moved, strict=True)]


def _with(features: Features, keypoints: NDArray[np.float32]) -> Features:
    return replace(features, keypoints=keypoints)


def _pairs(model: pycolmap.Reconstruction, features: Sequence[Features]) -> NDArray[np.int64]:
    """[M, 4] photo and row of each track's point of the smallest scale, where blur is least; and those of another.

    Only of points of the photo's first extraction: corners of coded targets lie where they are.
    """
    shapes = [one.keypoints[:, 2:].astype(np.float64) for one in features]
    scales = [np.abs(s[:, 0] * s[:, 3] - s[:, 1] * s[:, 2]) for s in shapes]
    own = [len(one.first()) for one in features]
    rows = []
    for point in model.points3D.values():
        seen = [(element.image_id - 1, element.point2D_idx) for element in point.track.elements]
        seen = [(i, row) for i, row in seen if row < own[i]]
        if len(seen) < 2:
            continue
        best = min(seen, key=lambda one: (scales[one[0]][one[1]], one))
        rows += [(*best, *other) for other in seen if other != best]
    return np.array(rows, np.int64).reshape(-1, 4)
