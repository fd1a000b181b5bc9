"""The first Gaussians: where the points are, and guesses where the sheet is known to be."""

import numpy as np
import pytest
import torch

from macrosplat.cameras.records import SparsePoints
from macrosplat.scene.gaussians import SH_C0
from macrosplat.scene.start import FAINTEST, LARGEST, SMALLEST, observed_depths, start_scene
from macrosplat.support.colour import to_linear
from making_captures import DISTANCE, FOCAL, make

PIXEL = DISTANCE / FOCAL


@pytest.fixture(scope="module")
def made():
    return make(4, points_of_pupil=1)


def start(made, count, points=None, seed=0, degree=2):
    points = made.points if points is None else points
    return start_scene(points, made.cameras, made.photos, made.cameras.sizes, PIXEL, count, degree, seed)


def test_points_come_first_in_their_colours(made):
    scene, points = start(made, len(made.points)), made.points
    assert len(scene) == len(points) and scene.sh_degree == 2
    torch.testing.assert_close(scene.means, torch.tensor(points.xyz, dtype=torch.float32))
    colour = np.maximum(to_linear(points.rgb.astype(np.float32) / 255), FAINTEST)
    torch.testing.assert_close(0.5 + SH_C0 * scene.sh0, torch.tensor(colour), atol=1e-6, rtol=0)
    assert scene.sh_rest.abs().max() == 0


def test_guesses_lie_on_the_sheet(made):
    scene = start(made, 3 * len(made.points))
    assert len(scene) == 3 * len(made.points)
    guessed = scene.means[len(made.points) :].numpy()
    inside = np.abs(guessed[:, 0]) < 0.9
    # The sheet is z = 0.7 x + 0.1 sin(5 y), 1.4 deep: most guesses within a tenth of that.
    away = np.abs(guessed[:, 2] - 0.7 * guessed[:, 0] - 0.1 * np.sin(5 * guessed[:, 1]))[inside]
    assert np.median(away) < 0.05 and np.percentile(away, 90) < 0.14


def test_sizes_are_those_of_the_neighbourhood_within_bounds(made):
    size = start(made, len(made.points)).log_scales.exp().numpy()
    assert (size == size[:, :1]).all()
    assert size.min() >= SMALLEST * PIXEL * 0.999 and size.max() <= LARGEST * PIXEL * 1.001
    xyz = made.points.xyz
    apart = np.sort(np.linalg.norm(xyz[0] - xyz, axis=1))[1:4].mean()
    assert size[0, 0] == pytest.approx(np.clip(apart, SMALLEST * PIXEL, LARGEST * PIXEL), rel=1e-5)


def test_same_seed_same_scene(made):
    one, same, other = (start(made, 1500, seed=seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one.tensors().values(), same.tensors().values(), strict=True))
    assert not torch.equal(one.means, other.means)


def test_a_photo_that_saw_no_point_gets_guesses_at_the_usual_depth(made):
    keep = made.points.photo != 2
    points = SparsePoints(
        made.points.xyz, made.points.rgb, made.points.point[keep], made.points.photo[keep], made.points.px[keep]
    )
    scene = start(made, 2000, points)
    assert len(scene) == 2000 and torch.isfinite(scene.means).all()


def test_depth_is_camera_z(made):
    depths = observed_depths(made.points, made.cameras)
    o = 1000
    xyz = np.append(made.points.xyz[made.points.point[o]], 1)
    assert depths[o] == pytest.approx((made.cameras.views[made.points.photo[o]] @ xyz)[2])
