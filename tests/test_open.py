"""`open_capture`: which cameras it takes, and what it tells."""

import io
import json
import os
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from macrosplat.cameras.sfm.start import start_cameras
from macrosplat.cameras.transforms import write_transforms
from macrosplat.capture.open import open_capture
from macrosplat.options import Options
from macrosplat.photos import find
from macrosplat.photos.records import Looking
from macrosplat.pipeline import _looking
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.progress import Progress
from making_captures import make_cameras
from making_photos import CANON, exif, make_photos, save, texture
from test_colmap import make_model
from test_transforms import frame


def write_json(root, names, folder="photos"):
    frames = [{**frame(name), "file_path": f"{folder}/{name}"} for name in names]
    for n, one in enumerate(frames):
        one["transform_matrix"] = [[1, 0, 0, n], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    (root / "transforms.json").write_text(json.dumps({"fl_x": 100.0, "frames": frames}))


def test_order_of_cameras(tmp_path):
    """transforms.json, else COLMAP (sparse/0 or sparse), else none."""
    make_photos(tmp_path / "photos", 4)
    make_model(tmp_path / "sparse" / "0")
    write_json(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    capture = open_capture(tmp_path)
    assert capture.cameras is not None and capture.cameras.source == "transforms" and capture.points is None
    assert tuple(p.name for p in capture.photos) == capture.cameras.names
    assert any("4.jpg" in note for note in capture.notes)
    (tmp_path / "transforms.json").unlink()
    capture = open_capture(str(tmp_path))
    assert capture.cameras is not None and capture.cameras.source == "colmap" and capture.points is not None
    capture = open_capture(tmp_path / "photos")
    assert capture.cameras is None and capture.notes == () and len(capture.photos) == 4


def test_photos_elsewhere(tmp_path):
    """transforms.json may name any folder, and its choice counts before the usual ones."""
    make_photos(tmp_path / "photos", 5)
    for folder in ("rgb", "images", "images/left", "photos"):
        make_photos(tmp_path / folder, 3)
        write_json(tmp_path, ["1.jpg", "2.jpg", "3.jpg"], folder)
        capture = open_capture(tmp_path)
        assert [p.path.parent.resolve() for p in capture.photos] == [(tmp_path / folder).resolve()] * 3
    make_photos(tmp_path, 3)
    make_photos(tmp_path / "sharp", 3)
    write_json(tmp_path, ["1.jpg", "2.jpg", "3.jpg"], ".")
    assert [p.path.parent for p in open_capture(tmp_path).photos] == [tmp_path] * 3


def test_notes(tmp_path):
    """A damaged photo, one without EXIF, two sizes, two cameras: each is told once, and the rest goes on."""
    make_photos(tmp_path, 4, tags=exif(model="A", FNumber=8, FocalLength=60, FocalLengthIn35mmFilm=90))
    save(tmp_path / "5.jpg", texture(32, 48), exif(model="B", FNumber=8, FocalLengthIn35mmFilm=90))
    save(tmp_path / "6.jpg", texture(48, 32))
    data = (tmp_path / "2.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(data[:-300])
    capture = open_capture(tmp_path)
    assert [p.name for p in capture.photos] == ["1.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg"]
    for note, word in zip(
        capture.notes, ["2.jpg", "32 x 48, 48 x 32", "2 cameras", "focal.*6.jpg", "f-number.*6.jpg"], strict=True
    ):
        assert re.search(word, note), (word, note)


@pytest.mark.parametrize(
    ("chosen", "other", "named"),
    [
        ("photos", "images", "images"),
        ("photos", "photos2", "photos2"),
        ("images", "Images (2)", "Images (2)"),
        (".", "second day", "second day"),
        ("photos", "notes", None),
        ("images", "images_2", None),  # a reduced copy
        ("photos", "sharp", None),
    ],
)
def test_pictures_that_are_not_taken_for_photos_are_named(tmp_path, chosen, other, named):
    make_photos(tmp_path / chosen, 3)
    make_photos(tmp_path / other, 3)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    make_photos(tmp_path / "run", 3)  # pictures of a run are its own
    capture = open_capture(tmp_path, brackets=False)
    assert len(capture.photos) == 3
    assert [note.endswith(f"there are pictures: {named}.") for note in capture.notes] == ([True] if named else [])


def test_packed_cameras_are_named(tmp_path):
    make_photos(tmp_path / "photos", 3)
    (tmp_path / "sparse.zip").write_bytes(b"PK")
    assert open_capture(tmp_path, brackets=False).notes == ("Not read: sparse.zip; unpack.",)


@pytest.mark.parametrize(
    ("tag", "value", "of"),
    [
        ("FocalLength", 4e9, "focal_mm"),
        ("FocalLengthIn35mmFilm", 65535, "focal_35mm"),
        ("FNumber", 1e6, "f_number"),
    ],
)
def test_numbers_that_no_camera_has_are_none(tmp_path, tag, value, of):
    make_photos(tmp_path, 3, tags=exif(**{**CANON, tag: value}))
    assert [getattr(photo.exif, of) for photo in open_capture(tmp_path, brackets=False).photos] == [None] * 3


def test_a_digital_zoom_has_intrinsics_of_its_own(tmp_path):
    """Phones write the lens's focal length into both; only the equivalent tells that the frame was cropped."""
    for n in range(4):
        tags = exif(model="iPhone 15", FNumber=1.8, FocalLength=6.8, FocalLengthIn35mmFilm=24 if n < 2 else 48)
        save(tmp_path / f"{n}.jpg", texture(48, 32, n), tags)
    capture = open_capture(tmp_path, brackets=False)
    assert any("35 mm film (24 mm, 48 mm)" in note for note in capture.notes)
    starts = start_cameras(capture.photos, [SimpleNamespace(side=48)] * 4, 1.0)  # type: ignore[list-item]
    focal = [camera.focal_length for camera in starts]
    assert len({id(camera) for camera in starts}) == 2 and focal[3] == pytest.approx(2 * focal[0])


def test_masks_can_be_left_alone(tmp_path):
    make_photos(tmp_path / "photos", 3)
    for n in range(1, 4):
        save(tmp_path / "masks" / f"{n}.png", np.zeros((32, 48), np.uint8))
    assert all(p.mask for p in open_capture(tmp_path).photos)
    assert not any(p.mask for p in open_capture(tmp_path, masks=False).photos)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few(tmp_path, count):
    make_photos(tmp_path, count)
    with pytest.raises(MacrosplatError, match=r"at least 3|no photos"):
        open_capture(tmp_path)


def test_too_few_are_left(tmp_path):
    """Of four photos two are whole, or two are named: the sentence says why the others do not count."""
    make_photos(tmp_path / "photos", 4)
    write_json(tmp_path, ["1.jpg", "2.jpg"])
    with pytest.raises(MacrosplatError, match=r"2 photos that transforms\.json names.*3\.jpg, 4\.jpg"):
        open_capture(tmp_path)
    (tmp_path / "transforms.json").unlink()
    for n in (1, 2):
        (tmp_path / "photos" / f"{n}.jpg").write_bytes(b"x")
    with pytest.raises(MacrosplatError, match=r"2 readable photos.*1\.jpg.*2\.jpg"):
        open_capture(tmp_path)


def test_photos_that_differ_by_the_suffix_only_keep_it(tmp_path):
    names = ["a.jpg", "a.jpeg", "b.jpg", "b.png", "c.jpg"]
    for n, name in enumerate(names):
        save(tmp_path / "photos" / name, texture(48, 32, n), exif(**CANON))
    write_transforms(
        tmp_path / "transforms.json", replace(make_cameras(5, 48, 32), names=tuple(names)), folder="photos"
    )
    capture = open_capture(tmp_path)
    assert capture.cameras is not None and capture.cameras.names == tuple(photo.name for photo in capture.photos)
    assert {photo.name: photo.path.name for photo in capture.photos} == {
        **{"a.jpg.jpg": "a.jpg", "a.jpeg.jpeg": "a.jpeg", "b.jpg.jpg": "b.jpg", "b.png.png": "b.png", "c.jpg": "c.jpg"}
    }
    assert any(note.startswith("Named alike but for the suffix") for note in capture.notes)


def test_composed_and_decomposed_accents_may_stand_side_by_side(tmp_path):
    names = ["\u00e9.jpg", "e\u0301.jpg", "x.jpg"]
    for n, name in enumerate(names):
        save(tmp_path / "photos" / name, texture(48, 32, n), exif(**CANON))
    cameras = replace(make_cameras(3, 48, 32), names=tuple(names))
    write_transforms(tmp_path / "transforms.json", cameras, folder="photos")
    found = open_capture(tmp_path).cameras
    assert found is not None and set(found.names) == set(names)
    for n, name in enumerate(found.names):
        np.testing.assert_allclose(found.views[n], cameras.views[names.index(name)], atol=1e-9)


def test_a_name_that_is_no_text_is_refused(tmp_path):
    make_photos(tmp_path, 3)
    try:
        (tmp_path / "1.jpg").rename(tmp_path / os.fsdecode(b"\xff.jpg"))
    except OSError:
        pytest.skip("this file system takes text only")
    with pytest.raises(MacrosplatError, match=r"no text .* rename it"):
        open_capture(tmp_path)


def test_one_photo_over_and_over_is_no_capture(tmp_path):
    for n in range(4):
        save(tmp_path / f"{n}.jpg", texture(48, 32), exif(**CANON))
    with pytest.raises(MacrosplatError, match="are the same one"):
        open_capture(tmp_path)


def test_how_many_photos_there_are_is_told_before_they_are_read(tmp_path, monkeypatch):
    """By the headers: of a damaged photo, too, and with cameras given or not."""
    make_photos(tmp_path / "photos", 4)
    (tmp_path / "photos" / "2.jpg").write_bytes(b"no photo")
    make_model(tmp_path / "sparse" / "0")
    told, read = [], []
    inspect = find.inspect
    monkeypatch.setattr(find, "inspect", lambda path: (read.append(path.name), inspect(path))[1])

    def looking(known):
        return Looking(lambda sizes: told.append((known, sizes, len(read))), lambda: told.append(len(read)))

    size = Image.open(tmp_path / "photos" / "1.jpg").size
    assert len(open_capture(tmp_path, looking=looking).photos) == 3
    assert told[0] == (True, [size] * 4, 0) and len(told) == 5
    told.clear()
    open_capture(tmp_path / "photos", looking=looking)
    assert told[0][0] is False


def test_what_many_photos_take_is_said_before_they_are_looked_through():
    text = io.StringIO()
    with Progress(text) as progress:
        device = torch.device("cpu")
        _looking(progress, Options(), device, True).begin([(640, 480)] * 24)
        _looking(progress, None, device, True).begin([(640, 480)] * 1000)
        assert "looked through first" not in text.getvalue()
        _looking(progress, Options(), device, True).begin([(640, 480)] * 1000)
        assert "1,000 photos are looked through first; with all of them this will take about" in text.getvalue()
        _looking(progress, Options(), device, False).begin([(12000, 9000)] * 12)
        assert "12 photos are looked through first" in text.getvalue()
