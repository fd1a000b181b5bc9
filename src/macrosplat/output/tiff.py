"""TIFF of 16 bit a channel with EXIF: Pillow has no such pixels, and tifffile writes no EXIF.

An EXIF block is a TIFF file without a picture; here it is given one. Deflate with horizontal differences, which every
reader knows.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from macrosplat.photos.decode import ICC_TAG
from macrosplat.photos.exif import EXIF_IFD, GPS_IFD

ROWS = 64  # of a strip
# TIFF 6.0's tags and values.
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, SAMPLES, ROWS_PER_STRIP, COUNTS, PLANAR, PREDICTOR = (
    *(256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317),
)
DEFLATE, RGB, CHUNKY, DIFFERENCES = 8, 2, 1, 2
HEADER = b"II*\0\x08\0\0\0"  # little endian, the directory follows


def write_tiff(path: Path, levels: NDArray[np.uint16], exif: Image.Exif | None, icc: bytes | None) -> None:
    """Write [H, W, 3]."""
    assert levels.ndim == 3 and levels.shape[2] == 3 and levels.dtype == np.uint16, f"{levels.shape}, {levels.dtype}"
    height, width, _ = levels.shape
    strips = [_packed(levels[row : row + ROWS]) for row in range(0, height, ROWS)]
    starts = np.cumsum([0, *(len(strip) for strip in strips)]).tolist()
    directory = ImageFileDirectory_v2(HEADER)
    for number, value in (exif or {}).items():
        directory[number] = value
    for number in (EXIF_IFD, GPS_IFD):
        inner = dict(exif.get_ifd(number)) if exif is not None else {}
        if inner:
            directory[number] = inner
    directory[WIDTH], directory[HEIGHT], directory[BITS], directory[SAMPLES] = width, height, (16, 16, 16), 3
    directory[COMPRESSION], directory[PREDICTOR] = DEFLATE, DIFFERENCES
    directory[PHOTOMETRIC], directory[PLANAR], directory[ROWS_PER_STRIP] = RGB, CHUNKY, ROWS
    # Relative to the end of the directory, as Pillow wants them.
    directory[OFFSETS], directory[COUNTS] = tuple(starts[:-1]), tuple(len(strip) for strip in strips)
    if icc is not None:
        directory.tagtype[ICC_TAG] = 7  # of unspecified type, as the ICC wants it
        directory[ICC_TAG] = icc
    path.write_bytes(HEADER + directory.tobytes(len(HEADER)) + b"".join(strips))


def _packed(strip: NDArray[np.uint16]) -> bytes:
    """Each value less its left neighbour's, deflated."""
    rows = strip.astype("<u2")
    rows[:, 1:] -= strip[:, :-1]
    return zlib.compress(rows.tobytes(), 6)
