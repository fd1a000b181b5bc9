"""What a photo carries besides its pixels, for pictures that are made of it: EXIF and the colour profile.

In: the photo's file. Out: `Metadata`, fit for an upright picture of other pixels: no orientation, no thumbnail, nothing
about how the old file is stored.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tifffile
from PIL import Image

from macrosplat.photos import exif as tag
from macrosplat.photos.decode import (
    ICC_TAG,
    embedded_profile,
    extra,
    open_picture,
    photo_page,
    tiff_tags,
)
from macrosplat.photos.icc import MatrixProfile, read_profile
from macrosplat.photos.kinds import kind_of

PLANE_Y = 0xA20F
# Tags of the first directory that speak of the picture, not of the file: description, maker, camera, resolution,
# software, date, artist, host, rating, copyright, and what Windows adds.
KEPT = (
    *(0x010E, tag.MAKE, tag.MODEL, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298),
    *range(0x9C9B, 0x9CA0),
)

# What readers raise on a file whose tags are damaged or of no kind that they know.
_UNREADABLE = (OSError, SyntaxError, ValueError, LookupError, tifffile.TiffFileError)


@dataclass(frozen=True)
class Metadata:
    """EXIF by directory, and the profile; empty where the photo had none."""

    first: dict[int, Any] = field(default_factory=dict)
    inner: dict[int, Any] = field(default_factory=dict)
    gps: dict[int, Any] = field(default_factory=dict)
    icc: bytes | None = None  # of an RGB profile of curves and a matrix, as nearly all are; None: sRGB

    def profile(self) -> MatrixProfile | None:
        """The colours that the picture is to be written in; None: sRGB."""
        profile = None if self.icc is None else read_profile(self.icc)
        return None if profile is None or profile.is_srgb else profile

    def exif(self, width: int, height: int) -> Image.Exif | None:
        """For an upright picture of this size; None if there is nothing to say."""
        if not (self.first or self.inner or self.gps):
            return None
        out = Image.Exif()
        out.update(self.first)
        out[tag.ORIENTATION] = 1
        if self.inner:
            out.get_ifd(tag.EXIF_IFD).update(_sized(self.inner, width, height))
        if self.gps:
            out.get_ifd(tag.GPS_IFD).update(self.gps)
        return out


def read_metadata(path: Path) -> Metadata:
    """What the photo carries; what cannot be read, or not be written again, is left out."""
    tags, icc = Image.Exif(), None
    with contextlib.suppress(*_UNREADABLE):
        tags, icc = _read(path)
    profile = None if icc is None else read_profile(icc)
    inner = {number: value for number, value in tags.get_ifd(tag.EXIF_IFD).items() if number != tag.INTEROP_IFD}
    return Metadata(
        _writable({number: tags[number] for number in KEPT if number in tags}),
        _writable(inner),
        _writable(dict(tags.get_ifd(tag.GPS_IFD))),
        icc if profile is not None else None,
    )


def _read(path: Path) -> tuple[Image.Exif, bytes | None]:
    kind = kind_of(path)
    if kind == "raw":
        return tiff_tags(path), None
    if kind == "tiff":
        with tifffile.TiffFile(path) as tiff:
            found = tiff.pages[photo_page(tiff)].tags.get(ICC_TAG)  # type: ignore[union-attr]
            return tiff_tags(path), None if found is None else bytes(found.value)
    if kind == "heif":
        extra("pillow_heif", "heif", path).register_heif_opener()
    with open_picture(path) as opened:
        tags = opened.getexif()
        for directory in (tag.EXIF_IFD, tag.GPS_IFD):  # read while the file is open
            tags.get_ifd(directory)
        return tags, embedded_profile(path, opened)


def _sized(inner: dict[int, Any], width: int, height: int) -> dict[int, Any]:
    """With the picture's own size, and pixels of the sensor as large as they have become with it."""
    out = dict(inner)
    before = inner.get(tag.WIDTH), inner.get(tag.HEIGHT)
    out[tag.WIDTH], out[tag.HEIGHT] = width, height
    if all(isinstance(side, int | float) and side > 0 for side in before):
        factor = max(width, height) / max(before)  # type: ignore[type-var]
        for number in (tag.PLANE_X, PLANE_Y):
            with contextlib.suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
                out[number] = float(inner[number]) * factor
    return out


def _writable(values: dict[int, Any]) -> dict[int, Any]:
    """Those that can be written: cameras put values of any type into any tag."""
    out = {}
    for number, value in values.items():
        trial = Image.Exif()
        trial.get_ifd(tag.EXIF_IFD)[number] = value
        with contextlib.suppress(TypeError, ValueError, OverflowError, ZeroDivisionError, KeyError, struct.error):
            trial.tobytes()
            out[number] = value
    return out
