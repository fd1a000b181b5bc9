"""Masks as programs that cut out and segment write them: all the same object."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macrosplat.photos.find import find_photos
from macrosplat.photos.masks import read_mask
from macrosplat.support.errors import MacrosplatError
from making_photos import make_photos, save, texture

DISC = np.hypot(*(np.mgrid[:32, :48] - np.array([16, 24])[:, None, None])) < 9
PHOTO = texture(48, 32)
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0]  # PASCAL VOC's, as labelme, CVAT and SAM write it


def written(form: str, path: Path) -> None:
    object_ = DISC.astype(np.uint8)
    if form == "palette":
        picture = Image.fromarray(object_)
        picture.putpalette(PALETTE)
    elif form.endswith("alpha"):  # a cut-out, black or white below its alpha
        under = {"cut-out alpha": PHOTO, "black alpha": PHOTO * 0, "white alpha": PHOTO * 0 + 255}[form]
        picture = Image.fromarray(np.dstack([under, object_ * 255]))
    elif form == "colour":
        picture = Image.fromarray(object_[..., None] * np.array([0, 90, 200], np.uint8))
    else:
        picture = Image.fromarray(object_ * np.uint8(form) + (object_ * (np.arange(48) > 24) if form == "3" else 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


@pytest.mark.parametrize(
    "form", ["palette", "cut-out alpha", "black alpha", "white alpha", "colour", "1", "3", "128", "255"]
)
def test_the_object_is_what_the_program_meant(tmp_path: Path, form: str) -> None:
    make_photos(tmp_path / "photos", 1)
    written(form, tmp_path / "masks" / "1.png")
    assert (read_mask(find_photos(tmp_path).photos[0]) == DISC * 255).all()


def test_trimaps_and_soft_masks_stay_what_they_are(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 1)
    soft = np.where(DISC, np.linspace(0, 255, 48), 0).round().astype(np.uint8)
    for mask in (soft, DISC * np.uint8(255) // 2 + np.eye(32, 48, dtype=np.uint8) * 128):
        save(tmp_path / "masks" / "1.png", mask)
        assert (read_mask(find_photos(tmp_path).photos[0]) == mask).all()


def test_a_picture_in_colours_is_refused_as_a_mask(tmp_path: Path) -> None:
    """A cut-out on black: its brightness says nothing of where the object is."""
    make_photos(tmp_path / "photos", 3)
    for n in (1, 2, 3):
        save(tmp_path / "masks" / f"{n}.png", PHOTO * DISC[..., None])
    with pytest.raises(MacrosplatError, match="is a picture in colours"):
        find_photos(tmp_path)
    assert len(find_photos(tmp_path, masks=False).photos) == 3


@pytest.mark.parametrize("inverted", [False, True])
def test_masks_that_seem_inverted_are_said(tmp_path: Path, inverted: bool) -> None:
    make_photos(tmp_path / "photos", 3)
    for n in (1, 2, 3):
        save(tmp_path / "masks" / f"{n}.png", (DISC ^ inverted) * np.uint8(255))
    assert any("invert them" in note for note in find_photos(tmp_path).notes) is inverted


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("{}.png", True),
        ("{}_mask.png", True),
        ("{}_seg.png", False),
        ("dynamic_mask_{}.png", False),
        ("mask.png", False),  # one for all
    ],
)
def test_masks_among_the_photos_are_no_photos(tmp_path: Path, name: str, used: bool) -> None:
    make_photos(tmp_path, 3)
    for n in (1, 2, 3):
        save(tmp_path / name.format(n), DISC * np.uint8(255))
    found = find_photos(tmp_path)
    assert [photo.name for photo in found.photos] == ["1.jpg", "2.jpg", "3.jpg"]
    assert [photo.mask is not None for photo in found.photos] == [used] * 3
    assert any(name.format(1) in note for note in found.notes)
