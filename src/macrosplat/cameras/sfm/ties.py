"""Corners of coded targets as feature points: what two photos share of them is known by number, without descriptors.

In: features, and the targets read in the photos. Out: features with the corners added, and their matches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from macrosplat.cameras.sfm.features import Features, Matches
from macrosplat.cameras.targets import Readings
from macrosplat.photos.records import Photo


def with_ties(
    features: Sequence[Features], photos: Sequence[Photo], readings: Readings
) -> tuple[list[Features], Matches]:
    """Features with four rows more for every target, and the matches of those rows.

    Args:
        readings: corners in px of the photos at full size.
    """
    rows_of: list[dict[int, int]] = []  # per photo: number of a target to the row of its first corner
    added = []
    for one, photo in zip(features, photos, strict=True):
        found = readings.get(photo.name, ())
        rows_of.append({target.number: len(one) + 4 * k for k, target in enumerate(found)})
        if not found:
            added.append(one)
            continue
        px = np.concatenate([target.corners for target in found]) * np.array(one.size) / (photo.width, photo.height)
        keypoints = np.tile(np.array([0, 0, 1, 0, 0, 1], np.float32), (len(px), 1))
        keypoints[:, :2] = px + one.margin
        # No descriptor is like one of zeros: other matches leave these rows alone.
        more = Features(keypoints, np.zeros((len(px), 128), np.float32), np.full((len(px), 3), 128, np.uint8), one.size)
        added.append(one.with_more(more))
    matches: Matches = {}
    for i, mine in enumerate(rows_of):
        for j in range(i + 1, len(rows_of)):
            both = sorted(mine.keys() & rows_of[j].keys())
            if both:
                corners = [(mine[n] + k, rows_of[j][n] + k) for n in both for k in range(4)]
                matches[i, j] = np.array(corners, np.int64)
    return added, matches
