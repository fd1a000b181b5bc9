"""Copies of photos: found whatever they are called and however they were saved; views and focus slices are none."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from macrosplat.capture.open import open_capture


def test_copies_are_left_out_by_name(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    wall = Image.fromarray(np.repeat(random.integers(0, 255, (60, 90, 1), dtype=np.uint8), 3, 2)).resize(
        (900, 600), Image.Resampling.BICUBIC
    )
    for n in range(5):
        wall.crop((40 * n, 20, 40 * n + 480, 380)).save(tmp_path / f"{n}.jpg", quality=95)
    shutil.copy(tmp_path / "1.jpg", tmp_path / "copy.jpg")
    Image.open(tmp_path / "4.jpg").resize((160, 120)).save(tmp_path / "0_small.png")
    Image.open(tmp_path / "3.jpg").save(tmp_path / "saved.jpg", quality=92)
    Image.open(tmp_path / "2.jpg").filter(ImageFilter.GaussianBlur(3)).save(tmp_path / "blurred.jpg", quality=95)
    wall.crop((84, 20, 564, 380)).save(tmp_path / "moved.jpg", quality=95)  # by 4 px from 2.jpg
    capture = open_capture(tmp_path)
    assert [photo.name for photo in capture.photos] == [
        "0.jpg",
        "1.jpg",
        "2.jpg",
        "3.jpg",
        "4.jpg",
        "blurred.jpg",
        "moved.jpg",
    ]
    (said,) = [note for note in capture.notes if "copies" in note]
    assert (
        said
        == "Left out because they are copies of other photos: copy.jpg (1.jpg), saved.jpg (3.jpg), 0_small.png (4.jpg)."
    )


def test_of_copies_the_one_with_a_mask_stays_else_the_one_of_the_shorter_name(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    wall = Image.fromarray(random.integers(0, 255, (45, 70, 3), dtype=np.uint8)).resize((700, 450))
    (tmp_path / "masks").mkdir()
    for n in range(4):
        wall.crop((60 * n, 20, 60 * n + 480, 380)).save(tmp_path / f"00{n}.jpg", quality=95)
        Image.new("L", (480, 360), 255).save(tmp_path / "masks" / f"00{n}.png")
    shutil.copy(tmp_path / "000.jpg", tmp_path / "000 (conflicted copy).jpg")  # which comes first by its name
    shutil.copy(tmp_path / "001.jpg", tmp_path / "00.jpg")
    for masks in (True, False):
        capture = open_capture(tmp_path, masks=masks)
        names = ["000.jpg", "001.jpg" if masks else "00.jpg", "002.jpg", "003.jpg"]
        assert sorted(photo.name for photo in capture.photos) == sorted(names)
        assert all((photo.mask is not None) == masks for photo in capture.photos)
