"""EXIF and the focal length that follows from it."""

import math

import pytest

from macrosplat.cameras.focal import focal_px, focals_px
from macrosplat.capture.open import open_capture
from macrosplat.photos.exif import exif_of
from macrosplat.photos.find import find_photos
from macrosplat.photos.records import Exif, Photo
from making_photos import CANON, exif, make_photos


def photo(width: int = 600, height: int = 400, **facts) -> Photo:
    return Photo(name="1.jpg", path=None, width=width, height=height, exif=Exif(**facts))  # type: ignore[arg-type]


def test_resized_copy_keeps_the_sensor(tmp_path):
    """4272 px at 4720.44 per inch are 22.99 mm, however small the copy is; 55 mm of it are 2.39 widths."""
    make_photos(tmp_path, 1, 48, 32, exif(model="Canon EOS", **CANON))
    (found,) = find_photos(tmp_path).photos
    assert found.exif.sensor_width_mm == pytest.approx(4272 / 4720.441988950276 * 25.4)
    assert (found.exif.f_number, found.exif.focal_mm, found.exif.camera) == (18, 55, "Canon EOS")
    assert focal_px(found)[0] == pytest.approx(55 / 22.987 * 48, rel=1e-4)


def test_turned_photo_uses_the_long_side(tmp_path):
    make_photos(tmp_path, 1, 48, 32, exif(6, **CANON))
    (found,) = find_photos(tmp_path).photos
    assert (found.width, found.height) == (32, 48)
    assert focal_px(found)[0] == pytest.approx(55 / 22.987 * 48, rel=1e-4)


@pytest.mark.parametrize(("unit", "per_mm"), [(2, 25.4), (3, 10), (4, 1)])
def test_units(unit, per_mm):
    tags = exif(FocalLength=50, ExifImageWidth=6000, FocalPlaneXResolution=6000 / 36 * per_mm)
    tags.get_ifd(0x8769)[0xA210] = unit
    assert exif_of(tags, 600, 400).sensor_width_mm == pytest.approx(36)


@pytest.mark.parametrize(
    "lie",
    [
        {"FocalPlaneXResolution": 72.0},  # dpi of the screen: a sensor of 1.5 m
        {"FocalPlaneXResolution": 0.0},
        {"ExifImageWidth": 1068, "ExifImageHeight": 712, "FocalLengthIn35mmFilm": 88},  # rewritten on resizing
    ],
)
def test_impossible_sensor_is_dropped(lie):
    assert exif_of(exif(**(CANON | lie)), 600, 400).sensor_width_mm is None


def test_nothing_useful_is_none():
    assert exif_of(exif(FNumber=0, FocalLength=0), 600, 400) == Exif()
    assert exif_of(exif(FNumber=math.nan), 600, 400).f_number is None


def test_what_exif_lacks_is_told(tmp_path):
    """A focal length in mm without the size of the sensor is one: it tells no px."""
    make_photos(tmp_path, 3, 48, 32, exif(FocalLength=60))
    made = open_capture(tmp_path, brackets=False).notes
    lacks = "No size of the sensor, nor a focal length as of 35 mm film, in the EXIF of "
    assert any(note.startswith(lacks) for note in made) and not any("No focal length" in note for note in made)
    make_photos(tmp_path, 3, 48, 32, exif())
    assert any(note.startswith("No focal length in the EXIF of ") for note in open_capture(tmp_path).notes)


def test_equivalent_is_by_the_diagonal():
    """50 mm on 36 x 24 spans its diagonal of 43.27 mm; a square photo of that diagonal has the same focal length."""
    assert focal_px(photo(focal_35mm=50))[0] == pytest.approx(50 / 36 * 600)
    side = math.hypot(600, 400) / math.sqrt(2)
    assert focal_px(photo(width=round(side), height=round(side), focal_35mm=50))[0] == pytest.approx(833, rel=2e-3)


def test_assumption_is_stated():
    focal, sentence = focal_px(photo())
    assert focal == pytest.approx(100 / 36 * 600)
    assert "assumed" in sentence
    assert "assumed" not in focal_px(photo(focal_mm=60, sensor_width_mm=22))[1]


def test_photo_without_exif_follows_the_others():
    known = photo(focal_35mm=72)
    assert focals_px([known, photo(300, 200), known]).tolist() == pytest.approx([1200, 600, 1200])
    assert focals_px([photo()]).tolist() == pytest.approx([100 / 36 * 600])


@pytest.mark.parametrize(
    ("size", "cropped"),
    [((4272, 2848), False), ((2848, 4272), False), ((600, 400), False), ((600, 600), True), ((2400, 3000), True),
     ((4290, 2860), False), ((4272, 2403), True), ((5000, 5000), False)],
)  # fmt: skip
def test_a_photo_of_another_shape_than_was_taken_is_cropped(size, cropped):
    """EXIF says 4272 x 2848 px; what is larger is no part of that (a panorama, a RAW file's own size)."""
    assert exif_of(exif(**CANON, ExifImageHeight=2848), *size).cropped is cropped
