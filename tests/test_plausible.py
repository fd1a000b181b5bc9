"""What no capture is like: cameras in one place, points that do not reproject."""

from dataclasses import replace

import numpy as np
import pytest

from macrosplat.cameras.plausible import loosely_held, parallax, refuse_impossible, unconfirmed
from macrosplat.support.errors import MacrosplatError
from making_captures import DISTANCE, look_at, make_cameras, make_scene, observe


def captured(spread=1.0):
    """Cameras on an arc, `spread` times as long as usual; what they see of points."""
    cameras = make_cameras(6)
    centres = cameras.centres
    middle = centres.mean(0)
    views = np.array([look_at(middle + spread * (c - middle), np.zeros(3)) for c in centres])
    cameras = replace(cameras, views=views)
    photos = [np.zeros((72, 96, 3), np.uint8)] * 6
    return cameras, observe(make_scene(100).means.numpy(), cameras, photos)


def test_parallax_is_the_angle_between_the_outer_cameras():
    cameras, points = captured()
    first, last = cameras.centres[[0, -1]]
    between = np.degrees(np.arccos(first @ last / np.linalg.norm(first) / np.linalg.norm(last)))
    assert np.median(parallax(cameras, points)) == pytest.approx(between, rel=0.25)
    refuse_impossible(cameras, points, "it")


@pytest.mark.parametrize("spread", [0.0, 1e-3, 5e-3])
def test_cameras_in_one_place_are_refused(spread):
    with pytest.raises(MacrosplatError, match="from one place"):
        refuse_impossible(*captured(spread), "it")


@pytest.mark.parametrize(
    "change",
    [
        lambda points: replace(points, px=points.px + 5),
        lambda points: replace(points, px=points.px[::-1].copy()),
        lambda points: replace(points, xyz=points.xyz * 0 + [0, 0, -3 * DISTANCE]),  # behind the cameras
        lambda points: replace(points, xyz=points.xyz * 1e30),
    ],
)
def test_points_that_are_elsewhere_are_refused(change):
    cameras, points = captured()
    with pytest.raises(MacrosplatError, match="do not belong together"):
        refuse_impossible(cameras, change(points), "it")


def test_photos_that_no_point_speaks_for_are_named():
    cameras, points = captured()
    assert unconfirmed(cameras, points) == []
    some = points.photo != 4
    (said,) = unconfirmed(
        cameras, replace(points, photo=points.photo[some], point=points.point[some], px=points.px[some])
    )
    assert f"seen in {cameras.names[4]}:" in said


def test_points_that_one_photo_sees_say_nothing_of_parallax():
    cameras, points = captured()
    alone = np.isin(points.point, np.arange(90)) & (points.photo > 0)
    few = replace(points, photo=points.photo[~alone], point=points.point[~alone], px=points.px[~alone])
    refuse_impossible(cameras, few, "it")
    lone = few.photo == 0
    refuse_impossible(cameras, replace(few, photo=few.photo[lone], point=few.point[lone], px=few.px[lone]), "it")


def test_cameras_that_hardly_fit_are_said():
    cameras, points = captured()
    rng = np.random.default_rng(0)
    away = replace(points, px=points.px + rng.normal(0, 0.006 * 96, points.px.shape))
    (said,) = unconfirmed(cameras, away)
    assert said.startswith("The cameras hardly fit the photos")
    near = replace(points, px=points.px + rng.normal(0, 0.001 * 96, points.px.shape))
    assert unconfirmed(cameras, near) == []


def test_cameras_that_few_others_hold_are_named():
    cameras, points = captured()
    last, count = len(cameras) - 1, len(cameras)
    of_last = np.flatnonzero(points.photo == last)
    few = np.delete(np.arange(len(points.photo)), of_last[5:])  # five points are left to it
    thin = replace(points, point=points.point[few], photo=points.photo[few], px=points.px[few])
    assert loosely_held(cameras, points, 10, 3) == []
    assert loosely_held(cameras, thin, 10, 3) == [cameras.names[last]] and loosely_held(cameras, thin, 5, 3) == []
    assert loosely_held(cameras, points, 10, count) == []  # all of them: it tells none from the others
