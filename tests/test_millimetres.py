"""Millimetres: the lens equation backwards, what the user says, and what contradicts."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from macrosplat.cameras.records import Cameras
from macrosplat.output.millimetres import contradictions, depth_of_field, differing, find_scale, magnification
from macrosplat.photos.records import Exif, Photo
from macrosplat.support.errors import MacrosplatError

# A 100 mm lens at half life size: 300 mm to the object, 150 mm to a sensor 36 mm wide that has 600 px.
FOCUS_MM, IMAGE_MM = 300.0, 150.0
MM = 2.5  # per scene unit
FOCUS = [FOCUS_MM / MM] * 2


def photos(f_number=4.0, focal=100.0, sensor: float | None = 36.0):
    exif = Exif(f_number=f_number, focal_mm=focal, sensor_width_mm=sensor)
    return [Photo(f"{n}.jpg", Path(f"{n}.jpg"), 600, 400, exif) for n in range(2)]


def cameras(focal_mm=IMAGE_MM):
    views = np.tile(np.eye(4), (2, 1, 1))
    views[1, 0, 3] = -40 / MM  # 40 mm apart
    fx = focal_mm / 36 * 600
    return Cameras(("0.jpg", "1.jpg"), views, np.tile([fx, fx, 300, 200], (2, 1)), np.tile([600, 400], (2, 1)), "sfm")


def test_exif_tells_the_scale_and_how_surely():
    scale = find_scale(None, cameras(), photos(), FOCUS)
    assert scale.mm_per_unit == pytest.approx(MM) and scale.uncertainty is not None
    # By finite differences: 2 % of the image distance and 3 % of the focal length.
    longer = find_scale(None, cameras(IMAGE_MM * 1.002), photos(), FOCUS).mm_per_unit
    nominal = find_scale(None, cameras(), photos(focal=100.3), FOCUS).mm_per_unit
    assert longer and nominal
    expected = math.hypot(10 * (longer / MM - 1), 10 * (nominal / MM - 1))
    assert scale.uncertainty == pytest.approx(expected, rel=0.03)
    assert magnification(photos(), cameras(), FOCUS, scale) == pytest.approx(0.5)


def test_the_35_mm_equivalent_serves_where_the_sensor_is_not_known():
    full_frame = 100 * 43.2666 / math.hypot(36, 24)  # a sensor of 36 x 24 mm: its equivalent is its focal length
    exif = Exif(focal_mm=100.0, focal_35mm=full_frame)
    known = [Photo(f"{n}.jpg", Path(f"{n}.jpg"), 600, 400, exif) for n in range(2)]
    assert find_scale(None, cameras(), known, FOCUS).mm_per_unit == pytest.approx(MM, rel=1e-4)


def test_what_exif_cannot_tell_is_left_open():
    assert find_scale(None, cameras(), photos(sensor=None), FOCUS).mm_per_unit is None
    far = find_scale(None, cameras(102.0), photos(), FOCUS)  # m = 0.02: a per cent of f is half of the distance
    assert far.mm_per_unit is None and "uncertain" in far.source


def test_a_part_of_a_frame_tells_no_scale():
    """Which part of the sensor a cropped photo is, its EXIF does not say."""
    cropped = [replace(photo, exif=replace(photo.exif, cropped=True)) for photo in photos()]
    assert find_scale(None, cameras(), photos(), FOCUS).mm_per_unit is not None
    assert find_scale(None, cameras(), cropped, FOCUS).mm_per_unit is None


def test_the_user_says_it():
    assert find_scale("0.5", cameras(), photos(), FOCUS).mm_per_unit == 0.5
    scale = find_scale("0.jpg:1.jpg=40", cameras(), photos(), FOCUS)
    assert scale.mm_per_unit == pytest.approx(MM) and "1.jpg" in scale.source
    assert find_scale("photos/0.JPG:1=40", cameras(), photos(), FOCUS) == scale  # names as loosely as elsewhere
    assert differing(scale, cameras(), photos(), FOCUS) == ()
    assert "2.5 mm" in differing(find_scale("1", cameras(), photos(), FOCUS), cameras(), photos(), FOCUS)[0]


def test_two_cameras_tell_the_scale_as_surely_as_they_stand():
    """Places are found to half a per cent of the distance: by finite differences of where both stand."""
    scale = find_scale("0.jpg:1.jpg=40", cameras(), photos(), FOCUS)
    moved = cameras()
    moved.views[1, 0, 3] -= math.sqrt(2) * 0.005 * FOCUS[0]
    found = find_scale("0.jpg:1.jpg=40", moved, photos(), FOCUS)
    assert scale.uncertainty == pytest.approx(MM / found.mm_per_unit - 1)
    near = cameras()
    near.views[1, 0, 3] = -3 / MM  # 3 mm apart at a distance of 300 mm
    vague = find_scale("0.jpg:1.jpg=3", near, photos(), FOCUS)
    assert vague.mm_per_unit is None and "too near each other to tell: 4.2 mm or more" in vague.source
    # Of cameras that a file tells more is believed; and that nobody photographs from there is not asked.
    told = find_scale("0.jpg:1.jpg=3", replace(near, source="colmap"), photos(), FOCUS)
    assert told.uncertainty == pytest.approx(math.sqrt(2) * 0.001 * FOCUS_MM / 3)
    assert find_scale("0.jpg:1.jpg=3", near, (), ()).uncertainty is None


def test_a_vague_scale_contradicts_nothing():
    scale = find_scale(None, cameras(), photos(), FOCUS)
    pupil = 100 / 4 / MM / 2
    assert contradictions(scale, pupil, photos(), 0.5)
    assert contradictions(replace(scale, uncertainty=0.5), pupil, photos(), 0.5) == ()


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "nan", "a.jpg=3", "a:b:c=3", "0.jpg:9.jpg=3", "0.jpg:0.jpg=3"])
def test_bad_scales_are_one_sentence(text):
    with pytest.raises(MacrosplatError, match="--scale-mm"):
        find_scale(text, cameras(), photos(), FOCUS)


def test_an_aperture_that_contradicts_exif_is_said():
    scale = find_scale(None, cameras(), photos(), FOCUS)
    true_pupil = 100 / 4 / MM
    assert contradictions(scale, true_pupil, photos(), 0.5) == ()
    assert contradictions(scale, true_pupil * 1.25, photos(), 0.5) == ()
    # A camera that writes the effective number is no contradiction.
    assert contradictions(scale, true_pupil, photos(f_number=6.0), 0.5) == ()
    (said,) = contradictions(scale, true_pupil / 2, photos(), 0.5)
    assert "f/4" in said and "f/8" in said


def test_at_the_ends_of_the_depth_of_field_the_circle_is_one_px():
    near, far = depth_of_field(120.0, 10.0, 2500.0)
    for d in (near, far):
        assert 10 / 2 * 2500 * abs(1 / 120 - 1 / d) == pytest.approx(1.0)
    assert depth_of_field(120.0, 1e-6, 2500.0)[1] == math.inf


def test_two_points_of_a_photo_tell_the_scale():
    def surface(name, px):  # a wall across the axis of the first camera, 100 units away
        assert name == "0.jpg"
        k = cameras().intrinsics[0]
        return np.column_stack([(px - k[2:]) / k[:2] * 100, np.full(len(px), 100.0)])

    scale = find_scale("0.jpg:100,200-400,200=12", cameras(), photos(), FOCUS, surface)
    units = 300 / cameras().intrinsics[0, 0] * 100
    assert scale.mm_per_unit == pytest.approx(12 / units) and scale.uncertainty == pytest.approx(2**0.5 / 300, rel=0.2)
    assert find_scale("0.jpg:100,200-400,200=12", cameras(), photos(), FOCUS).mm_per_unit is None  # not yet
    nothing = find_scale("0.jpg:1,2-4,2=12", cameras(), photos(), FOCUS, lambda _, px: np.full((len(px), 3), np.nan))
    assert nothing.mm_per_unit is None and "nothing lies" in nothing.source
    for wrong in ("0.jpg:1,2-900,2=12", "0.jpg:1,2-1,2=12", "9.jpg:1,2-4,2=12"):
        with pytest.raises(MacrosplatError, match="scale-mm"):
            find_scale(wrong, cameras(), photos(), FOCUS, surface)
