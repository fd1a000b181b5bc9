"""Feature points placed by the pixels about them: against an affine map that is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from macrosplat.cameras.sfm.align import aligned
from macrosplat.cameras.sfm.features import Features
from macrosplat.support.colmap import pycolmap

MAP = np.array([[1.04, 0.1], [-0.06, 0.97]])  # second = MAP @ first + SHIFT, px
SHIFT = np.array([3.3, -2.1])


@pytest.mark.parametrize("blur", [0.0, 2.5])
def test_points_are_moved_to_where_the_patches_agree(blur: float) -> None:
    random = np.random.default_rng(0)
    first = gaussian_filter(random.normal(size=(150, 200)), 2.5)
    first = 128 + 40 * first / first.std()
    row, column = np.mgrid[0:150, 0:200]
    back = np.linalg.inv(MAP) @ (np.stack([column + 0.5, row + 0.5]).reshape(2, -1) - SHIFT[:, None]) - 0.5
    second = gaussian_filter(map_coordinates(first, back[::-1], order=3, mode="reflect").reshape(150, 200), blur)
    px = random.uniform([40, 40], [150, 110], (30, 2))
    true = px @ MAP.T + SHIFT
    near = true + random.uniform(-1.2, 1.2, true.shape)
    near[0] = true[0] + 40  # another place: no patch there is alike
    shape = np.array([2.0, 0, 0, 2.0])
    shapes = np.tile(shape, (30, 1)), np.tile((MAP @ shape.reshape(2, 2)).ravel() * 1.02, (30, 1))
    features = [
        Features(
            np.column_stack([at + np.array([0, 25]), kind]).astype(np.float32),
            np.zeros((30, 128), np.float32),
            np.zeros((30, 3), np.uint8),
            (200, 150),
        )
        for at, kind in zip((px, near), shapes, strict=True)
    ]
    track = [
        SimpleNamespace(
            track=SimpleNamespace(elements=[SimpleNamespace(image_id=i + 1, point2D_idx=k) for i in (0, 1)])
        )
        for k in range(30)
    ]
    pictures = {n: np.rint(one).clip(0, 255).astype(np.uint8) for n, one in enumerate((first, second))}
    moved = aligned(SimpleNamespace(points3D=dict(enumerate(track))), features, pictures)  # type: ignore[arg-type]
    assert np.array_equal(moved[0].keypoints, features[0].keypoints)
    assert np.array_equal(moved[1].keypoints[0], features[1].keypoints[0])
    off = np.linalg.norm(moved[1].px[1:] - [0, 25] - true[1:], axis=1)
    assert np.median(off) < (0.05 if blur == 0 else 0.3) and off.max() < 0.8


def test_a_model_takes_the_points_that_were_moved() -> None:
    model, camera = pycolmap.Reconstruction(), pycolmap.Camera(model="PINHOLE", width=8, height=8, params=[9, 9, 4, 4])
    camera.camera_id = 1
    model.add_camera_with_trivial_rig(camera)
    image = pycolmap.Image(name="a", keypoints=np.zeros((1, 2)), camera_id=1, image_id=1)
    model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    model.images[1].points2D[0].xy = np.array([3.0, 2.0])
    assert model.images[1].points2D[0].xy == pytest.approx([3, 2])
