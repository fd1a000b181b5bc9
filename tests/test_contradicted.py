"""Photos that a repeated pattern holds in a wrong place together."""

import numpy as np
import pytest

from macrosplat.cameras.sfm.contradicted import badly_explained, contradicted
from macrosplat.cameras.sfm.features import Features
from macrosplat.cameras.sfm.verify import Agreement

SIDE, FOCAL, RING, STEP = 1000, 2000.0, 12, 15.0
K = [np.array([[FOCAL, 0, SIDE / 2], [0, FOCAL, SIDE / 2], [0, 0, 1]])] * RING
WRONG, BY = (9, 10, 11), 52.0  # photos, and degrees by which a pattern that repeats turns them


def ring(turned: tuple[int, ...] = (), by: float = 0.0) -> dict[int, np.ndarray]:
    """Views that look at the origin from 10 units away, some turned about the object."""
    views = {}
    for n in range(RING):
        angle = np.radians(STEP * n - (by if n in turned else 0.0))
        out = np.array([np.cos(angle), np.sin(angle), 0.3])
        forward = -out / np.linalg.norm(out)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        view = np.eye(4)
        view[:3, :3] = np.stack([right, np.cross(forward, right), forward])
        view[2, 3] = 10.0
        views[n] = view
    return views


def seen(view: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    local = xyz @ view[:3, :3].T + view[:3, 3]
    return local[:, :2] / local[:, 2:] * FOCAL + SIDE / 2


def photos(repeats: int, true: int) -> tuple[list[Features], dict]:
    """Features, and what pairs agree on: `true` points of every pair up to 45 degrees apart, and of the photos that may
    be placed wrongly `repeats` of the pattern with those that they would then stand near."""
    right, wrong = ring(), ring(WRONG, BY)
    rng, px, verified = np.random.default_rng(0), [[] for _ in range(RING)], {}

    def add(i: int, j: int, views: dict[int, np.ndarray], count: int) -> None:
        xyz = rng.normal(0, 0.8, (count, 3))
        begin = [sum(map(len, px[n])) for n in (i, j)]
        for n in (i, j):
            px[n].append(seen(views[n], xyz))
        rows = np.stack([begin[0] + np.arange(count), begin[1] + np.arange(count)], 1)
        verified[i, j] = np.concatenate([verified[i, j], rows]) if (i, j) in verified else rows

    def turn(views: dict[int, np.ndarray], i: int, j: int) -> float:
        return float(np.degrees(np.arccos(np.clip(views[i][2, :3] @ views[j][2, :3], -1, 1))))

    for i in range(RING):
        for j in range(i + 1, RING):
            together = (i in WRONG) == (j in WRONG)
            if turn(right, i, j) <= 45:
                add(i, j, right, 100 if together else true)
            if not together and turn(right, i, j) > 45 and turn(wrong, i, j) <= 45 and repeats:
                add(i, j, wrong, repeats)
    features = [
        Features(
            np.column_stack([np.concatenate(one), np.tile([1.0, 0, 0, 1.0], (sum(map(len, one)), 1))]).astype(
                np.float32
            ),
            np.zeros((sum(map(len, one)), 128), np.float32),
            np.zeros((sum(map(len, one)), 3), np.uint8),
            (SIDE, SIDE),
        )
        for one in px
    ]
    return features, verified


@pytest.mark.parametrize("repeats", [0, 60])
def test_photos_in_their_place_are_kept(repeats: int) -> None:
    """What repeats is seen from elsewhere: false pairs of views far apart contradict nobody."""
    features, verified = photos(repeats, true=40)
    assert contradicted(features, verified, ring(), K).photos == ()


def test_photos_that_a_pattern_holds_elsewhere_are_given_up_together() -> None:
    features, verified = photos(repeats=60, true=40)
    found = contradicted(features, verified, ring(WRONG, BY), K)
    assert found.given_up == WRONG
    assert found.by == (6, 7, 8) and set(found.beside) > set(found.by)


def test_few_matches_contradict_nothing() -> None:
    features, verified = photos(repeats=60, true=20)
    assert contradicted(features, verified, ring(WRONG, BY), K).photos == ()


def test_a_model_that_explains_less_than_is_usual_is_doubted() -> None:
    shares = np.array([0.95, 0.8, np.nan, 0.9])
    assert badly_explained(Agreement(0.89, shares, 9), [0, 1, 3]) == (1, 3)
    assert badly_explained(Agreement(0.93, shares, 9), [0, 1, 3]) == ()


def test_where_too_many_are_contradicted_nobody_is_given_up() -> None:
    """Every second photo elsewhere, by itself: which half is wrong is not told."""
    features, verified = photos(repeats=0, true=40)
    found = contradicted(features, verified, ring(tuple(range(0, RING, 2)), 40.0), K)
    assert found.all_doubted and found.given_up == ()
    assert len(found.photos) > RING // 3
