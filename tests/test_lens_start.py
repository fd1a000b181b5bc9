"""The start of the lens: tracks whose sharpness follows a known pupil and known focus distances give them back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from macrosplat.lens.start import R_EDGE, START_HIGH, _box, _fit, start_lens
from macrosplat.photos.records import Exif, Photo
from macrosplat.scene.start import observed_depths
from making_captures import DISTANCE, FOCAL, PUPIL, WIDTH, make


def tracks(pupil: float, focus: np.ndarray, count: int = 400, noise: float = 0.0):
    """Observations of `count` points by every photo, as sharp as the model says."""
    random = np.random.default_rng(0)
    photo = np.repeat(np.arange(len(focus)), count)
    point = np.tile(np.arange(count), len(focus))
    inverse = 1 / random.uniform(5.2, 6.8, count)[point]
    slope = np.full(len(photo), FOCAL / 2)
    r = pupil * slope * np.abs(1 / focus[photo] - inverse)
    sharp = 1 / np.sqrt(1 + (r / R_EDGE) ** 2) * np.exp(noise * random.standard_normal(len(r)))
    best = np.zeros(count)
    np.maximum.at(best, point, sharp)
    return photo, inverse, sharp / best[point], slope


@pytest.mark.parametrize("pupil", [0.5, 1.0, 3.0])
def test_known_lens_is_found(pupil):
    focus = np.linspace(5.4, 6.6, 12)  # a bracket: every point is in focus in some photo
    got, inverse = _fit(*tracks(pupil, focus), len(focus), DISTANCE)
    # Focus is tried at 64 places over the range of 1/d; two of them. The pupil at 40, 15 % apart; three of them.
    span = 1 / 5.2 - 1 / 6.8
    assert np.abs(inverse - 1 / focus).max() < 2 * span / 63
    assert abs(np.log(got / pupil)) < 3 * np.log(250) / 39


def test_noise_does_not_upset_it():
    focus = np.linspace(5.4, 6.6, 12)
    got, inverse = _fit(*tracks(2.0, focus, noise=0.1), len(focus), DISTANCE)
    # The best of 12 noisy observations is 16 % too sharp, so all others look less sharp, and the pupil larger.
    assert np.abs(inverse - 1 / focus).max() < 0.1 * (1 / 5.2 - 1 / 6.8)
    assert 1.8 < got < 4.0


def test_photo_with_too_few_observations_takes_the_focus_of_the_others():
    focus = np.array([5.6, 6.0, 6.4, 6.7])
    photo, inverse, relative, slope = tracks(1.0, focus)
    few = (photo < 3) | (np.cumsum(photo == 3) <= 5)
    _, got = _fit(photo[few], inverse[few], relative[few], slope[few], 4, DISTANCE)
    assert 1 / 6.3 < got[3] < 1 / 5.7  # the middle one's, by which all are least wrong
    assert got[:3] == pytest.approx(1 / focus[:3], abs=2e-3)


def test_without_observations_there_is_a_start_all_the_same():
    pupil, focus = _fit(*(np.empty(0),) * 4, 3, 150.0)
    assert focus == pytest.approx([1 / 150] * 3) and 3 < pupil < 20  # in the units of the cameras
    assert _fit(*(np.empty(0),) * 4, 3, 150.0, (0.0, 2.0))[0] == 2.0


def test_points_of_two_photos_give_a_start_at_the_object():
    made = make(12)
    points = made.points
    order = np.lexsort((points.photo, points.point))
    first = np.r_[True, np.diff(points.point[order]) > 0]
    kept = np.sort(order[first | np.r_[False, first[:-1]]])  # two observations of every point
    points = replace(points, point=points.point[kept], photo=points.photo[kept], px=points.px[kept])
    depths = observed_depths(points, made.cameras)
    start = start_lens(points, depths, made.cameras, made.cameras.sizes, made.photos, photos_of(12))
    assert np.abs(np.array(start.focus) - DISTANCE).max() < 1.0
    assert PUPIL / 2 < start.pupil < 8 * PUPIL


def test_box_is_the_mean():
    x = np.random.default_rng(0).random((20, 30))
    got = _box(x)
    assert got[10, 15] == pytest.approx(x[6:15, 11:20].mean())
    assert got[0, 0] == pytest.approx(np.pad(x, 4, mode="edge")[:9, :9].mean())


def photos_of(count: int, numbers: list[float | None] | None = None) -> list[Photo]:
    numbers = numbers or [None] * count
    return [Photo(f"{n}.png", Path(f"{n}.png"), 96, 72, Exif(f_number=numbers[n])) for n in range(count)]


def test_blurred_photos_give_their_lens():
    made = make(12)
    depths = observed_depths(made.points, made.cameras)
    start = start_lens(made.points, depths, made.cameras, made.cameras.sizes, made.photos, photos_of(12))
    # It is a start, from windows of 9 px of photos 96 px wide: a tenth of the depth of the sheet for the focus, and a
    # pupil that is too large rather than too small.
    error = np.abs(np.array(start.focus) - made.focus)
    assert np.median(error) < 0.14, error
    assert 0.8 * PUPIL < start.pupil < 2.5 * START_HIGH * PUPIL
    assert start.width == WIDTH and start.aperture == (1.0,) * 12
    assert min(start.focus) > DISTANCE - 0.8 and max(start.focus) < DISTANCE + 0.8


def test_relative_apertures_come_from_f_numbers_if_every_photo_has_one():
    made = make(4)
    depths = observed_depths(made.points, made.cameras)

    def apertures(numbers):
        records = photos_of(4, numbers)
        return start_lens(made.points, depths, made.cameras, made.cameras.sizes, made.photos, records).aperture

    assert apertures([8.0, 8.0, 8.0, 16.0]) == pytest.approx((1.0, 1.0, 1.0, 0.5))
    assert apertures([8.0, 8.0, None, 16.0]) == (1.0,) * 4


def test_observations_may_count_pixels_of_larger_photos():
    made = make(4)
    depths = observed_depths(made.points, made.cameras)
    plain = start_lens(made.points, depths, made.cameras, made.cameras.sizes, made.photos, photos_of(4))
    larger = replace(made.points, px=made.points.px * 3)
    same = start_lens(larger, depths, made.cameras, made.cameras.sizes * 3, made.photos, photos_of(4))
    assert same.focus == pytest.approx(plain.focus) and same.pupil == pytest.approx(plain.pupil)
