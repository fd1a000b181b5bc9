"""Deblurred photos on disk: names, rounding, two sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from macrosplat.output.sharp import sharp_path, write_sharp


def test_values_are_rounded_and_clipped(tmp_path: Path) -> None:
    srgb = np.zeros((2, 3, 3))
    srgb[0] = 100.4 / 255
    srgb[1, 0], srgb[1, 1], srgb[1, 2] = -1.0, 2.0, 100.6 / 255
    write_sharp(tmp_path, "rows/a.b.jpg", srgb)
    got = np.asarray(Image.open(tmp_path / "sharp" / "rows" / "a.b.png"))
    assert got.dtype == np.uint8 and got.shape == (2, 3, 3)
    assert (got[0] == 100).all() and (got[1, 0] == 0).all() and (got[1, 1] == 255).all() and (got[1, 2] == 101).all()


def test_full_size_only_where_it_differs(tmp_path: Path) -> None:
    small, large = np.full((2, 3, 3), 0.5), np.full((4, 6, 3), 0.5)
    write_sharp(tmp_path, "a.jpg", small, large)
    write_sharp(tmp_path, "b.jpg", small, small)
    assert Image.open(sharp_path(tmp_path, "a.jpg", full=True)).size == (6, 4)
    assert sharp_path(tmp_path, "b.jpg").is_file() and not sharp_path(tmp_path, "b.jpg", full=True).exists()
