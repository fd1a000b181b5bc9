"""Cameras held by those of others: against the true ones of a corner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from macrosplat.cameras.sfm import held
from macrosplat.cameras.sfm.held import held_by_others
from macrosplat.cameras.sfm.known import key_points
from making_corner import DISTANCE, write_corner


def test_a_camera_comes_back_to_where_the_others_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corner = write_corner(tmp_path / "corner")
    photos, truth = corner.capture.photos, corner.truth
    taken = key_points(photos, truth.names, tmp_path)
    views = truth.views.copy()
    views[4, :3, 3] += 0.008 * DISTANCE * np.array([0.6, -0.8, 0.0])
    moved = replace(truth, views=views)
    found = held_by_others(photos, moved, [truth.names[4]], tmp_path, 0, taken)
    others = [n for n in range(len(truth)) if n != 4]
    assert np.array_equal(found.views[others], truth.views[others])
    off = np.linalg.norm(found.centres[4] - truth.centres[4]) / DISTANCE
    assert off < 0.002
    assert not list(tmp_path.glob(".*"))
    monkeypatch.setattr(held, "FEWEST", 10**6)  # points that hold it: too few
    assert np.array_equal(held_by_others(photos, moved, [truth.names[4]], tmp_path, 0, taken).views, views)
