"""How photos are looked at for motion: blur that is known, and a capture of which one photo moved."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from macrosplat.lens import Sampling
from macrosplat.lens.thin import ThinLens
from macrosplat.output.detail.photos import Deblurred
from macrosplat.output.motion_sure import motion_uncertainties
from macrosplat.photos.records import Photo
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.metrics import psnr
from macrosplat.train.motion import Blur, blur_between, look_for_motion, moved
from making_training import made, make_trainer

RANDOM = np.random.default_rng(0)
PICTURE = gaussian_filter(RANDOM.random((60, 80, 3)), (1.5, 1.5, 0)) * 3


def smeared(picture: np.ndarray, px: float, degrees: float) -> np.ndarray:
    """The mean of a picture over a way, by its spectrum."""
    fy, fx = np.meshgrid(np.fft.fftfreq(picture.shape[0]), np.fft.fftfreq(picture.shape[1]), indexing="ij")
    way = np.sinc(px * (fx * np.cos(np.radians(degrees)) + fy * np.sin(np.radians(degrees))))
    return np.fft.ifft2(np.fft.fft2(picture, axes=(0, 1)) * way[..., None], axes=(0, 1)).real


def between(photo: np.ndarray, picture: np.ndarray) -> Blur:
    noise = RANDOM.normal(0, 0.004, photo.shape)
    weight = torch.ones(photo.shape[:2])
    found = blur_between(torch.tensor(photo + noise).float(), torch.tensor(picture).float(), weight)
    assert found is not None
    return found


@pytest.mark.parametrize(("px", "degrees"), [(2.0, 20.0), (3.0, 110.0)])
def test_a_way_is_found_by_its_variances(px, degrees):
    found = moved(between(smeared(PICTURE, px, degrees), PICTURE), np.zeros(2), 1.0)
    assert found is not None
    assert np.linalg.norm(found) == pytest.approx(px, rel=0.12)
    assert np.degrees(np.arctan2(found[1], found[0])) % 180 == pytest.approx(degrees, abs=4)
    # Of a motion that is known by half the rest is found, and the way goes on in its direction.
    half = -0.5 * found
    more = moved(between(smeared(PICTURE, px, degrees), smeared(PICTURE, px / 2, degrees)), half, 1.0)
    assert more is not None and more @ half > 0
    assert np.linalg.norm(more) == pytest.approx(px, rel=0.12)


def test_blur_that_is_no_motion_is_none():
    even = gaussian_filter(PICTURE, (0.8, 0.8, 0))
    for photo, picture in ((PICTURE, PICTURE), (even, PICTURE), (PICTURE, even)):
        assert moved(between(photo, picture), np.zeros(2), 1.0) is None
    found = between(even, PICTURE)
    np.testing.assert_allclose(found.more, 0.64 * np.eye(2), atol=0.1)
    # One that is known, and is not there, goes.
    wrong = np.array([3.0, 0.0])
    assert moved(between(PICTURE, smeared(PICTURE, 3.0, 0.0)), wrong, 1.2) is None
    flat = torch.full((40, 50, 3), 0.5)
    assert blur_between(flat, flat, torch.ones(40, 50)) is None


def test_a_photo_shifted_against_its_model_did_not_move():
    shifted = np.roll(PICTURE, 1, 1)
    assert moved(between(shifted, PICTURE), np.zeros(2), 1.0) is None


def test_one_photo_of_a_capture_moved():
    trainer, start = make_trainer(10)
    model, truth = trainer.model, made()
    lens = ThinLens(replace(start, settings={"motion": "on"}))
    model.gaussians, model.lens, way = truth.scene.map(torch.clone), lens, torch.tensor([3.0, 2.0, 0.0, 0.0, 0.0, 0.0])
    lens.say_moved(2, way)
    with torch.no_grad():
        photos = [to_bytes(to_srgb(model.photograph(v, Sampling(16)).clamp(0, 1)).numpy()) for v in range(6)]
        sharp = to_srgb(model.sharp(model.camera(2), 2).clamp(0, 1)).numpy()
    lens.say_moved(2, None)
    # As it is known that one moved, its sharp photo is not the photo: not even where it is in focus.
    records = [Photo(name, Path(name), 96, 72) for name in truth.cameras.names]
    deblurred = Deblurred(model, model.cameras(), records, [None] * 6, Sampling(8), share=1.0, own=True)
    untold = psnr(deblurred(2, None, photos[2]), sharp)
    trainer.targets.photos = photos
    look_for_motion(model, trainer.targets, 1.0)
    assert [lens.moved(v) for v in range(6)] == [False, False, True, False, False, False]
    found, (sure,) = lens.motion(2), motion_uncertainties(model, trainer.targets).values()
    wrong = min(float((found - sign * way).norm()) for sign in (1, -1))
    assert wrong < 0.8 and sure < float(found.norm()) / 1.5
    assert psnr(deblurred(2, None, photos[2]), sharp) > max(untold, psnr(photos[2] / 255, sharp)) + 4
