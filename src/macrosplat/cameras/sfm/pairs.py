"""Which feature points of two photos fit together, and which pairs of photos are compared at all.

Descriptors alone say little on blurred, glossy or repetitive surfaces: a ratio test that keeps false matches out drops
most of the true ones with them. A true match has neighbours instead: the affine shapes of its two points say how the
surface around it maps from one photo to the other, and other matches nearby follow that map. So every point's nearest
partner is taken, whatever the second nearest, and those that no neighbours follow are dropped (the idea of AdaLAM,
Cavalli et al., ECCV 2020, without its sampling).

In: `Features` per photo. Out: matches as `{(i, j): [M, 2]}`, rows of features of photo i and of photo j, i < j.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.sfm.features import MAX_ANGLE, Features, Matches, Progress
from macrosplat.support.numba import njit
from macrosplat.support.threads import one_blas_thread, ordered, workers

TABLES = 3  # of [N1, N2] floats that a pair of photos takes while it is matched
AT_ONCE = 10  # pairs that a thread takes after one another
# Neighbours of a match lie within this share of the canvas, and follow its map to this share of their distance.
REACH, TOLERANCE = 1 / 8, 0.25
NEAREST = 2.0  # px: nearer ones are the same spot found twice
FOLLOWERS = 3  # neighbours that a match needs
FOLLOWERS_OF_COPIES = 5  # where copies have several times as many points (experiments: sfm-closer)
LEAST = 8  # matches of a pair: nothing can be verified from fewer
# Above this many photos not all pairs are compared: their number grows with the square. Each photo has these many
# partners then: those that it shares most with, by its largest feature points alone, and its neighbours in order.
ALL_PAIRS, PARTNERS, NEIGHBOURS, LARGEST = 40, 12, 2, 300
# A pair is strong that has this share of the matches of the better pair of either photo's best ones, or is among the
# best of both. A collar or a rim looks alike from all sides: of cat's 166 pairs that an essential matrix explains 90
# are false, of the 48 strong ones two.
STRONG_SHARE, STRONG_BEST = 0.5, 2
# Photos are mostly taken in order, all around: how many matches a pair has, on average over all pairs so many photos
# apart, says which can be true. The order tells something if neighbours have these many times as many as the median
# distance; then pairs whose distance has less than this share of the neighbours' are dropped, unless strong
# (experiments: sfm-led).
TOLD_BY_ORDER, IN_ORDER_SHARE = 3.0, 0.15


def match(first: Features, second: Features, least: int = FOLLOWERS) -> NDArray[np.int64]:
    """[M, 2] rows of points that are each other's nearest by descriptor, and whose map `least` neighbours follow."""
    return followed(first, second, nearest(first, second), least)


def followed(first: Features, second: Features, rows: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Those of the matches [M, 2] whose affine map `least` others follow."""
    one, two = (features.keypoints[rows[:, n]].astype(np.float64) for n, features in enumerate((first, second)))
    return rows[followers(one, two, REACH * first.side) >= least]


def nearest(first: Features, second: Features) -> NDArray[np.int64]:
    """[M, 2] rows of points that are each other's nearest by descriptor."""
    if len(first) == 0 or len(second) == 0:
        return np.zeros((0, 2), np.int64)
    likeness = first.descriptors @ second.descriptors.T
    partner = likeness.argmax(1)
    best = likeness[np.arange(len(first)), partner]
    rows = np.flatnonzero((best >= likeness.max(0)[partner]) & (best > np.cos(MAX_ANGLE)))
    return np.stack([rows, partner[rows]], 1)


@njit
def followers(
    one,  # [M, 6] key points of the first photo: x, y (px) and the 2x2 affine shape, row by row
    two,  # [M, 6] their partners
    reach,  # px
):
    """[M] how many other matches within `reach` of a match follow the affine map that its shapes stand for."""
    count = np.zeros(len(one), np.int64)
    for k in range(len(one)):
        a, b, c, d = one[k, 2], one[k, 3], one[k, 4], one[k, 5]
        det = a * d - b * c
        if det == 0.0:
            continue
        # The map: shape of the second photo times the inverse shape of the first.
        m00 = (two[k, 2] * d - two[k, 3] * c) / det
        m01 = (two[k, 3] * a - two[k, 2] * b) / det
        m10 = (two[k, 4] * d - two[k, 5] * c) / det
        m11 = (two[k, 5] * a - two[k, 4] * b) / det
        scale = np.sqrt(abs(m00 * m11 - m01 * m10))
        for n in range(len(one)):
            x, y = one[n, 0] - one[k, 0], one[n, 1] - one[k, 1]
            away = np.sqrt(x * x + y * y)
            if away > reach or away < NEAREST:
                continue
            off_x = two[n, 0] - two[k, 0] - (m00 * x + m01 * y)
            off_y = two[n, 1] - two[k, 1] - (m10 * x + m11 * y)
            if np.sqrt(off_x * off_x + off_y * off_y) < scale * (TOLERANCE * away + NEAREST):
                count[k] += 1
    return count


def match_pairs(
    features: list[Features], pairs: list[tuple[int, int]], progress: Progress, followers: int = FOLLOWERS
) -> Matches:
    """The given pairs of photos. Those with fewer than `LEAST` matches are left out."""

    def one(pair: tuple[int, int]) -> NDArray[np.int64]:
        return match(features[pair[0]], features[pair[1]], followers)

    matches: Matches = {}
    with one_blas_thread():
        for count, (pair, found) in enumerate(zip(pairs, _each(one, pairs, features), strict=True), 1):
            if len(found) >= LEAST:
                matches[pair] = found
            if count % 20 == 0 or count == len(pairs):
                progress(count / len(pairs), f"matching pair {count} of {len(pairs)}")
    return matches


def match_all(features: list[Features], progress: Progress, followers: int = FOLLOWERS) -> Matches:
    """Pairs of photos that may show the same: all of few photos, of many those that look alike (`pairs_of`)."""
    return match_pairs(features, pairs_of(features), progress, followers)


def pairs_of(features: list[Features]) -> list[tuple[int, int]]:
    """Which photos to compare, by index, in order."""
    count = len(features)
    every = [(i, j) for i in range(count) for j in range(i + 1, count)]
    if count <= ALL_PAIRS:
        return every
    few = [one.largest(LARGEST) for one in features]
    shared = np.zeros((count, count), np.int64)
    with one_blas_thread():
        told = _each(lambda pair: match(few[pair[0]], few[pair[1]]), every, few)
        for (i, j), rows in zip(every, told, strict=True):
            shared[i, j] = shared[j, i] = len(rows)
    chosen = {(i, i + step) for step in range(1, NEIGHBOURS + 1) for i in range(count - step)}
    chosen |= {(0, count - 1)}  # a ring closes
    for i in range(count):
        best = np.argsort(-shared[i], kind="stable")[:PARTNERS]
        chosen |= {(min(i, int(j)), max(i, int(j))) for j in best if shared[i, j] > 0}
    return sorted(chosen)


def strong(matches: Matches, count: int) -> Matches:
    """The strong pairs: those that a model is begun with, since among the weak ones many may be false.

    Args:
        count: number of photos.
    """
    shared = np.zeros((count, count), np.int64)
    for (i, j), rows in matches.items():
        shared[i, j] = shared[j, i] = len(rows)
    best = shared.max(1, initial=0)
    rank = np.argsort(np.argsort(-shared, 1, kind="stable"), 1, kind="stable")
    return {
        (i, j): rows
        for (i, j), rows in matches.items()
        if len(rows) >= STRONG_SHARE * min(best[i], best[j]) or max(rank[i, j], rank[j, i]) < STRONG_BEST
    }


def in_order(matches: Matches, count: int) -> Matches:
    """The pairs that the order of the photos, if it says anything, lets be true, and the strong ones.

    Args:
        matches: verified ones.
        count: number of photos, which go around the object: the last is next to the first.
    """
    shared = np.zeros((count, count), np.int64)
    for (i, j), rows in matches.items():
        shared[i, j] = shared[j, i] = len(rows)
    apart = np.arange(count)
    usual = np.array([shared[apart, (apart + step) % count].mean() for step in range(1, count // 2 + 1)])
    if not len(usual) or usual[0] < TOLD_BY_ORDER * np.median(usual):
        return matches
    believed = {step + 1 for step in np.flatnonzero(usual >= IN_ORDER_SHARE * usual[0]).tolist()}
    sure = strong(matches, count)
    return {(i, j): rows for (i, j), rows in matches.items() if (i, j) in sure or min(j - i, count - j + i) in believed}


def near(
    matches: Matches, views: dict[int, NDArray[np.float64]], begun: Matches, most: float, sure: Matches
) -> Matches:
    """The pairs that a model lets be true: of views that lie at most so far apart, and what photos without a view have.

    Args:
        views: photo index to [4, 4] world to camera.
        begun: what the model was made from; of other pairs nothing is known where a view is missing.
        most: degrees between viewing directions.
        sure: pairs that are true whatever the model says.
    """
    least = np.cos(np.radians(most))
    return {
        (i, j): rows
        for (i, j), rows in matches.items()
        if (i, j) in sure
        or ((i, j) in begun if i not in views or j not in views else views[i][2, :3] @ views[j][2, :3] >= least)
    }


def joined(first: Matches, second: Matches) -> Matches:
    """The matches of both."""
    none = np.zeros((0, 2), np.int64)
    return {
        pair: np.concatenate([first.get(pair, none), second.get(pair, none)])
        for pair in sorted(first.keys() | second.keys())
    }


def _each(
    one: Callable[[tuple[int, int]], NDArray[np.int64]], pairs: list[tuple[int, int]], features: list[Features]
) -> Iterable[NDArray[np.int64]]:
    """The matches of every pair, in order; of as many at a time as there are cores, and room for their tables.

    A task takes some pairs after one another: one alone may take less than handing it to a thread.
    """
    table = 4 * max(map(len, features), default=0) ** 2
    some = [pairs[start : start + AT_ONCE] for start in range(0, len(pairs), AT_ONCE)]
    for found in ordered(lambda task: [one(pair) for pair in task], some, workers(TABLES * table)):
        yield from found
