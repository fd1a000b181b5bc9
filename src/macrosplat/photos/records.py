"""What crosses the walls of this room: `Photo`, and what its camera wrote about it. No numpy, no torch."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Distortion:
    """COLMAP's polynomial/fisheye parameters of one photo as taken; `Cameras` already holds the pinhole it becomes."""

    model: str  # COLMAP's name: SIMPLE_RADIAL, RADIAL, OPENCV, ...
    params: tuple[float, ...]  # as COLMAP stores them, for `width` x `height`
    width: int
    height: int


@dataclass(frozen=True)
class Photo:
    """One photo on disk, upright size (after EXIF orientation)."""

    name: str  # path below the photo folder, with its suffix: the key everywhere
    path: Path
    width: int
    height: int
    exif: Exif = Exif()
    mask: Path | None = None  # white = object
    distortion: Distortion | None = None
    pose: str | None = None  # slices of one focus bracket share it; None: a photo by itself


def resized(photo_width: int, photo_height: int, width: int) -> tuple[int, int]:
    """(width, height) of a photo brought to `width` px; never larger than it is."""
    width = min(width, photo_width)
    return width, max(1, round(photo_height * width / photo_width))
