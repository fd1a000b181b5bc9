"""Focus by sharpness: photos of a slanted plane through a thin lens."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from macrosplat.cameras.in_focus import find_focus
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.photos.find import find_photos
from making_captures import look_at
from test_aligned import texture

FOCAL, SIZE, PUPIL = 800.0, (320, 240), 4.0
FOCI = np.array([36.0, 38.0, 40.0, 42.0, 44.0])
CENTRES = np.array([[0, 0, -40], [3, 1, -39], [-3, 2, -41], [1, -3, -40], [-2, -2, -40.0]])
NORMAL = np.array([1.2, 0.0, -1.0])  # depths from 35 to 45


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("capture")
    views = np.stack([look_at(centre, np.zeros(3)) for centre in CENTRES])
    names = tuple(f"{v}.png" for v in range(len(views)))
    cameras = Cameras(
        names, views, np.tile([FOCAL, FOCAL, 160, 120], (5, 1)), np.tile(SIZE, (5, 1)), source="transforms"
    )
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    ray = np.stack([(x - 160) / FOCAL, (y - 120) / FOCAL, np.ones_like(x)], -1)
    sigmas = np.linspace(0, 5, 11)
    for v, name in enumerate(names):
        direction = ray @ views[v, :3, :3]
        depth = -(CENTRES[v] @ NORMAL) / (direction @ NORMAL)
        hit = CENTRES[v] + direction * depth[..., None]
        sharp = np.mean([texture(k * hit[..., 0], k * hit[..., 1]) for k in (4, 8, 16)], 0) ** 2.2
        blurs = np.stack([gaussian_filter(sharp, s) for s in sigmas])
        at = np.clip(PUPIL / 4 * FOCAL * np.abs(1 / FOCI[v] - 1 / depth) / sigmas[1], 0, len(sigmas) - 1.001)
        rows, (i, j) = at.astype(int), np.indices(at.shape)
        light = blurs[rows, i, j] * (1 - at % 1) + blurs[rows + 1, i, j] * (at % 1)
        picture = np.rint(255 * light ** (1 / 2.2)).astype(np.uint8)
        Image.fromarray(np.repeat(picture[..., None], 3, 2)).save(folder / name)
    flat = np.stack(np.meshgrid(np.linspace(-4, 4, 33), np.linspace(-5, 5, 21)), -1).reshape(-1, 2)
    xyz = np.column_stack([flat, 1.2 * flat[:, 0]])
    point, photo = np.divmod(np.arange(len(xyz) * 5), 5)
    local = np.einsum("oij,oj->oi", views[photo, :3, :3], xyz[point]) + views[photo, :3, 3]
    px = FOCAL * local[:, :2] / local[:, 2:] + np.array(SIZE) / 2
    return find_photos(folder, masks=False).photos, cameras, xyz, point, photo, px


def points(xyz, point, photo, px, kept=slice(None)):
    return SparsePoints(xyz, np.zeros((len(xyz), 3), np.uint8), point[kept], photo[kept], px[kept])


def test_where_photos_are_focused(taken):
    photos, cameras, *seen = taken
    found = find_focus(points(*seen), cameras, photos)
    np.testing.assert_allclose(1 / found.nearness, FOCI, atol=0.25)  # of 10 units between the nearest and the farthest
    assert (found.sigma < 0.1 / 40**2).all()


def test_a_photo_that_shows_next_to_nothing_does_not_tell(taken):
    photos, cameras, xyz, point, photo, px = taken
    kept = (photo != 2) | (point < 5)
    found = find_focus(points(xyz, point, photo, px, kept), cameras, photos)
    assert np.isinf(found.sigma[2]) and np.isfinite(np.delete(found.sigma, 2)).all()
    none = find_focus(points(xyz, point, photo, px, photo == 0), cameras, photos)
    assert np.isinf(none.sigma).all()
