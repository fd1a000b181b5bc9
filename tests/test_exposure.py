"""Exposure: gains that were multiplied into the photos come back, the gauge holds, and sharp photos keep their own."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import torch

from macrosplat.cameras.records import SparsePoints
from macrosplat.model.backdrop import Backdrop
from macrosplat.model.exposure import Exposure, exif_stops, start_exposure
from macrosplat.model.model import Model
from macrosplat.model.rig import Rig, leaders
from macrosplat.photos.records import Exif, Photo
from macrosplat.render import Frame
from macrosplat.support.colour import to_bytes, to_linear, to_srgb
from macrosplat.support.metrics import psnr
from macrosplat.train.schedule import RATES
from making_captures import Made
from making_training import made, make_trainer

NUMBERS = (lambda v: v, lambda v: torch.tensor([v]))


def some(photos: int = 4, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return 0.3 * torch.randn(photos, 3, generator=torch.Generator().manual_seed(2), dtype=dtype) + 0.1


@functools.cache
def multiplied() -> tuple[Made, np.ndarray]:
    """The small capture with gains of about +-0.3 stops, as 8 bit photos, and the gains in stops [V, 3]."""
    random, capture = np.random.default_rng(1), made()
    stops = random.uniform(-0.3, 0.3, (len(capture.photos), 1)) + random.normal(0, 0.05, (len(capture.photos), 3))
    stops -= stops.mean(0)

    def gained(photos):
        linear = [to_linear(photo.astype(np.float64) / 255) for photo in photos]
        return [to_bytes(to_srgb(light * 2.0**s)) for light, s in zip(linear, stops, strict=True)]

    return dataclasses.replace(capture, photos=gained(capture.photos), sharp=gained(capture.sharp)), stops


@pytest.mark.parametrize("number", NUMBERS)
def test_the_mean_exposure_is_one(number):
    exposure = Exposure(some())
    gains = torch.stack([exposure.gain(number(v)) for v in range(4)])
    torch.testing.assert_close(gains.log().mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(gains.log() - gains.log()[:1], some() - some()[:1])
    torch.testing.assert_close(torch.tensor(exposure.stops(), dtype=torch.float64), gains.log2())
    torch.testing.assert_close(Exposure(some() + 3).gain(number(1)), gains[1])  # only differences count


def test_colours_are_multiplied_and_alpha_is_not():
    exposure, light = Exposure(some()), torch.rand(5, 6, 4, dtype=torch.float64)
    shown = exposure.expose(light, 2)
    torch.testing.assert_close(shown[..., :3], light[..., :3] * exposure.gain(2))
    assert torch.equal(shown[..., 3], light[..., 3])
    torch.testing.assert_close(exposure.expose(light[..., :3], 2), shown[..., :3])
    assert exposure.expose(light, None) is light


def test_gradients_are_finite_differences():
    light = torch.rand(3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda g, x: Exposure(g).expose(x, 1), (some().requires_grad_(), light))


@pytest.mark.parametrize("number", NUMBERS)
def test_a_backdrop_tells_nothing_of_its_photo_s_exposure(number):
    """Its grid is in the photo's own light: what the photo shows of it is the grid, whatever the gain."""
    grids = torch.rand(3, 3, 4, 3, generator=torch.Generator().manual_seed(0))
    frames, pivots = [Frame(8, 6)] * 3, torch.full((3,), 5.0)
    rig = Rig(torch.eye(4).repeat(3, 1, 1), torch.ones(3, 4), frames, pivots, 0.01, leaders([(0, 1), (2,)]))
    exposure = Exposure(some(3, torch.float32).requires_grad_())
    model = Model(None, rig, None, Backdrop(grids), exposure)  # type: ignore[arg-type]
    frame = Frame(8, 6)
    shown = exposure.expose(model.behind(number(2), frame), number(2))
    torch.testing.assert_close(shown, Backdrop(grids).at(2, 8, 6))
    (gradient,) = torch.autograd.grad(shown.sum(), exposure.log_gains)
    assert gradient.abs().max() < 1e-3 * shown.sum()
    # A slice shows the one backdrop of its pose as it was exposed itself.
    slices = [exposure.expose(model.behind(number(v), frame), number(v)) for v in (0, 1)]
    ratio = exposure.gain(1) / exposure.gain(0)
    torch.testing.assert_close(slices[1], slices[0] * ratio)
    torch.testing.assert_close(
        model.behind(None, frame),
        (model.behind(0, frame) + model.behind(2, frame)) / 2,
    )


def test_the_photos_points_tell_the_gains():
    capture, stops = multiplied()
    begun = start_exposure(capture.points, capture.photos, capture.cameras.sizes)
    assert begun.learned
    assert np.abs(np.array(begun.exposure.stops()) - stops).max() < 0.06


def test_photos_of_one_exposure_keep_it():
    capture = made()
    begun = start_exposure(capture.points, capture.photos, capture.cameras.sizes)
    assert not begun.learned
    assert np.abs(begun.exposure.stops()).max() == 0


@pytest.mark.parametrize("glossy, learned", [(1, False), (8, True)])
def test_what_differs_on_a_part_of_the_thing_alone_is_gloss(glossy: int, learned: bool):
    """Eight parts, each in a cell of every photo: the light of one, which has most points, or of all differs from photo
    to photo."""
    random, count = np.random.default_rng(3), 12
    stops = np.where(np.arange(8) < glossy, random.normal(0, 0.3, (count, 1)), 0.0)
    light = 0.15 * 2.0 ** (stops + random.normal(0, 0.03, stops.shape))
    photos = [to_bytes(to_srgb(np.kron(one.reshape(2, 4), np.ones((24, 24)))))[..., None].repeat(3, 2) for one in light]
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    middles = np.array([[24 * x + 12.5, 24 * y + 12.5] for y in range(2) for x in range(4)])
    part = np.where(np.arange(160) < 96, 0, 1 + np.arange(160) % 7)
    xyz = corners[part] + random.normal(0, 0.01, (160, 3))
    points = SparsePoints(
        xyz,
        np.zeros((160, 3), np.uint8),
        np.repeat(np.arange(160), count),
        np.tile(np.arange(count), 160),
        np.repeat(middles[part], count, 0),
    )
    assert start_exposure(points, photos, np.tile([96, 48], (count, 1))).learned == learned


def taken(capture: Made, seconds: list[float]) -> list[Photo]:
    return [
        Photo(name, Path(name), 100, 100, Exif(f_number=8, iso=100, seconds=s))
        for name, s in zip(capture.cameras.names, seconds, strict=True)
    ]


def test_exif_of_one_exposure_gives_way_to_plain_differences_only():
    """A flash is plain, a sixteenth of a stop is not."""
    capture = made()
    records = taken(capture, [1 / 60] * len(capture.photos))
    for stops, learned in ((1.0, True), (1 / 16, False)):
        gains = np.where(np.arange(len(capture.photos)) % 2, stops, 0)
        photos = [
            to_bytes(to_srgb(to_linear(photo.astype(np.float32) / 255) * np.float32(0.5 * 2**gain)))
            for photo, gain in zip(capture.photos, gains, strict=True)
        ]
        begun = start_exposure(capture.points, photos, capture.cameras.sizes, records)
        assert begun.learned is learned, stops
        assert bool(np.ptp(begun.exposure.stops()) > 0.5) == learned


def test_exif_of_several_exposures_is_believed_where_the_photos_show_them():
    """One photo was exposed for twice as long; it is as much brighter, or was developed to look like the others."""
    capture = made()
    seconds = [1 / 30, *[1 / 60] * (len(capture.photos) - 1)]
    for shown in (True, False):
        photos = [
            to_bytes(
                to_srgb(to_linear(photo.astype(np.float32) / 255) * np.float32(0.5 * (2 if shown and not n else 1)))
            )
            for n, photo in enumerate(capture.photos)
        ]
        begun = start_exposure(capture.points, photos, capture.cameras.sizes, taken(capture, seconds))
        stops = np.array(begun.exposure.stops())
        assert not begun.learned
        assert stops[0] - stops[1] == pytest.approx([1.0 if shown else 0.0] * 3, abs=1e-5) and np.ptp(stops[1:]) < 1e-5


def test_stops_of_exif():
    times = [1 / 60, 1 / 30, *[1 / 60] * (len(made().photos) - 2)]
    stops = exif_stops(taken(made(), times))
    assert stops is not None and np.ptp(stops) == pytest.approx(1) and stops.mean() == pytest.approx(0)
    assert exif_stops([*taken(made(), times)[1:], Photo("x", Path("x"), 1, 1)]) is None


def test_training_finds_the_gains_and_sharp_photos_keep_them(monkeypatch):
    """From gains of 0, so that nothing but training can have found them; at a quarter of the resolution."""
    monkeypatch.setitem(RATES, "exposure", 5e-3)
    capture, stops = multiplied()
    steps = 120
    trainer, _ = make_trainer(steps, capture=capture, half_from=2.0, full_from=2.0, spans=())
    for _ in range(steps):
        trainer.step()
    model = trainer.model
    assert np.abs(np.array(model.exposure.stops()) - stops).max() < 0.05
    own, mean = [], []
    with torch.no_grad():
        for v, sharp in enumerate(capture.sharp):
            light = model.draw(model.camera(v), v).colour
            for into, shown in ((own, model.exposure.expose(light, v)), (mean, light)):
                into.append(psnr(to_srgb(shown.clamp(0, 1)).numpy(), sharp / 255))
    assert np.mean(own) > np.mean(mean) + 0.5, (np.mean(own), np.mean(mean))
