"""Observations brought to where pictures agree: photos of a plane that is known, each blurred in its own way."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from macrosplat.cameras.aligned import FEWEST, aligned
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.photos.find import find_photos
from making_captures import look_at

FOCAL, SIZE = 400.0, (160, 120)
BLURS = (0.0, 0.6, 1.2, 2.0, 0.9)  # px, sigma
CENTRES = np.array([[0, 0, -40], [9, 2, -39], [-8, 5, -41], [3, -9, -38], [-5, -6, -40.0]])


def texture(x, y):
    """Of many directions and sizes, from 0 to 1."""
    random, total = np.random.default_rng(3), np.zeros_like(x)
    for _ in range(40):
        turn, wave, phase = random.uniform(0, np.pi), random.uniform(0.7, 2.5), random.uniform(0, 6)
        total = total + np.sin(wave * (x * np.cos(turn) + y * np.sin(turn)) + phase)
    return (0.5 + 0.07 * total).clip(0, 1)


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """Photos of the plane z = 0.2 x, cameras, and the true observations of points on it."""
    folder = tmp_path_factory.mktemp("capture")
    views = np.stack([look_at(centre, np.zeros(3)) for centre in CENTRES])
    cameras = Cameras(
        names=tuple(f"{v}.png" for v in range(len(views))),
        views=views,
        intrinsics=np.tile([FOCAL, FOCAL, SIZE[0] / 2, SIZE[1] / 2], (len(views), 1)),
        sizes=np.tile(SIZE, (len(views), 1)),
        source="transforms",
    )
    normal = np.array([0.2, 0.0, -1.0])
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    ray = np.stack([(x - SIZE[0] / 2) / FOCAL, (y - SIZE[1] / 2) / FOCAL, np.ones_like(x)], -1)
    for view, centre, blur, name in zip(views, CENTRES, BLURS, cameras.names, strict=True):
        direction = ray @ view[:3, :3]
        hit = centre - direction * ((centre @ normal) / (direction @ normal))[..., None]
        picture = gaussian_filter(texture(hit[..., 0], hit[..., 1]), blur) * (1.0 - 0.1 * blur)
        Image.fromarray(np.rint(255 * np.repeat(picture[..., None], 3, 2)).astype(np.uint8)).save(folder / name)
    flat = np.stack(np.meshgrid(np.linspace(-4, 4, 9), np.linspace(-3, 3, 7)), -1).reshape(-1, 2)
    xyz = np.column_stack([flat, 0.2 * flat[:, 0]])
    point, photo = np.divmod(np.arange(len(xyz) * len(views)), len(views))
    local = np.einsum("oij,oj->oi", views[photo, :3, :3], xyz[point]) + views[photo, :3, 3]
    px = FOCAL * local[:, :2] / local[:, 2:] + np.array(SIZE) / 2
    photos = find_photos(folder, masks=False).photos
    return photos, cameras, SparsePoints(xyz, np.zeros((len(xyz), 3), np.uint8), point, photo, px)


def test_agrees_to_hundredths_of_a_px(taken):
    """Relative to the sharpest of a point, of whose own error nobody knows: it is there in all of them."""
    photos, cameras, true = taken
    off = np.random.default_rng(0).normal(0, 0.25, true.px.shape).clip(-0.3, 0.3)
    sharp = true.photo == 0
    off[sharp] = 0
    points = SparsePoints(true.xyz, true.rgb, true.point, true.photo, true.px + off)
    found = aligned(points, cameras, photos, least=0)
    assert len(found.photo) > 0.8 * len(true.photo)
    rows = {(tuple(x), v): px for x, v, px in zip(true.xyz[true.point], true.photo, true.px, strict=True)}
    wanted = np.array([rows[tuple(x), v] for x, v in zip(found.xyz[found.point], found.photo, strict=True)])
    wrong = np.linalg.norm(found.px - wanted, axis=1)
    by_sharp = np.isin(found.point, found.point[(found.photo == 0) & (wrong == 0)]) & (found.photo > 0)
    assert by_sharp.sum() > 0.6 * (true.photo > 0).sum()
    for photo, least in ((1, 0.03), (2, 0.05), (3, 0.12), (4, 0.04)):  # the more it is blurred, the less sure
        assert np.median(wrong[by_sharp & (found.photo == photo)]) < least
    assert np.median(np.linalg.norm(off[~sharp], axis=1)) > 0.25


def test_what_shows_something_else_goes(taken):
    photos, cameras, true = taken
    px = true.px.copy()
    wrong = (true.point % 4 == 0) & (true.photo == 2)
    px[wrong] += 25.0
    found = aligned(SparsePoints(true.xyz, true.rgb, true.point, true.photo, px), cameras, photos, least=0)
    there = {(tuple(x), v) for x, v in zip(found.xyz[found.point], found.photo, strict=True)}
    lost = [(tuple(x), v) not in there for x, v in zip(true.xyz[true.point][wrong], true.photo[wrong], strict=True)]
    assert np.mean(lost) > 0.8
    assert np.bincount(found.point).min() >= FEWEST


def test_a_photo_with_few_keeps_its_own(taken):
    photos, cameras, true = taken
    found = aligned(true, cameras, photos, least=10_000)
    np.testing.assert_array_equal(found.px, true.px)
