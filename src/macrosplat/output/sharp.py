"""The deblurred photos: sharp renders as PNG, `RUN/sharp/<photo>.png`, and `RUN/sharp/full/` at the photo's own size.

In: sRGB floats in [0, 1]. Out: 8 bit sRGB, rounded to the nearest.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrosplat.colour import to_bytes
from macrosplat.files import write_whole


def sharp_path(run: Path, name: str, full: bool = False) -> Path:
    """Where the deblurred photo `name` (`Photo.name`) lies."""
    stem = PurePosixPath(name).with_suffix("")
    return run / "sharp" / ("full" if full else "") / f"{stem}.png"


def write_sharp(run: Path, name: str, srgb: NDArray[np.floating], full: NDArray[np.floating] | None = None) -> None:
    """Write the sharp render of photo `name` [H, W, 3] at training size; `full`, where the photo is larger."""
    write_png(sharp_path(run, name), srgb)
    if full is not None and full.shape != srgb.shape:
        write_png(sharp_path(run, name, full=True), full)


def write_png(path: Path, srgb: NDArray[np.floating]) -> None:
    """An 8 bit sRGB PNG of [H, W, 3] floats, whole or not at all."""
    assert srgb.ndim == 3 and srgb.shape[2] == 3, f"a photo of shape {srgb.shape}"
    write_whole(path, Image.fromarray(to_bytes(srgb)).save)
