"""Feature points of a room that stands still while the object turns before a fixed camera.

In: features and matches of all photos. Out: both without those points, and how many there were. A room's point lies at
the same pixel in photo after photo, as large and as upright; of an object that turns, only what lies on the axis stays
where it is, and that turns about itself. So do points of an object that a camera goes around. Once it is known that the
room stands still, no match that stays where it was is believed: many of a room's points are found in a few photos only;
nor one that its neighbours follow no more, of which some were the room's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.sfm.features import Features, Matches
from macrosplat.cameras.sfm.pairs import FOLLOWERS, LEAST, followed

# A match stands still within this share of the canvas (1.6 px of 640), whose affine map is the identity to `UPRIGHT`: a
# turn by 12 degrees is not.
PLACE, UPRIGHT = 1 / 400, 0.2
# A point does so that stands still towards this share of the photos that its own is compared with, and no fewer than
# `FEWEST`: things move more than `PLACE` between all but neighbours.
SHARE, FEWEST = 0.2, 3
# They are left out where a photo has so many in the median: some are found anywhere by chance, and mislead nobody.
MANY = 10


def without_still(features: Sequence[Features], matches: Matches) -> tuple[list[Features], Matches, int]:
    """Features and matches without points that stand still, and the median number of these in a photo; as they were,
    and 0, where there are few, or nothing else is left of most photos."""
    partners = np.zeros(len(features), np.int64)
    times = [np.zeros(len(one), np.int64) for one in features]
    for (i, j), rows in matches.items():
        partners[[i, j]] += 1
        still = rows[_same_place(features[i], features[j], rows) & _same_shape(features[i], features[j], rows)]
        np.add.at(times[i], still[:, 0], 1)
        np.add.at(times[j], still[:, 1], 1)
    stays = [count >= max(FEWEST, SHARE * n) for count, n in zip(times, partners, strict=True)]
    usual = int(np.median([one.sum() for one in stays])) if stays else 0
    matched = [np.zeros(len(one), bool) for one in features]
    for (i, j), rows in matches.items():
        matched[i][rows[:, 0]] = matched[j][rows[:, 1]] = True
    moving = [(one & ~still).sum() for one, still in zip(matched, stays, strict=True)]
    if usual < MANY or np.median(moving) < MANY:
        return list(features), matches, 0
    row_of = [np.where(still, -1, np.cumsum(~still) - 1) for still in stays]
    left = [_only(one, ~still) for one, still in zip(features, stays, strict=True)]
    kept = {}
    for (i, j), rows in matches.items():
        rows = rows[~_same_place(features[i], features[j], rows)]
        both = np.stack([row_of[i][rows[:, 0]], row_of[j][rows[:, 1]]], 1)
        both = followed(left[i], left[j], both[(both >= 0).all(1)], FOLLOWERS)
        if len(both) >= LEAST:
            kept[i, j] = both
    return left, kept, usual


def _same_place(first: Features, second: Features, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[M] which matches are of points at the same pixel."""
    return np.linalg.norm(first.px[rows[:, 0]] - second.px[rows[:, 1]], axis=1) <= PLACE * first.side


def _same_shape(first: Features, second: Features, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[M] which matches are of points as large and as upright."""
    one, two = (features.keypoints[rows[:, n], 2:] for n, features in enumerate((first, second)))
    return np.linalg.norm(two - one, axis=1) <= UPRIGHT * np.maximum(np.linalg.norm(one, axis=1), 1e-9)


def _only(features: Features, rows: NDArray[np.bool_]) -> Features:
    return replace(
        features,
        keypoints=features.keypoints[rows],
        descriptors=features.descriptors[rows],
        rgb=features.rgb[rows],
    )
