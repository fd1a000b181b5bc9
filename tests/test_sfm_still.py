"""Feature points of a room that stands still are told from those of an object that turns."""

from __future__ import annotations

import numpy as np
import pytest

from macrosplat.cameras.sfm.features import Features, Matches
from macrosplat.cameras.sfm.still import without_still

PHOTOS, ROOM, THING, AXIS, SIDE = 12, 40, 30, 12, 640


def _features(px: np.ndarray, turned: float) -> Features:
    """Key points there, upright but for a turn (radians)."""
    turn = 5 * np.array([np.cos(turned), -np.sin(turned), np.sin(turned), np.cos(turned)])
    keypoints = np.concatenate([px, np.tile(turn, (len(px), 1))], 1).astype(np.float32)
    return Features(keypoints, np.zeros((len(px), 128), np.float32), np.zeros((len(px), 3), np.uint8), (SIDE, 480))


def _turntable(room_moves: float) -> tuple[list[Features], Matches]:
    """Photos of points on a table that turns, one of them on its axis, seen from above before a room that moves by so
    many px from photo to photo; every photo shows every point, the room's first, that on the axis at `AXIS`."""
    random = np.random.default_rng(0)
    room = random.uniform(100, 540, (ROOM, 2))
    thing = 25.0 * np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 4)), -1).reshape(THING, 2)
    features = []
    for n in range(PHOTOS):
        a = 2 * np.pi * n / PHOTOS
        turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        still = _features(room + random.normal(0, 0.3, room.shape) + room_moves * n, 0.0)
        features.append(still.with_more(_features(320 + thing @ turn.T, a)))
        features[-1] = Features(*(getattr(features[-1], k) for k in ("keypoints", "descriptors", "rgb", "size")))
    rows = np.repeat(np.arange(ROOM + THING)[:, None], 2, 1)
    return features, {(i, j): rows for i in range(PHOTOS) for j in range(i + 1, PHOTOS)}


def test_a_room_that_stands_still_is_left_out() -> None:
    features, matches = _turntable(0.0)
    kept, left, still = without_still(features, matches)
    assert still == ROOM
    for before, after in zip(features, kept, strict=True):
        np.testing.assert_array_equal(after.keypoints, before.keypoints[ROOM:])
    assert left.keys() == matches.keys()
    moving = np.delete(np.arange(THING), AXIS)
    for rows in left.values():
        np.testing.assert_array_equal(rows, np.stack([moving, moving], 1))


@pytest.mark.parametrize("moves", [2.0, 20.0])
def test_a_room_that_a_camera_goes_around_in_stays(moves: float) -> None:
    features, matches = _turntable(moves)
    kept, left, still = without_still(features, matches)
    assert still == 0 and left is matches
    assert all(one is other for one, other in zip(kept, features, strict=True))


def test_photos_of_nothing_but_what_stands_still_stay_as_they_are() -> None:
    features, matches = _turntable(0.0)
    room = {pair: rows[:ROOM] for pair, rows in matches.items()}
    assert without_still(features, room)[2] == 0
