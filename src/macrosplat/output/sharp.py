"""The deblurred photos, `RUN/sharp/<photo>.png`, each at its photo's own size.

In: sRGB floats in [0, 1], and the photo that they are of. Out: PNG of 8 bit or TIFF of 16 bit a channel, upright, with
the photo's EXIF, in the colours of its profile (which is embedded), else sRGB; rounded to the nearest level.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrosplat.options import SharpFormat
from macrosplat.output.tiff import write_tiff
from macrosplat.photos.icc import into_profile
from macrosplat.photos.metadata import Metadata, read_metadata
from macrosplat.run import SUFFIXES, Run
from macrosplat.support.colour import to_bytes, to_linear
from macrosplat.support.files import write_whole

# zlib's Z_RLE, made for PNG: of the default's time a fifth, of its size 1.02 (fly, sharp photos and maps).
RUN_LENGTHS = 3
ROWS = 256  # that are turned into levels at a time


def write_sharp(
    run: Run, name: str, srgb: NDArray[np.floating], photo: Path | None = None, format: SharpFormat = "png"
) -> None:
    """Write the deblurred photo `name` [H, W, 3].

    `photo`: the file whose EXIF and profile it gets.
    """
    write_picture(run.sharp(name, format), srgb, Metadata() if photo is None else read_metadata(photo))
    for other in set(SUFFIXES) - {format}:  # of a run that was resumed with another format
        run.sharp(name, other).unlink(missing_ok=True)


def write_picture(path: Path, srgb: NDArray[np.floating], carried: Metadata) -> None:
    """[H, W, 3] sRGB floats as 8 bit PNG or 16 bit TIFF, by the suffix; atomically."""
    assert srgb.ndim == 3 and srgb.shape[2] == 3, f"a photo of shape {srgb.shape}"
    profile, exif = carried.profile(), carried.exif(srgb.shape[1], srgb.shape[0])
    deep = path.suffix == SUFFIXES["tiff"]
    levels: Any = np.empty(srgb.shape, np.uint16 if deep else np.uint8)
    for top in range(0, len(srgb), ROWS):  # photos of 100 megapixels have no room for copies
        band = slice(top, top + ROWS)
        values = srgb[band] if profile is None else into_profile(to_linear(np.clip(srgb[band], 0, 1)), profile)
        levels[band] = np.rint(np.clip(values, 0, 1).astype(np.float64) * 65535) if deep else to_bytes(values)
    if deep:
        write_whole(path, lambda part: write_tiff(part, levels, exif, carried.icc))
        return
    # An empty profile or EXIF would be written as an empty chunk.
    options = {"icc_profile": carried.icc, "exif": exif}
    options = {key: value for key, value in options.items() if value is not None}
    save_png(path, levels, **options)


def save_png(path: Path, levels: NDArray[np.uint8] | NDArray[np.uint16], **options: Any) -> None:
    """Levels [H, W] or [H, W, 3] as PNG atomically; `options` as Pillow has them."""
    write_whole(path, lambda part: Image.fromarray(levels).save(part, compress_type=RUN_LENGTHS, **options))


def write_png(path: Path, srgb: NDArray[np.floating]) -> None:
    """An 8 bit sRGB PNG of [H, W, 3] floats atomically."""
    write_picture(path, srgb, Metadata())
