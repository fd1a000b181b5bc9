"""Matches where cameras are known: a point's partner is sought along its epipolar line alone.

In: features of every photo and their cameras. Out: matches, as `pairs.match_all` gives them. Only
descriptors of points on each other's lines are compared, without a table of all pairs: 30 photos of the fly take 0.9 s
instead of 5.5 s (two busy cores) and give the same 1703 points.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.sfm.features import MAX_ANGLE, Features, Matches, Progress
from macrosplat.cameras.sfm.pairs import followed
from macrosplat.support.colmap import pycolmap
from macrosplat.support.numba import njit
from macrosplat.support.threads import ordered

# Neighbours that follow a match's affine map (`pairs`). Without any, cameras of cat that begin at the true ones end
# 3.2 % off (30 % at worst), with one 0.9 to 1.2 % (6 to 8 %); two or three leave fewer points, and gain nothing.
FOLLOWERS = 1
# px: points of blurred copies that lie so near to one another are one spot, and no rivals.
ONE_SPOT = 3.0
# Above this many pairs (100 photos that all look alike) each photo has these many partners: the number of pairs would
# grow with the square of the photos'.
MOST_PAIRS, NEAR_PARTNERS, FAR_PARTNERS = 5000, 6, 12


def match_guided(
    features: list[Features],
    views: NDArray[np.float64],
    calibrations: NDArray[np.float64],
    max_ratio: float,
    band: float,
    max_turn: float,
    progress: Progress,
) -> Matches:
    """Matches that lie on each other's epipolar lines, of each photo's first extraction.

    (The same spot found by two extractions would be its own rival in the ratio test.)

    Args:
        views: [V, 4, 4] world to camera, in the order of `features`.
        calibrations: [V, 3, 3] in canvas px.
        max_ratio: angle to the nearest over angle to the second nearest, in both directions. The second nearest is
            sought in the band too: among few points the test keeps repeated texture that it would discard among all.
        band: px on either side of an epipolar line, in both photos.
        max_turn: degrees between two viewing directions above which a pair is not tried.
    """
    features = [one.first() for one in features]
    axes = views[:, 2, :3]
    turn = np.degrees(np.arccos(np.clip(axes @ axes.T, -1, 1)))
    pairs = pairs_within(turn, max_turn)
    points = [np.column_stack([one.px, np.ones(len(one))]) for one in features]
    vectors = [np.ascontiguousarray(one.descriptors, np.float32) for one in features]

    spot = ONE_SPOT if any(one.copied for one in features) else 0.0

    def one(pair: tuple[int, int]) -> NDArray[np.int64]:
        i, j = pair
        fundamental = fundamental_matrix(views[i], views[j], calibrations[i], calibrations[j])
        rows = along_lines(points[i], points[j], vectors[i], vectors[j], fundamental, band, max_ratio, spot)
        return followed(features[i], features[j], rows, FOLLOWERS)

    matches: Matches = {}
    for count, (pair, found) in enumerate(zip(pairs, ordered(one, pairs), strict=True), 1):
        if len(found):
            matches[pair] = found
        if count % 20 == 0 or count == len(pairs):
            progress(count / len(pairs), f"matching along epipolar lines, pair {count} of {len(pairs)}")
    return matches


def pairs_within(turn: NDArray[np.float64], max_turn: float) -> list[tuple[int, int]]:
    """Pairs of photos that are tried: all that look in nearly one direction; of very many each photo's nearest, and
    others evenly spread over what is left, since next to no parallax lies between the nearest.

    Args:
        turn: [V, V] degrees between viewing directions. max_turn: of a pair, at the most.
    """
    first, second = np.nonzero(np.triu(turn <= max_turn, 1))
    if len(first) <= MOST_PAIRS:
        return list(zip(first.tolist(), second.tolist(), strict=True))
    chosen: set[tuple[int, int]] = set()
    for i, row in enumerate(turn):
        order = [j for j in np.argsort(row, kind="stable").tolist() if j != i and row[j] <= max_turn]
        spread = np.linspace(0, len(order) - 1, FAR_PARTNERS).round().astype(int) if order else []
        partners = order[:NEAR_PARTNERS] + [order[n] for n in spread]
        chosen |= {(min(i, j), max(i, j)) for j in partners}
    return sorted(chosen)


def fundamental_matrix(
    view_1: NDArray[np.float64], view_2: NDArray[np.float64], k_1: NDArray[np.float64], k_2: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[3, 3] F with x2' F x1 = 0, of two views [4, 4] and calibrations [3, 3]."""
    relative = pycolmap.Rigid3d((view_2 @ np.linalg.inv(view_1))[:3])
    return np.linalg.inv(k_2).T @ pycolmap.essential_matrix_from_pose(relative) @ np.linalg.inv(k_1)


def along_lines(
    points_1: NDArray[np.float64],  # [N1, 3] px and 1
    points_2: NDArray[np.float64],  # [N2, 3]
    vectors_1: NDArray[np.float32],  # [N1, 128] unit length
    vectors_2: NDArray[np.float32],  # [N2, 128]
    fundamental: NDArray[np.float64],  # [3, 3]
    band: float,
    max_ratio: float,
    spot: float = 0.0,
) -> NDArray[np.int64]:
    """[M, 2] rows of points within `band` px of each other's lines, that are each other's nearest by descriptor, and
    clearly nearer than the next one there that is farther than `spot` px from it."""
    lines_2, lines_1 = points_1 @ fundamental.T, points_2 @ fundamental
    reach_2, reach_1 = (band * np.hypot(lines[:, 0], lines[:, 1]) for lines in (lines_2, lines_1))
    best_1, next_1 = np.full((2, len(points_1)), -1.0, np.float32)
    best_2, next_2 = np.full((2, len(points_2)), -1.0, np.float32)
    partner, partner_2 = np.zeros(len(points_1), np.int64), np.zeros(len(points_2), np.int64)
    _compare(
        *(lines_2.astype(np.float32), points_2.astype(np.float32), reach_2.astype(np.float32)),
        *(reach_1.astype(np.float32), vectors_1, vectors_2, best_1, next_1, best_2, next_2, partner),
        *(partner_2, points_1.astype(np.float32), spot**2),
    )
    rows = np.flatnonzero(best_1 > math.cos(MAX_ANGLE))
    rows = rows[best_1[rows] >= best_2[partner[rows]]]
    rival = np.maximum(next_1[rows], next_2[partner[rows]])
    keep = np.arccos(np.minimum(best_1[rows], 1)) < max_ratio * np.arccos(np.clip(rival, -1, 1))
    return np.stack([rows[keep], partner[rows[keep]]], 1)


@njit
def _compare(
    lines, points, reach_2, reach_1, vectors_1, vectors_2, best_1, next_1, best_2, next_2, partner, back, others, spot
):
    """Likeness to the nearest and the next one, of every point of both photos, and the nearest's rows.

    Points nearer to the nearest than the root of `spot` are not the next one.
    """
    x, y = points[:, 0].copy(), points[:, 1].copy()
    near = np.empty(len(x), np.uint8)
    for i in range(lines.shape[0]):
        a, b, c, reach = lines[i, 0], lines[i, 1], lines[i, 2], reach_2[i]
        for j in range(len(x)):  # by itself: vector registers take several points at a time
            near[j] = abs(a * x[j] + b * y[j] + c) < min(reach, reach_1[j])
        for j in range(len(x)):
            if near[j]:
                likeness = np.float32(0.0)
                for k in range(vectors_1.shape[1]):
                    likeness += vectors_1[i, k] * vectors_2[j, k]
                p, q = partner[i], back[j]
                apart = (x[j] - x[p]) ** 2 + (y[j] - y[p]) ** 2 >= spot
                if likeness > best_1[i]:
                    if apart:
                        next_1[i] = best_1[i]
                    best_1[i], partner[i] = likeness, j
                elif likeness > next_1[i] and apart:
                    next_1[i] = likeness
                apart = (others[i, 0] - others[q, 0]) ** 2 + (others[i, 1] - others[q, 1]) ** 2 >= spot
                if likeness > best_2[j]:
                    if apart:
                        next_2[j] = best_2[j]
                    best_2[j], back[j] = likeness, i
                elif likeness > next_2[j] and apart:
                    next_2[j] = likeness
