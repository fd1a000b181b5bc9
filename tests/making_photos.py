"""Small photo files for the tests of the capture room."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# What a Canon T3 writes, but for the height: 4272 px at 4720 px per inch make 22.99 mm, whatever a test's shape.
CANON = {"FNumber": 18.0, "FocalLength": 55.0, "ExifImageWidth": 4272}
CANON |= {"FocalPlaneXResolution": 4720.441988950276, "FocalPlaneResolutionUnit": 2}
NUMBERS = {
    "FNumber": 0x829D,
    "FocalLength": 0x920A,
    "FocalLengthIn35mmFilm": 0xA405,
    "ExifImageWidth": 0xA002,
    "ExifImageHeight": 0xA003,
    "FocalPlaneXResolution": 0xA20E,
    "FocalPlaneResolutionUnit": 0xA210,
}


def texture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """[H, W, 3] smooth random colours, that JPEG keeps well."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 12.0
    phase, slope = random.uniform(0, 6, (2, 3)), random.uniform(-1, 1, (2, 3))
    waves = np.sin(x[..., None] * slope[0] + y[..., None] * slope[1] + phase[0])
    return np.rint(128 + 100 * waves).astype(np.uint8)


def exif(orientation: int = 1, model: str | None = None, **values: float) -> Image.Exif:
    """EXIF tags by name."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    if model:
        tags[0x0110] = model
    tags.get_ifd(0x8769).update({NUMBERS[name]: value for name, value in values.items()})
    return tags


def save(path: Path, pixels: NDArray, tags: Image.Exif | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=tags if tags is not None else Image.Exif(), **options)
    return path


def make_photos(
    folder: Path, count: int = 4, width: int = 48, height: int = 32, tags: Image.Exif | None = None, seed: int = 0
) -> None:
    """1.jpg, 2.jpg, ...: other pictures with another seed."""
    for n in range(1, count + 1):
        save(
            folder / f"{n}.jpg",
            texture(width, height, seed + n),
            tags if tags is not None else exif(**CANON),
            quality=95,
        )


def icc_profile(gamma: float, colorants: list[list[float]]) -> bytes:
    """A minimal display profile: one gamma, and the XYZ (D50) of red, green and blue."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    white = [0.9642, 1.0, 0.8249]
    for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt"), [*colorants, white], strict=True):
        tags[name] = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in xyz))
    text = b"test\0"
    tags[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    tags[b"cprt"] = b"text" + bytes(4) + text
    offset, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", offset + len(body), bytes(4), 0x02200000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", *(round(v * 65536) for v in white))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


# Adobe RGB (1998), adapted to D50 as its profile stores it.
ADOBE_RGB = [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]]
