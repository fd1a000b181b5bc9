"""How sure a model is of its focal length, against models of known noise."""

import pytest

from macrosplat.cameras.sfm import mapping
from macrosplat.cameras.sfm.sure import focal_spread
from test_radial import COUNT, FOCAL, model_of


def test_the_spread_is_what_the_focal_length_is_off_by():
    model = model_of(0.0, 0.8)
    told, told_of_less = (focal_spread(one, 20.0) or 0.0 for one in (model, model_of(0.0, 0.2)))
    assert told == pytest.approx(4 * told_of_less, rel=0.25)
    assert 0 < abs(model.cameras[1].focal_length_x / FOCAL - 1) < 3 * told < 0.02


def test_few_photos_leave_it_where_it_was():
    model = model_of(0.0, 0.2)
    for image_id in range(7, COUNT + 1):
        model.deregister_frame(model.images[image_id].frame_id)
    assert focal_spread(model, 0.5) is None


def test_a_focal_length_that_runs_away_stays_where_it_was():
    for most, kept in ((2.0, False), (1.1, True)):
        model = model_of(0.0, 0.2)
        model.cameras[1].params = [0.8 * FOCAL, *model.cameras[1].params[1:]]
        mapping.adjust(model, 1.0, end=mapping.EXACT, most=most)
        assert model.cameras[1].focal_length_x == pytest.approx(
            0.8 * FOCAL if kept else FOCAL, rel=1e-12 if kept else 0.01
        )
        assert model.compute_mean_reprojection_error() < 5  # the rest is adjusted all the same
