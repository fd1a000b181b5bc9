"""Focal lengths and distortion found under fixed poses: points projected through a lens that breathes and distorts."""

from dataclasses import replace

import numpy as np
import pytest

from macrosplat.cameras.calibrate import as_taken, calibrate, told_distortion, undistorted, with_distortion
from macrosplat.cameras.records import Cameras, SparsePoints
from making_captures import look_at

VIEWS, POINTS, FOCAL, SIZE = 12, 400, 1600.0, (640, 480)


def ring() -> Cameras:
    """Cameras round an object of 20 units across at 100."""
    turns = np.linspace(0, 2 * np.pi, VIEWS, endpoint=False)
    centres = np.stack([80 * np.cos(turns), 20 * np.sin(3 * turns) - 40, 80 * np.sin(turns)], 1)
    return Cameras(
        names=tuple(f"{v}.jpg" for v in range(VIEWS)),
        views=np.stack([look_at(centre, np.zeros(3)) for centre in centres]),
        intrinsics=np.tile([FOCAL, FOCAL, SIZE[0] / 2, SIZE[1] / 2], (VIEWS, 1)),
        sizes=np.tile(SIZE, (VIEWS, 1)),
        source="transforms",
    )


def observed(cameras: Cameras, factor: np.ndarray, k1: float, noise: float = 0.5) -> SparsePoints:
    """What a lens with these focal lengths and this distortion shows of points; one in twenty is far off."""
    random = np.random.default_rng(1)
    xyz = random.uniform(-10, 10, (POINTS, 3))
    point, photo = np.divmod(np.arange(POINTS * VIEWS), VIEWS)
    local = np.einsum("oij,oj->oi", cameras.views[photo, :3, :3], xyz[point]) + cameras.views[photo, :3, 3]
    ray = local[:, :2] / local[:, 2:]
    px = FOCAL * factor[photo, None] * ray * (1 + k1 * (ray**2).sum(1, keepdims=True)) + np.array(SIZE) / 2
    px += random.normal(0, noise, px.shape) + 20 * (random.random((len(px), 1)) < 0.05) * random.normal(size=px.shape)
    start = xyz + random.normal(0, 0.05, xyz.shape)  # where they were triangulated, roughly
    return SparsePoints(start, np.zeros((POINTS, 3), np.uint8), point, photo, px)


def test_a_lens_that_breathes_and_distorts():
    given, factor = ring(), 1 + 0.01 * np.cos(np.arange(VIEWS))
    factor /= factor.mean()
    found = calibrate(given, observed(given, factor, -0.4))
    assert found.differ and found.radial and not found.common
    np.testing.assert_allclose(found.focal, factor, atol=1e-3)
    assert found.k1 == pytest.approx(-0.4, abs=4 * found.k1_sigma) and found.k1_sigma < 0.03
    taken = np.array([d.params[0] for d in found.cameras.distortion if d is not None])
    np.testing.assert_allclose(taken, FOCAL * factor, rtol=1e-3)
    assert len(found.sentences()) == 2 and "distorted by -2.5 %" in found.sentences()[1]


def test_true_cameras_stay_as_they_are():
    given = ring()
    found = calibrate(given, observed(given, np.ones(VIEWS), 0.0))
    assert not found.changed and found.cameras is given and found.sentences() == ()


def test_a_wrong_focal_length_of_all_photos():
    given = ring()
    found = calibrate(given, observed(given, np.full(VIEWS, 1.02), 0.0))
    assert found.common and not found.differ and not found.radial
    np.testing.assert_allclose(found.cameras.intrinsics[:, 0], 1.02 * FOCAL, rtol=1e-3)


def test_few_points_change_nothing():
    given, points = ring(), observed(ring(), np.full(VIEWS, 1.05), 0.0)
    few = points.point < 4
    points = replace(points, xyz=points.xyz[:4], point=points.point[few], photo=points.photo[few], px=points.px[few])
    assert not calibrate(given, points).changed


def test_observations_to_the_photo_as_taken_and_back():
    given = ring()
    points = observed(given, np.ones(VIEWS), -0.4)
    cameras = calibrate(given, points).cameras
    assert all(cameras.distortion)
    straight = undistorted(points, cameras)
    assert np.abs(straight.px - points.px).max() > 1
    np.testing.assert_allclose(as_taken(straight, cameras).px, points.px, atol=1e-4)


def test_a_distortion_that_others_have_told():
    """Focal lengths follow a k1 that is held, and k1 is told under focal lengths that are held."""
    given, factor = ring(), 1 + 0.01 * np.cos(np.arange(VIEWS))
    factor /= factor.mean()
    points = observed(given, factor, -0.4)
    known = calibrate(given, points)
    found = with_distortion(given, points, known, -0.4)
    assert found.k1 == -0.4 and found.radial and found.differ
    np.testing.assert_allclose(found.focal, factor, atol=1e-3)
    assert found.cameras.distortion[0] is not None and found.cameras.distortion[0].params[4] == -0.4
    true = replace(known, focal=factor, k1=0.0)
    assert told_distortion(given, points, true) == pytest.approx(-0.4, abs=4 * known.k1_sigma)
