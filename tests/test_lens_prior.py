"""What EXIF tells of the pupil: against thin lenses that are drawn up by hand, and how training heeds it."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from macrosplat.cameras.records import Cameras
from macrosplat.lens import LensStart
from macrosplat.lens.prior import WIDE, PupilPrior, pupil_prior
from macrosplat.lens.thin import ThinLens
from macrosplat.photos.records import Exif, Photo


def cameras_of(focal: float, count: int = 4, width: int = 600) -> Cameras:
    return Cameras(
        names=tuple(f"{n}.jpg" for n in range(count)),
        views=np.tile(np.eye(4), (count, 1, 1)),
        intrinsics=np.tile([focal, focal, width / 2, width / 3], (count, 1)),
        sizes=np.tile([width, width * 2 // 3], (count, 1)),
        source="given",
    )


def photos_of(exif: Exif, count: int = 4) -> list[Photo]:
    return [Photo(f"{n}.jpg", Path(f"{n}.jpg"), 6000, 4000, exif) for n in range(count)]


def test_a_thin_lens_is_known_by_its_focal_length_and_f_number():
    """100 mm, f/4, focused at 250 mm: the image stands 166.7 mm behind the lens, the pupil is 25 mm wide."""
    f, number, d0 = 100.0, 4.0, 250.0
    image = 1 / (1 / f - 1 / d0)
    exif = Exif(f_number=number, focal_mm=f, sensor_width_mm=36.0)
    prior = pupil_prior(photos_of(exif), cameras_of(image / 36 * 600))
    assert prior is not None and prior.expected == pytest.approx(f / number / d0)
    assert prior.least < prior.expected < prior.most
    assert prior.most >= 1 / (2 * number)


def test_the_bound_is_life_size_where_the_magnification_is_not_known():
    exif = Exif(f_number=18.0, focal_mm=55.0, sensor_width_mm=23.0)
    # A zoom that shortens much: the calibrated focal length is less than the nominal one.
    prior = pupil_prior(photos_of(exif), cameras_of(0.8 * 55 / 23 * 600))
    assert prior == PupilPrior(18.0, 1 / 36)
    assert pupil_prior(photos_of(Exif(f_number=18.0)), cameras_of(2000)) == prior


@pytest.mark.parametrize("m", [0.0, 0.02, 0.06, 0.1])
def test_photos_that_hardly_magnify_have_a_narrow_pupil(m):
    """Less is possible than at life size, and more than what a lens that shortens by SHORTENS m has."""
    f, number, shortens = 55.0, 18.0, 0.5
    exif = Exif(f_number=number, focal_mm=f, sensor_width_mm=23.0)
    now = f * (1 - shortens * m)
    prior = pupil_prior(photos_of(exif), cameras_of(now * (1 + m) / 23 * 600))
    assert prior is not None and prior.expected is None
    assert m / (number * (1 + m)) < prior.most < 0.6 / (2 * number)


def test_beyond_life_size_the_magnification_is_the_bound():
    exif = Exif(f_number=8.0, focal_mm=60.0, sensor_width_mm=36.0)
    prior = pupil_prior(photos_of(exif), cameras_of(4 * 60 / 36 * 600))  # m = 3
    assert prior is not None and prior.most > 3 / 4 / 8


def test_nothing_is_known_without_an_f_number():
    assert pupil_prior(photos_of(Exif(focal_mm=60.0, sensor_width_mm=36.0)), cameras_of(1000)) is None


def test_an_effective_f_number_leaves_room_for_a_wider_pupil():
    plain = Exif(f_number=8.0, focal_mm=60.0, sensor_width_mm=36.0, camera="Canon")
    by_make = [
        pupil_prior(photos_of(dataclasses.replace(plain, camera=make)), cameras_of(2 * 60 / 36 * 600))
        for make in ("Canon EOS", "NIKON D850")
    ]
    assert by_make[0] is not None and by_make[1] is not None
    assert by_make[1].most > 1.9 * by_make[0].expected  # type: ignore[operator]


def lens_with(exif: PupilPrior | None, pupil: float) -> ThinLens:
    return ThinLens(LensStart(pupil=pupil, focus=(10.0, 10.0), aperture=(1.0, 1.0), exif=exif))


@pytest.mark.parametrize("wide", [0.5, 2.0])
def test_a_narrow_pupil_is_pulled_to_what_is_expected_and_any_is_kept_within_the_bounds(wide):
    exif = PupilPrior(4.0, most=0.13, least=0.08, expected=0.1, spread=0.05)
    lens = lens_with(exif, pupil=wide)
    gradients = {"lens.pupil": torch.zeros(())}
    lens.believe(gradients)
    assert bool(gradients["lens.pupil"] < 0) == (wide < 1) and gradients["lens.pupil"] <= 0  # the photos shrink it
    lens.confine()
    assert lens.parameters["lens.pupil"].exp().item() == pytest.approx(1.3 if wide > 1 else 0.8)


def test_without_exif_nothing_is_known_and_nothing_is_changed():
    lens, gradients = lens_with(None, 7.0), {"lens.pupil": torch.ones(())}
    lens.believe(gradients)
    lens.confine()
    assert gradients["lens.pupil"] == 1 and lens.parameters["lens.pupil"].exp().item() == pytest.approx(7.0)


def test_a_checkpoint_holds_it():
    exif = PupilPrior(4.0, most=0.13, least=0.08, expected=0.1, spread=0.05)
    start = LensStart(pupil=1.0, focus=(10.0,), aperture=(1.0,), exif=exif)
    assert LensStart(**dataclasses.asdict(start)) == start
    assert exif.least < exif.expected * math.exp(-WIDE * exif.spread * 0.5)  # type: ignore[operator]
