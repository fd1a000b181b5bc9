"""What crosses the walls of this room: `Photo`, and what its camera wrote about it. No numpy, no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Exif:
    """What the camera wrote about one photo; None where it did not."""

    f_number: float | None = None
    focal_mm: float | None = None
    focal_35mm: float | None = None  # 35 mm equivalent, by the diagonal
    sensor_width_mm: float | None = None  # its long side, from FocalPlaneXResolution and the original width
    seconds: float | None = None  # exposure time
    iso: float | None = None
    camera: str | None = None  # make, model and lens, to tell mixed cameras apart
    cropped: bool = False  # since it was taken: what the EXIF says of the sensor is of the whole frame


@dataclass(frozen=True)
class Photo:
    """One photo on disk, upright size (after EXIF orientation)."""

    name: str  # path below the photo folder, with its suffix: the key everywhere
    path: Path
    width: int
    height: int
    exif: Exif = Exif()
    mask: Path | None = None  # white = object
    mask_is_alpha: bool = False  # whether it is the alpha channel of that file
    mask_margin: float = 0.0  # of the width: feature points so near it count, too; 1: all do
    pose: str | None = None  # slices of one focus bracket share it; None: a photo by itself
    orientation: int = 1  # EXIF's: how the pixels are stored; 1: upright


@dataclass(frozen=True)
class Looking:
    """Who is told while photos are looked through, which takes long where there are many."""

    begin: Callable[[list[tuple[int, int]]], None]  # how large they are (px), as far as their headers tell
    advance: Callable[[], object]  # a photo is done


def resized(photo_width: int, photo_height: int, width: int) -> tuple[int, int]:
    """(width, height) of a photo brought to `width` px; never larger than it is."""
    width = min(width, photo_width)
    return width, max(1, round(photo_height * width / photo_width))


# Two sizes are of one shape if a side is off by a pixel or two of rounding, or by 1 %.
SHAPE_TOLERANCE = 0.01
ROUNDING = 0.1  # at the most, however small


def same_shape(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two sizes (width, height) are of one picture, resized."""
    if min(*a[:2], *b[:2]) < 1:
        return False
    slack = min(1 / min(*a[:2], *b[:2]), ROUNDING)
    return abs(a[0] * b[1] / (a[1] * b[0]) - 1) <= max(SHAPE_TOLERANCE, slack)
