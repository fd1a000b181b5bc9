"""Resizing and undistorting against closed forms and COLMAP's own projection."""

import numpy as np
import pytest

from macrosplat.cameras.records import Distortion
from macrosplat.cameras.undistort import colmap_camera, pinhole_of, rescaled, undistort
from macrosplat.photos.resample import area_average

LENSES = {
    "SIMPLE_RADIAL": (300.0, 80.0, 60.0, -0.6),
    "RADIAL": (300.0, 83.0, 58.0, 0.8, 0.3),
    "OPENCV": (300.0, 310.0, 80.0, 60.0, -0.5, 0.1, 0.01, -0.02),
    "OPENCV_FISHEYE": (110.0, 112.0, 80.0, 60.0, 0.02, 0.0, 0.0, 0.0),
}


def lens(model: str) -> Distortion:
    return Distortion(model, LENSES[model], 160, 120)


def test_whole_ratio_is_the_block_mean():
    photo = np.random.default_rng(0).random((12, 18, 3)).astype(np.float32)
    expected = photo.reshape(4, 3, 6, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(area_average(photo, (6, 4)), expected, rtol=1e-6)


@pytest.mark.parametrize("size", [(7, 5), (17, 11), (18, 12), (1, 1), (12, 7)])
def test_fractional_ratio(size):
    """Against brute force: every pixel repeated so often that the ratio is whole, then block means."""
    photo = np.random.default_rng(1).random((12, 18)).astype(np.float32)
    width, height = size
    fine = photo.astype(np.float64).repeat(height, axis=0).repeat(width, axis=1)
    expected = fine.reshape(height, 12, width, 18).mean(axis=(1, 3))
    np.testing.assert_allclose(area_average(photo, size), expected, rtol=1e-5)


@pytest.mark.parametrize("model", LENSES)
def test_pinhole_shows_only_what_was_seen_and_keeps_the_focal_length_or_touches_the_border(model):
    distortion = lens(model)
    fx, fy, cx, cy = pinhole_of(distortion)
    x, y = np.meshgrid(np.linspace(0, 160, 81), np.linspace(0, 120, 61))
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x)], axis=-1).reshape(-1, 3)
    px = colmap_camera(distortion).img_from_cam(rays)
    assert px.min() > -1e-3
    assert (px.max(axis=0) < np.array([160, 120]) + 1e-3).all()
    gap = np.abs(np.concatenate([px, px - [160, 120]])).min()
    kept = fx == colmap_camera(distortion).focal_length_x
    assert kept == (model != "RADIAL") or gap < 1e-2, "a shorter focal length would still show only what was seen"
    assert gap < 0.05 * 160


def test_undistorted_lens_changes_nothing():
    distortion = Distortion("OPENCV", (300.0, 310.0, 80.0, 60.0, 0.0, 0.0, 0.0, 0.0), 160, 120)
    assert pinhole_of(distortion).tolist() == [300, 310, 80, 60]
    photo = np.random.default_rng(2).random((120, 160, 3)).astype(np.float32)
    np.testing.assert_allclose(undistort(photo, distortion), photo, atol=1e-5)


@pytest.mark.parametrize("model", LENSES)
def test_undistort(model):
    """A pattern known in closed form on the ray: through the lens and undistorted, it is the pinhole's view of it."""
    distortion = lens(model)
    camera = colmap_camera(distortion)

    def pattern(rays):
        return (0.5 + 0.4 * np.sin(9 * rays[..., 0]) * np.cos(7 * rays[..., 1]))[..., None].astype(np.float32)

    x, y = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    taken = pattern(camera.cam_from_img(np.stack([x, y], axis=-1).reshape(-1, 2)).reshape(120, 160, 2))
    fx, fy, cx, cy = pinhole_of(distortion)
    expected = pattern(np.stack([(x - cx) / fx, (y - cy) / fy], axis=-1))
    error = np.abs(undistort(taken, distortion) - expected)
    # Clamping to the neighbours' range cuts the crests by up to w^2 / 8 of 0.4, w = 9 / 110 rad per px: 3e-4; three
    # lobes of a sinc miss a slope by up to 1 % of its change between two pixels.
    assert error[3:-3, 3:-3].max() < 2e-3
    assert np.abs(taken - expected).max() > 0.01, "the lens must distort for this to say anything"


def test_rescaled():
    """The same ray meets the half-size photo at half the px."""
    whole, half = lens("OPENCV"), rescaled(lens("OPENCV"), 80, 60)
    rays = np.array([[0.1, -0.15, 1.0], [-0.2, 0.1, 1.0]])
    np.testing.assert_allclose(
        colmap_camera(half).img_from_cam(rays) * 2, colmap_camera(whole).img_from_cam(rays), rtol=1e-12
    )


def test_the_middle_of_a_photo_keeps_its_pixels():
    """Where a lens bends little, and the focal length stays, undistorting moves what is near the middle by nothing."""
    distortion = Distortion("SIMPLE_RADIAL", (800.0, 80.0, 60.0, -0.5), 160, 120)
    photo = np.random.default_rng(3).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    np.testing.assert_allclose(undistort(photo, distortion)[50:70, 70:90], photo[50:70, 70:90], atol=2)
