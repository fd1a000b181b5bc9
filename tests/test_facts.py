"""What a page opens with."""

from __future__ import annotations

import numpy as np

from macrosplat.cameras.records import Cameras
from macrosplat.web.facts import whole_view


def test_a_page_opens_with_the_first_photo_that_has_the_whole_object() -> None:
    views = np.tile(np.eye(4), (3, 1, 1))
    views[:, 0, 3] = 4.5, 0.0, 0.1  # to the side, in the middle, nearly so
    names, k = ("a", "b", "c"), np.tile([100.0, 100, 50, 50], (3, 1))
    cameras = Cameras(names, views, k, np.full((3, 2), 100), "transforms")
    points = np.random.default_rng(0).uniform(-1, 1, (500, 3)) + np.array([0, 0, 10])
    assert whole_view(points, cameras) == 1
    assert whole_view(points + np.array([-4.5, 0, 0]), cameras) == 0  # now the first one is in front of it
    assert whole_view(points - np.array([0, 0, 20]), cameras) == 0  # behind all of them
