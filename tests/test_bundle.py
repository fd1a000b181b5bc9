"""Bundle adjustment by the sizes of key points: against COLMAP's where all count alike, and against known cameras."""

import numpy as np
import pycolmap
import pytest

from macrosplat.cameras.sfm import bundle, mapping
from test_radial import COUNT, FOCAL, SIDE, model_of

ALIKE = bundle.Noise([np.ones(300)] * COUNT, 0.5)


def moved(model: pycolmap.Reconstruction, focal: float) -> pycolmap.Reconstruction:
    """A copy that begins elsewhere."""
    rng, begun = np.random.default_rng(1), pycolmap.Reconstruction(model)
    begun.cameras[1].params = [focal * FOCAL, *begun.cameras[1].params[1:]]
    for point in begun.points3D.values():
        point.xyz = point.xyz + rng.normal(0, 0.01, 3)
    return begun


def test_where_all_count_alike_it_ends_where_colmap_does():
    model = model_of(0.0, 0.8)
    mapping.adjust(model, 0.5, end=1e-12)
    found = moved(model, 1.02)
    bundle.adjust(found, ALIKE)
    assert bundle.costs(found, ALIKE).sum() == pytest.approx(bundle.costs(model, ALIKE).sum(), rel=5e-4)
    assert found.cameras[1].focal_length_x == pytest.approx(model.cameras[1].focal_length_x, rel=5e-4)


def test_large_key_points_that_lie_off_their_places_move_the_focal_length_less():
    """Where one in three is eight times as large and is seen 1 % farther from the middle, as a longer lens shows it."""
    model = model_of(0.0, 0.1)
    sizes = np.where(np.arange(300) % 3 == 0, 8.0, 1.0)
    for image in model.images.values():
        for row in image.get_observation_point2D_idxs():
            if sizes[row] > 1:
                image.points2D[row].xy = SIDE / 2 + 1.01 * (image.points2D[row].xy - SIDE / 2)
    off = []
    for noise in (bundle.Noise([np.ones(300)] * COUNT, 0.3), bundle.Noise([sizes] * COUNT, 0.3)):
        found = pycolmap.Reconstruction(model)
        bundle.adjust(found, noise)
        off.append(abs(found.cameras[1].focal_length_x / FOCAL - 1))
    assert off[1] < 0.3 * off[0] and off[1] < 1e-3


@pytest.mark.parametrize("most, kept", [(2.0, False), (1.1, True)])
def test_a_focal_length_that_runs_away_stays(most: float, kept: bool):
    model = moved(model_of(0.0, 0.2), 0.8)
    bundle.adjust(model, ALIKE, most=most)
    wanted = 0.8 * FOCAL if kept else FOCAL
    assert model.cameras[1].focal_length_x == pytest.approx(wanted, rel=1e-12 if kept else 0.01)


def test_few_photos_leave_the_focal_length_where_it_was():
    model = moved(model_of(0.0, 0.2), 0.9)
    for image_id in range(7, COUNT + 1):
        model.deregister_frame(model.images[image_id].frame_id)
    bundle.adjust(model, ALIKE)
    assert model.cameras[1].focal_length_x == pytest.approx(0.9 * FOCAL, rel=1e-12)


def test_the_bend_of_the_lens_is_found():
    model = model_of(-0.15, 0.1)
    camera = model.cameras[1]
    bent = pycolmap.Camera(model="SIMPLE_RADIAL", width=SIDE, height=SIDE, params=[*camera.params, 0.0], camera_id=1)
    camera.model, camera.params = bent.model, bent.params.tolist()
    bundle.adjust(model, ALIKE, radial=True)
    focal, _, _, k1 = model.cameras[1].params
    assert k1 == pytest.approx(-0.15, rel=0.02) and focal == pytest.approx(FOCAL, rel=0.002)
