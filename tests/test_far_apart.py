"""Given cameras of photos that look from far apart: too few shared points tell nothing against them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.cameras.sfm import known
from macrosplat.capture.records import Capture
from macrosplat.capture.solve import between_neighbours, solve, training_input
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.progress import Progress
from making_corner import ENGRAVED, FOCAL, look, ray_cast, texture

AT = ((3, 8), (40, 8), (20, 70), (80, 50))  # degrees: two pairs of views of the corner, farther from each other


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """Four photos of the corner with their true cameras."""
    folder = tmp_path_factory.mktemp("far")
    rng = np.random.default_rng(5)
    textures = [texture(rng) for _ in range(3)]
    views = np.stack([look(*at) for at in AT])
    photos = []
    for n, view in enumerate(views):
        path = folder / f"{n}.png"
        Image.fromarray(ray_cast(view, (320, 240), textures)).save(path)
        photos.append(Photo(path.name, path, 320, 240, ENGRAVED))
    count = len(photos)
    intrinsics = np.tile([FOCAL, FOCAL, 160, 120], (count, 1))
    names = tuple(photo.name for photo in photos)
    cameras = Cameras(names, views, intrinsics, np.tile([320, 240], (count, 1)), "transforms")
    return Capture(folder, tuple(photos), cameras)


@pytest.fixture(scope="module")
def taken(far: Capture, tmp_path_factory: pytest.TempPathFactory):
    return known.key_points(far.photos, [photo.name for photo in far.photos], tmp_path_factory.mktemp("scratch"))


@pytest.fixture(autouse=True)
def once(taken, monkeypatch: pytest.MonkeyPatch) -> None:
    """The photos' feature points are found once."""
    monkeypatch.setattr(known, "key_points", lambda *_: taken)


def test_right_cameras_far_apart_begin_with_points_of_two_photos(far: Capture, tmp_path: Path) -> None:
    assert far.cameras is not None
    said = io.StringIO()
    with Progress(said) as progress:
        solved = solve(far, tmp_path, 0, progress)
    seen = np.bincount(solved.points.point)
    assert between_neighbours(far.cameras) == pytest.approx(35, abs=3)
    assert len(seen) >= 30 and seen.min() == 2
    off_plane = np.abs(solved.points.xyz).min(1)  # of the three planes x, y, z = 0
    assert np.median(off_plane) < 0.02
    assert "points of two photos" in said.getvalue() and "focal lengths" in said.getvalue()
    assert len(training_input(far, solved.cameras, solved.points, 0, None).photos) == 4


@pytest.mark.parametrize("wrong", ["exchanged", "other axes", "backwards"])
def test_wrong_cameras_far_apart_are_refused_without_being_called_wrong(
    far: Capture, tmp_path: Path, wrong: str
) -> None:
    assert far.cameras is not None
    views = far.cameras.views
    if wrong == "exchanged":
        views = views[[2, 0, 3, 1]]
    elif wrong == "other axes":
        views = np.diag([1.0, -1.0, -1.0, 1.0]) @ views
    else:
        views = views.copy()
        views[:, :3, 3] *= -1
    with pytest.raises(MacrosplatError, match="degrees apart") as told, Progress(io.StringIO()) as progress:
        solve(replace(far, cameras=replace(far.cameras, views=views)), tmp_path, 0, progress)
    assert "they belong to other photos" not in str(told.value)


@pytest.mark.parametrize("count", [3, 50])
def test_points_of_a_model_that_tell_nothing_are_found_anew(far: Capture, tmp_path: Path, count: int) -> None:
    """Few points, or those whose model does not say who sees them, are no cameras of other photos."""
    none = np.empty(0, np.int64)
    points = SparsePoints(np.zeros((count, 3)), np.zeros((count, 3), np.uint8), none, none, np.empty((0, 2)))
    said = io.StringIO()
    with Progress(said) as progress:
        solved = solve(replace(far, points=points), tmp_path, 0, progress)
    assert len(solved.points) > 50 and f"The {count} points given with the cameras are found anew" in said.getvalue()
