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
