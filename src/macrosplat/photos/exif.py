"""What the camera wrote into a photo.

In: Pillow's EXIF tags. Out: `Exif`, lengths in mm, None where nothing usable stands.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from PIL import Image

from macrosplat.photos.records import SHAPE_TOLERANCE, Exif, same_shape

# Tag numbers of the EXIF 2.32 standard.
MAKE, MODEL, ORIENTATION, EXIF_IFD, GPS_IFD = 0x010F, 0x0110, 0x0112, 0x8769, 0x8825
F_NUMBER, FOCAL, FOCAL_35MM, LENS = 0x829D, 0x920A, 0xA405, 0xA434
TIME, SHUTTER, ISO = 0x829A, 0x9201, 0x8827
WIDTH, HEIGHT = 0xA002, 0xA003
PLANE_X, PLANE_UNIT = 0xA20E, 0xA210
COLOUR_SPACE, INTEROP_IFD, INTEROP_INDEX = 0xA001, 0xA005, 1
UNCALIBRATED, ADOBE = 65535, 2  # values of ColorSpace; the second stands in no standard but in files

# FocalPlaneResolutionUnit: 2 inch (the default), 3 cm; 4 (mm) and 5 (um) stand in no standard but in files.
UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
# The long side of any sensor that takes photos: the smallest phone 3 mm, medium format 54 mm. Outside, the tags lie.
SENSOR_MM = (3.0, 60.0)
# Of lenses and cameras that there are, with room: outside, the tags lie, and count as none.
FOCAL_MM, F_NUMBERS, SECONDS, ISOS = (0.5, 10000.0), (0.4, 1000.0), (1e-7, 1e6), (0.1, 1e8)
FULL_FRAME_DIAGONAL_MM = math.hypot(36, 24)


def exif_of(tags: Image.Exif, width: int, height: int) -> Exif:
    """The facts that matter of `tags`; `width` x `height` px is the photo's present size, either way up."""
    inner = tags.get_ifd(EXIF_IFD)
    focal, focal_35mm = _number(inner.get(FOCAL), FOCAL_MM), _number(inner.get(FOCAL_35MM), FOCAL_MM)
    make, model, lens = _text(tags.get(MAKE)), _text(tags.get(MODEL)), _text(inner.get(LENS))
    words = [make if not model.startswith(make) else "", model, lens]  # Canon writes "Canon" into both
    return Exif(
        f_number=_number(inner.get(F_NUMBER), F_NUMBERS),
        focal_mm=focal,
        focal_35mm=focal_35mm,
        sensor_width_mm=_sensor_width(inner, width, height, focal, focal_35mm),
        seconds=_number(inner.get(TIME), SECONDS) or _shutter(inner.get(SHUTTER)),
        iso=_number(inner.get(ISO), ISOS),
        camera=" ".join(word for word in words if word) or None,
        cropped=_is_cropped(inner, width, height),
    )


def _is_cropped(inner: dict[int, Any], width: int, height: int) -> bool:
    """Whether the photo as taken was of another shape, and no smaller: editors that crop leave its size in the EXIF.
    (Many do not, and a part of the same shape may be the whole, resized.)"""
    long, short = (_number(inner.get(tag)) for tag in (WIDTH, HEIGHT))
    if long is None or short is None:
        return False
    taken, now = sorted((long, short)), sorted((width, height))
    within = all(a <= b * (1 + SHAPE_TOLERANCE) for a, b in zip(now, taken, strict=True))
    return within and not same_shape((now[0], now[1]), (round(taken[0]), round(taken[1])))


def is_adobe_rgb(tags: Image.Exif, name: str) -> bool:
    """Whether the camera was set to Adobe RGB, as DCF 2.0 (JEITA CP-3461B, option files) has it told.

    By the interoperability index R03; or, where a program has dropped that directory, by a colour space that is not
    sRGB and a file name that begins with `_`.
    """
    inner = tags.get_ifd(EXIF_IFD)
    try:
        index = tags.get_ifd(INTEROP_IFD).get(INTEROP_INDEX)
    except (KeyError, TypeError, ValueError, struct.error):  # a damaged directory
        index = None
    if _text(index).upper().startswith("R03"):
        return True
    space = inner.get(COLOUR_SPACE)
    return space == ADOBE or (space == UNCALIBRATED and not index and name.startswith("_"))


def _sensor_width(
    inner: dict[int, Any], width: int, height: int, focal: float | None, focal_35mm: float | None
) -> float | None:
    """The sensor's long side. The density counts the pixels of the photo as taken, so a resized copy's own do not."""
    density, unit = _number(inner.get(PLANE_X)), UNIT_MM.get(inner.get(PLANE_UNIT, 2))
    if density is None or unit is None:
        return None
    taken = max(_number(inner.get(WIDTH)) or width, _number(inner.get(HEIGHT)) or height)
    sensor = taken / density * unit
    if not SENSOR_MM[0] <= sensor <= SENSOR_MM[1]:
        return None
    if focal and focal_35mm:
        # Some programs rewrite the size but not the density when they resize; the equivalent then tells.
        long = max(width, height) / math.hypot(width, height)
        expected = focal / focal_35mm * FULL_FRAME_DIAGONAL_MM * long
        if not 0.7 < sensor / expected < 1.4:
            return None
    return sensor


def _shutter(value: Any) -> float | None:
    """Seconds of a ShutterSpeedValue, which is -log2 of them (APEX)."""
    try:
        seconds = 2.0 ** -float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return _number(seconds, SECONDS)


def _number(value: Any, within: tuple[float, float] = (0.0, math.inf)) -> float | None:
    """A positive finite number `within` these or None: cameras write 0 or 0/0 for 'unknown' (a lens without
    contacts)."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 and within[0] <= number <= within[1] else None


def _text(value: Any) -> str:
    """Of a tag, without what no screen shows: some cameras fill up with zeros, and anybody may write anything."""
    return "".join(c if c.isprintable() else " " for c in value).strip() if isinstance(value, str) else ""
