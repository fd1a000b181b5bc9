"""How sure a model is of its focal length, against models of known noise."""

import pytest

from macrosplat.cameras.sfm import mapping
from macrosplat.cameras.sfm.sure import SPREADS, SPREADS_BY_PARTS, focal_spread, may_be_off, spread_by_parts
from test_radial import COUNT, FOCAL, SIDE, model_of


def test_the_spread_is_what_the_focal_length_is_off_by():
    model = model_of(0.0, 0.8)
    told, told_of_less = (focal_spread(one, 20.0) or 0.0 for one in (model, model_of(0.0, 0.2)))
    assert told == pytest.approx(4 * told_of_less, rel=0.25)
    assert 0 < abs(model.cameras[1].focal_length_x / FOCAL - 1) < 3 * told < 0.02


def test_few_photos_leave_it_where_it_was():
    model = model_of(0.0, 0.2)
    for image_id in range(7, COUNT + 1):
        model.deregister_frame(model.images[image_id].frame_id)
    assert may_be_off(model, 0.5) is None


def test_a_focal_length_that_runs_away_stays_where_it_was():
    for most, kept in ((2.0, False), (1.1, True)):
        model = model_of(0.0, 0.2)
        model.cameras[1].params = [0.8 * FOCAL, *model.cameras[1].params[1:]]
        mapping.adjust(model, 1.0, end=mapping.EXACT, most=most)
        assert model.cameras[1].focal_length_x == pytest.approx(
            0.8 * FOCAL if kept else FOCAL, rel=1e-12 if kept else 0.01
        )
        assert model.compute_mean_reprojection_error() < 5  # the rest is adjusted all the same


def test_key_points_that_blur_moves_alike_are_told_by_leaving_them_out():
    """What lies on one side is seen 1 % farther from the middle of the photo, as a longer lens would show it."""
    model = model_of(0.0, 0.2)
    for image in model.images.values():
        for row in image.get_observation_point2D_idxs():
            point = image.points2D[row]
            if model.points3D[point.point3D_id].xyz[1] > 0.3:
                point.xy = SIDE / 2 + 1.01 * (point.xy - SIDE / 2)
    for _ in range(2):
        mapping.adjust(model, 20.0, end=mapping.EXACT)
    off = abs(model.cameras[1].focal_length_x / FOCAL - 1)
    assert off > SPREADS * focal_spread(model, 20.0)
    assert off < SPREADS_BY_PARTS * spread_by_parts(model, 20.0)
