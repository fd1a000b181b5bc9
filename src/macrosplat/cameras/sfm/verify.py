"""Which matches two calibrated photos can agree on, and whether a model agrees with them.

Structure from motion on blurred photos can register every photo and be wrong: 110 mm off at 150 mm distance has been
measured. Its own reprojection error does not tell, since only the observations that fit were kept. The matches of each
pair of photos do: the essential matrix of a pair was estimated from that pair alone, so a wrong camera contradicts its
neighbours' matches.

In: features, matches, cameras. Out: matches that an essential matrix explains; the share of them that a model explains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.sfm.features import Features, Matches, Progress
from macrosplat.cameras.sfm.guided import fundamental_matrix
from macrosplat.support.colmap import pycolmap
from macrosplat.support.threads import ordered

# px on the canvas, to an epipolar line: COLMAP's own. Keypoints of blurred photos scatter by 1 to 2 px.
VERIFY_ERROR = 4.0
# Matches of one pair. With 70 false matches, ten lie on *some* epipolar geometry by chance; below this a pair says
# nothing about the model and is left out of the agreement.
TELLING_PAIR = 25
# Of the five-point solver per pair: enough to find a share of true matches of 0.3 with a probability of 0.999.
TRIALS = 3000


@dataclass(frozen=True)
class Agreement:
    """How much of what pairs of photos agreed on, on their own, a model explains (0 to 1)."""

    share: float  # over all telling pairs between registered photos
    per_photo: NDArray[np.float64]  # [V] over its telling pairs; over its other pairs if it has none; nan without any
    pairs: int  # telling pairs


def verify(
    features: list[Features],
    cameras: list[pycolmap.Camera],
    matches: Matches,
    least: int,
    seed: int,
    progress: Progress,
) -> Matches:
    """The inliers of each pair's essential matrix; pairs with fewer than `least` are left out.

    Only the essential matrix is estimated. COLMAP's own verification also tries a fundamental matrix and a homography,
    to find out whether a pair is calibrated; ours are, and it costs twice the time (47 against 26 CPU seconds on 435
    pairs).
    """
    options = pycolmap.RANSACOptions()
    options.max_error = VERIFY_ERROR
    options.confidence = 0.999
    options.min_inlier_ratio = 0.25
    options.min_num_trials = 100
    options.max_num_trials = TRIALS
    options.random_seed = seed  # every pair by itself: the result does not depend on the order of threads

    def one(pair: tuple[int, int]) -> NDArray[np.int64] | None:
        i, j = pair
        rows = matches[pair]
        if len(rows) < least:
            return None
        found = pycolmap.estimate_essential_matrix(
            features[i].px[rows[:, 0]], features[j].px[rows[:, 1]], cameras[i], cameras[j], options
        )
        if found is None or found["num_inliers"] < least:
            return None
        return rows[np.asarray(found["inlier_mask"], bool)]

    kept: Matches = {}
    pairs = list(matches)
    for count, (pair, rows) in enumerate(zip(pairs, ordered(one, pairs), strict=True), 1):
        if rows is not None:
            kept[pair] = rows
        if count % 20 == 0 or count == len(pairs):
            progress(count / len(pairs), f"checking pair {count} of {len(pairs)}")
    return kept


def agreement(
    features: list[Features],
    verified: Matches,
    views: dict[int, NDArray[np.float64]],
    calibrations: list[NDArray[np.float64]],
) -> Agreement:
    """Compare a model with what pairs of photos agreed on.

    Args:
        verified: from `verify`.
        views: photo index to [4, 4] world to camera; registered photos only.
        calibrations: [3, 3] per photo, canvas px.
    """
    good, total = np.zeros((2, len(features))), np.zeros((2, len(features)))  # of telling pairs, of the others
    pairs = 0
    for (i, j), rows in verified.items():
        if i not in views or j not in views:
            continue
        telling = len(rows) >= TELLING_PAIR
        fits = fits_model(
            features[i].px[rows[:, 0]], features[j].px[rows[:, 1]], views[i], views[j], calibrations[i], calibrations[j]
        )
        pairs += telling
        for photo in (i, j):
            good[0 if telling else 1, photo] += fits.sum()
            total[0 if telling else 1, photo] += len(fits)
    share = float(good[0].sum() / max(total[0].sum(), 1))
    shares = good / np.where(total > 0, total, np.nan)
    return Agreement(share, np.where(total[0] > 0, shares[0], shares[1]), pairs)


def fits_model(
    px_1: NDArray[np.float64],
    px_2: NDArray[np.float64],
    view_1: NDArray[np.float64],
    view_2: NDArray[np.float64],
    k_1: NDArray[np.float64],
    k_2: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """[M] whether matches lie within `VERIFY_ERROR` px (Sampson) of epipolar lines, and in front of both cameras."""
    if len(px_1) == 0:
        return np.zeros(0, bool)
    fundamental = fundamental_matrix(view_1, view_2, k_1, k_2)
    sampson = np.array(pycolmap.compute_squared_sampson_error(px_1, px_2, fundamental))
    one = np.column_stack([px_1, np.ones(len(px_1))])
    two = np.column_stack([px_2, np.ones(len(px_2))])
    depth_1, depth_2 = _depths(one, two, view_1, view_2, k_1, k_2)
    return (sampson < VERIFY_ERROR**2) & (depth_1 > 0) & (depth_2 > 0)


def _depths(one, two, view_1, view_2, k_1, k_2) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[M], [M] depths along two rays [M, 3] (homogeneous px) where they pass nearest to each other."""
    relative = view_2 @ np.linalg.inv(view_1)
    ray_1 = (one @ np.linalg.inv(k_1).T) @ relative[:3, :3].T
    ray_2 = two @ np.linalg.inv(k_2).T
    shift = relative[:3, 3]
    a, b, c = (ray_1**2).sum(1), (ray_1 * ray_2).sum(1), (ray_2**2).sum(1)
    d, e = ray_1 @ shift, ray_2 @ shift
    scale = np.maximum(a * c - b * b, 1e-30)
    return (b * e - c * d) / scale, (a * e - b * d) / scale
