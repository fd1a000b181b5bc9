"""Pictures brought to what the lens shows of them: against closed forms and COLMAP's own projection."""

import numpy as np
import pytest

from macrosplat.cameras.distort import NAMED, AsTaken, keeps_frame, lengthened
from macrosplat.cameras.undistort import colmap_camera, pinhole_of, undistort
from test_resample import LENSES, lens


@pytest.mark.parametrize("model", sorted(set(LENSES) & set(NAMED)))
def test_drawn(model):
    """A pattern known in closed form on the ray: a pinhole's picture, larger by the margin, becomes the lens's."""
    distortion = lens(model)

    def pattern(rays):
        return (0.5 + 0.4 * np.sin(9 * rays[..., 0]) * np.cos(7 * rays[..., 1]))[..., None].astype(np.float32)

    bend = AsTaken(distortion, 160, 120)
    mx, my = bend.margin
    fx, fy, cx, cy = pinhole_of(distortion)
    x, y = np.meshgrid(np.arange(-mx, 160 + mx) + 0.5, np.arange(-my, 120 + my) + 0.5)
    pinhole = pattern(np.stack([(x - cx) / fx, (y - cy) / fy], -1))
    x, y = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    rays = colmap_camera(distortion).cam_from_img(np.stack([x, y], -1).reshape(-1, 2)).reshape(120, 160, 2)
    error = np.abs(bend.drawn(pinhole, bend.margin) - pattern(rays))
    assert bend.seen().all() and error.max() < 3e-3  # where the lens bends by 3 %, 8 px of it are no straight line
    assert np.abs(pinhole[my : 120 + my, mx : 160 + mx] - pattern(rays)).max() > 0.01, "the lens must distort"


def test_nearest_is_what_the_pixel_sees_and_nothing_beyond():
    distortion = lens("SIMPLE_RADIAL")
    rows, columns = np.mgrid[1:121, 1:161]
    bend = AsTaken(distortion, 160, 120)
    row, column = bend.nearest(rows), bend.nearest(columns)
    rays = colmap_camera(distortion).cam_from_img(np.array([[10.5, 20.5], [0.5, 0.5], [80.5, 60.5]]))
    fx, fy, cx, cy = pinhole_of(distortion)
    px = np.floor(rays[:, :2] * (fx, fy) + (cx, cy)).astype(int)
    assert (column[20, 10] - 1, row[20, 10] - 1) == tuple(px[0])
    assert (px[1] < 0).any() and column[0, 0] == row[0, 0] == 0
    assert (column[60, 80] - 1, row[60, 80] - 1) == (80, 60)


def test_there_and_back_is_the_photo():
    """Of a smooth photo, in the middle, where undistorting cuts nothing away."""
    y, x = np.mgrid[:120, :160]
    photo = (0.5 + 0.4 * np.sin(x / 5) * np.cos(y / 6)).astype(np.float32)[..., None]
    bend = AsTaken(lens("OPENCV"), 160, 120)
    back = bend.drawn(undistort(photo, lens("OPENCV")))
    assert np.abs(back - photo)[12:-12, 12:-12].max() < 5e-3


@pytest.mark.parametrize("model", NAMED)
def test_longer_moves_pixels_alike(model):
    distortion = {**{name: lens(name) for name in LENSES}}.get(model)
    if distortion is None:
        from macrosplat.cameras.records import Distortion

        distortion = Distortion(
            model, (300.0, 310.0, 80.0, 60.0, -0.4, 0.1, 0.01, -0.02, 0.2, -0.1, 0.05, 0.1), 160, 120
        )
    other = lengthened(distortion, 1.07)
    rays = np.random.default_rng(0).uniform(-0.2, 0.2, (50, 2))
    one = colmap_camera(distortion).img_from_cam(np.column_stack([rays, np.ones(50)]))
    two = colmap_camera(other).img_from_cam(np.column_stack([rays / 1.07, np.ones(50)]))
    np.testing.assert_allclose(one, two, atol=1e-9)
    np.testing.assert_allclose(pinhole_of(other)[:2], pinhole_of(distortion)[:2] * 1.07, rtol=1e-9)


def test_a_fisheye_does_not_keep_its_frame():
    assert not keeps_frame(lens("OPENCV_FISHEYE")) and keeps_frame(lens("RADIAL")) and not keeps_frame(None)


def test_pixels_that_no_ray_reaches_are_said():
    """A barrel so strong that its corners fold back."""
    from macrosplat.cameras.records import Distortion

    bend = AsTaken(Distortion("SIMPLE_RADIAL", (100.0, 80.0, 60.0, -0.35), 160, 120), 160, 120)
    assert not bend.seen()[0, 0] and bend.seen()[60, 80] and max(bend.margin) < 20
    assert np.isfinite(bend.drawn(np.ones((120, 160, 3), np.float32))).all()
