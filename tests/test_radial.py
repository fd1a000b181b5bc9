"""The distortion that photos tell, against lenses that are known."""

from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest

from macrosplat.cameras.sfm import mapping
from macrosplat.cameras.sfm.bundle import Noise
from macrosplat.cameras.sfm.radial import with_radial

SIDE, FOCAL, COUNT = 640, 1600.0, 12


def model_of(k1: float, noise: float) -> pycolmap.Reconstruction:
    """A ring of photos of points; observations through a lens of `k1`, off by `noise` px; a model of pinholes."""
    rng = np.random.default_rng(4)
    lens = pycolmap.Camera(
        model="SIMPLE_RADIAL", width=SIDE, height=SIDE, params=[FOCAL, SIDE / 2, SIDE / 2, k1], camera_id=1
    )
    xyz = rng.uniform(-1, 1, (300, 3))
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(mapping.pinhole(SIDE, FOCAL, 1))
    seen = []
    for n in range(COUNT):
        turn = pycolmap.Rotation3d(np.array([0, np.sin(n * np.pi / COUNT), 0, np.cos(n * np.pi / COUNT)]))
        tilted = pycolmap.Rotation3d(np.array([np.sin(0.2), 0, 0, np.cos(0.2)])) * turn
        view = pycolmap.Rigid3d(tilted, np.array([0, 0, 7.0]))
        px = lens.img_from_cam(np.array([view * point for point in xyz])) + rng.normal(0, noise, (len(xyz), 2))
        image = pycolmap.Image(name=f"{n}.jpg", keypoints=px, camera_id=1, image_id=n + 1)
        model.add_image_with_trivial_frame(image, view)
        seen.append(px)
    for p, point in enumerate(xyz):
        track = pycolmap.Track()
        for n in range(COUNT):
            if ((seen[n][p] > 0) & (seen[n][p] < SIDE)).all():
                track.add_element(n + 1, p)
        model.add_point3D(point, track)
    for _ in range(2):
        mapping.adjust(model, 0.5)
    return model


FEATURES = [SimpleNamespace(size=(640, 480))] * COUNT
NOISE = Noise([np.ones(300)] * COUNT, 0.5)


@pytest.mark.parametrize("k1", [-0.15, 0.12])
def test_a_distortion_that_the_points_show_is_found(k1):
    model = model_of(k1, 0.3)
    found = with_radial(model, FEATURES, NOISE)
    focal, _, _, told = found.cameras[1].params
    assert told == pytest.approx(k1, rel=0.05) and focal == pytest.approx(FOCAL, rel=0.003)
    assert abs(model.cameras[1].focal_length_x / FOCAL - 1) > abs(focal / FOCAL - 1)


@pytest.mark.parametrize("k1, noise", [(0.0, 0.3), (0.01, 0.3), (-0.15, 60.0)])
def test_of_one_that_they_do_not_surely_show_nothing_is_said(k1, noise):
    """None, one of a third of a pixel in the corner, and one that is lost in what key points are off by."""
    model = model_of(k1, noise)
    assert with_radial(model, FEATURES, NOISE) is model
