"""How long a scene unit is, and what the lens then is in millimetres.

In: what the user says (`--scale-mm`), the EXIF of the photos, calibrated cameras, focus distances in scene units.
Out: a `Scale` with its source and uncertainty, and sentences where the EXIF contradicts the fit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.focal import focal_px as nominal_px
from macrosplat.cameras.focal import knows_focal
from macrosplat.cameras.records import Cameras
from macrosplat.cameras.targets import TargetScale
from macrosplat.photos.names import matched
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError

# A photo's name and px [N, 2] of its full size to points of the scene [N, 3], nan where there is none.
Surface = Callable[[str, NDArray[np.float64]], NDArray[np.float64]]
IN_PHOTO = re.compile(r"([\d.]+),([\d.]+)-([\d.]+),([\d.]+)")  # x,y-x,y
POINTED = 1.0  # px: how well a person points at something

CONTRADICTS = 1.3  # factor between EXIF and fit that is worth a sentence
# What a scale from EXIF rests on: the image distance found by calibration, and the nominal focal length, which makers
# round and which lenses that focus inside shorten.
FOCAL_FOUND, FOCAL_NOMINAL = 0.02, 0.03
# The 35 mm equivalent, where nothing else tells the sensor's size: some makers compare diagonals, some widths (4 %
# apart on a 4:3 sensor), and all round it to a whole number.
EQUIVALENT = 0.04
# Of a camera's place, one standard deviation, relative to its distance: where it was found from the photos
# (experiments: sfm-seeds), and where a file tells.
PLACE_FOUND, PLACE_TOLD = 0.005, 0.001
VAGUE = 0.5  # relative uncertainty from which a scale is none
SHARP_PX = 1.0  # radius of the circle of confusion that still passes as sharp, px of the training width


@dataclass(frozen=True)
class Scale:
    """Millimetres per scene unit; None where nothing tells."""

    mm_per_unit: float | None = None
    source: str = "unknown"
    uncertainty: float | None = None  # relative, one standard deviation


# Millimetres of a scene unit, or between two cameras: beyond these it is a slip, and numbers made of it overflow.
LEAST_MM, MOST_MM = 1e-9, 1e9


def check_scale(text: str, photos: Sequence[str] | None = None) -> None:
    """Whether `--scale-mm` can be read, and names photos that there are (None: nobody knows yet).

    Raises:
        MacrosplatError: it cannot, or does not.
    """
    ends, _ = _parsed(text)
    if ends is None or photos is None:
        return
    named = ends[:1] if IN_PHOTO.fullmatch(ends[1]) else ends
    meant: list[str] = []
    for name in named:
        found = matched([name], photos)
        if not found:
            raise MacrosplatError(f"--scale-mm names {name}, which is no photo of the capture; correct the name.")
        meant.append(photos[found[0]])
    if len(named) == 2 and meant[0] == meant[1]:
        raise MacrosplatError(f"--scale-mm names {meant[0]} twice; name two photos.")


def find_scale(
    text: str | None,
    cameras: Cameras,
    photos: Sequence[Photo],
    focus: Sequence[float],
    surface: Surface | None = None,
    targets: TargetScale | None = None,
) -> Scale:
    """From the user if he says it, else from coded targets, else from EXIF where it can tell.

    Args:
        text: `--scale-mm`.
        cameras: V, at full size.
        photos: V.
        focus: V focus distances, scene units.
        surface: a photo's name and px [N, 2] to points of the scene [N, 3], nan where there is none; None: not yet.

    Raises:
        MacrosplatError: a photo of `--scale-mm` has no camera, or the two stand in one place.
    """
    if text is None:
        if targets is not None and targets.mm_per_unit is not None:
            what = f"{len(targets.targets)} coded target{'s' if len(targets.targets) > 1 else ''}"
            return Scale(targets.mm_per_unit, f"{what} in {targets.photos} photos", targets.uncertainty)
        return _from_exif(cameras, photos, focus)
    ends, mm = _parsed(text)
    if ends is None:
        return Scale(mm, "--scale-mm", None)
    ends = (_meant(ends[0], cameras), ends[1] if IN_PHOTO.fullmatch(ends[1]) else _meant(ends[1], cameras))
    if (drawn := IN_PHOTO.fullmatch(ends[1])) is not None:
        return _between_pixels(ends[0], np.array(drawn.groups(), np.float64).reshape(2, 2), mm, cameras, surface)
    for name in ends:
        if name not in cameras.names:
            raise MacrosplatError(f"--scale-mm names {name}, which is no photo with a camera; name two that are.")
    a, b = (cameras.centres[cameras.names.index(name)] for name in ends)
    away = float(np.linalg.norm(a - b))
    if away < 1e-9 * max(1e-30, float(np.abs(cameras.centres).max())):
        raise MacrosplatError(f"--scale-mm: {ends[0]} and {ends[1]} were taken from one place; name two others.")
    return _between(ends, mm, away, cameras, focus)


def _meant(name: str, cameras: Cameras) -> str:
    """The photo that a name means, as elsewhere: img_1 is photos/IMG_1.JPG, if no other photo is called like it."""
    found = matched([name], cameras.names)
    return cameras.names[found[0]] if found else name


def _between(ends: tuple[str, ...], mm: float, away: float, cameras: Cameras, focus: Sequence[float]) -> Scale:
    """From two cameras so far apart: as sure as both their places are."""
    distances = [focus[cameras.names.index(name)] for name in ends] if len(focus) else []
    place = (PLACE_FOUND if cameras.source == "sfm" else PLACE_TOLD) * float(np.mean(distances or [0.0]))
    uncertainty = math.sqrt(2) * place / away
    if uncertainty > VAGUE:
        far = math.sqrt(2) * place / VAGUE * mm / away
        return Scale(
            None, f"{ends[0]} and {ends[1]} stand too near each other to tell: {far:.2g} mm or more", uncertainty
        )
    return Scale(mm / away, f"the distance from {ends[0]} to {ends[1]}", uncertainty or None)


def _between_pixels(name: str, px: NDArray[np.float64], mm: float, cameras: Cameras, surface: Surface | None) -> Scale:
    """Two points of one photo; how sure it is, by the surface within a px or two of them."""
    if name not in cameras.names:
        raise MacrosplatError(f"--scale-mm names {name}, which is no photo with a camera; name one that is.")
    size = cameras.sizes[cameras.names.index(name)]
    if (px < 0).any() or (px > size).any() or np.linalg.norm(px[0] - px[1]) < 1:
        raise MacrosplatError(
            f"--scale-mm: {name} has {size[0]} x {size[1]} px; give two different points that lie in it."
        )
    if surface is None:
        return Scale(None, "two points of a photo")
    around = px[:, None] + POINTED * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    points = surface(name, around.reshape(-1, 2)).reshape(2, 5, 3)
    if not np.isfinite(points[:, 0]).all():
        return Scale(None, f"nothing lies at one of the two points of {name}")
    away = np.linalg.norm(points[0, 0] - points[1, 0])
    spread = np.linalg.norm(points[0] - points[1], axis=-1)
    spread = float(np.nanstd(spread[1:])) if np.isfinite(spread[1:]).any() else 0.0
    uncertainty = math.hypot(spread / away, POINTED * 2**0.5 / float(np.linalg.norm(px[0] - px[1])))
    return Scale(float(mm / away), f"two points of {name}", uncertainty)


def _parsed(text: str) -> tuple[tuple[str, str] | None, float]:
    """The two photos, if any, and the millimetres."""
    head, _, number = text.rpartition("=")
    ends = tuple(part.strip() for part in head.split(":"))
    try:
        mm = float(number)
    except ValueError:
        mm = math.nan
    if not LEAST_MM <= mm <= MOST_MM or (head and (len(ends) != 2 or not all(ends))):
        raise MacrosplatError(
            f"--scale-mm {text} cannot be read; give the millimetres of a scene unit (0.5), two photos and the "
            "millimetres between their cameras (first.jpg:second.jpg=40), or two points of a photo, in px, and the "
            "millimetres between them (first.jpg:120,80-460,80=10)."
        )
    return ((ends[0], ends[1]) if head else None), mm


def _from_exif(cameras: Cameras, photos: Sequence[Photo], focus: Sequence[float]) -> Scale:
    """The lens equation: image distance v and focal length f leave one object distance, f v / (v - f)."""
    found, spread = [], []
    for photo, k, size, d0 in zip(photos, cameras.intrinsics, cameras.sizes, focus, strict=True):
        f = photo.exif.focal_mm
        image = image_distance_mm(photo, float(k[0]), int(max(size)))
        if f is None or image is None or image <= f or not math.isfinite(d0):
            continue
        m = image / f - 1
        found.append(f * image / (image - f) / d0)
        sensor = 0.0 if photo.exif.sensor_width_mm else EQUIVALENT
        spread.append(math.hypot(FOCAL_FOUND / m, sensor / m, FOCAL_NOMINAL * (1 + 1 / m)))
    if not found:
        return Scale()
    uncertainty = float(np.median(spread))
    if uncertainty > VAGUE:
        return Scale(None, f"EXIF leaves it uncertain by {100 * uncertainty:.0f} %", uncertainty)
    return Scale(float(np.median(found)), "EXIF (focal length and size of the sensor)", uncertainty)


def image_distance_mm(photo: Photo, focal_px: float, long_side: int) -> float | None:
    """From the lens to the sensor; None if EXIF knows neither the sensor's size nor the 35 mm equivalent, or which part
    of the sensor the photo is."""
    if not knows_focal(photo) or photo.exif.focal_mm is None or photo.exif.cropped:
        return None
    nominal, _ = nominal_px(photo)
    return photo.exif.focal_mm * focal_px / nominal * max(photo.width, photo.height) / long_side


def depth_of_field(focus: float, pupil: float, focal_px: float) -> tuple[float, float]:
    """Nearest and farthest depth, scene units, with a circle of confusion of at most `SHARP_PX`; inf if unbounded."""
    width = 2 * SHARP_PX / (max(pupil, 1e-30) * focal_px)
    far = 1 / focus - width
    return 1 / (1 / focus + width), (1 / far if far > 0 else math.inf)


def optics(
    mm: float | None, pupil: float, focal_px: float, focus: Mapping[str, float], apertures: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """What `lens.json` adds to every photo: depth of field, in scene units and mm (None: unknown or unbounded)."""
    out = {}
    for name, d0 in focus.items():
        near, far = depth_of_field(d0, pupil * apertures.get(name, 1.0), focal_px)
        deep = far - near
        finite = math.isfinite(deep)
        out[name] = {
            "depth_of_field": {
                "scene_units": float(deep) if finite else None,
                "mm": float(deep * mm) if finite and mm is not None else None,
            }
        }
    return out


def magnification(photos: Sequence[Photo], cameras: Cameras, focus: Sequence[float], scale: Scale) -> float | None:
    """Size on the sensor / size of the object in focus, median over photos; None if scale or sensor are unknown."""
    if scale.mm_per_unit is None:
        return None
    found = []
    for photo, k, size, d0 in zip(photos, cameras.intrinsics, cameras.sizes, focus, strict=True):
        image = image_distance_mm(photo, float(k[0]), int(max(size)))
        if image is not None:
            found.append(image / (d0 * scale.mm_per_unit))
    return float(np.median(found)) if found else None


def contradictions(scale: Scale, pupil: float, photos: Sequence[Photo], magnified: float | None) -> tuple[str, ...]:
    """Where EXIF and the fit differ by more than `CONTRADICTS`, and than the scale is sure."""
    mm, said = scale.mm_per_unit, []
    focal = [photo.exif.focal_mm for photo in photos if photo.exif.focal_mm]
    numbers = [photo.exif.f_number for photo in photos if photo.exif.f_number]
    if mm is None or not focal or pupil <= 0:
        return ()
    if numbers:
        nominal, found = float(np.median(numbers)), float(np.median(focal)) / (pupil * mm)
        # Some cameras write the number on the ring, some the one that the light meter sees.
        either = (nominal, nominal / (1 + magnified)) if magnified else (nominal,)
        # A scale that is told within 20 % tells f-numbers within 20 %.
        worth = max(CONTRADICTS, 1 + 2 * (scale.uncertainty or 0.0))
        if all(_off(found, number) > worth for number in either):
            said.append(
                f"EXIF says f/{nominal:.3g}, the blur of the photos f/{found:.3g}: look at --scale-mm, or whether the "
                "lens reported its aperture."
            )
    return tuple(said)


def differing(given: Scale, cameras: Cameras, photos: Sequence[Photo], focus: Sequence[float]) -> tuple[str, ...]:
    """Where EXIF would make the scene another size than the user says."""
    told = _from_exif(cameras, photos, focus)
    if given.mm_per_unit is None or told.mm_per_unit is None or told.uncertainty is None:
        return ()
    sure = math.hypot(told.uncertainty, given.uncertainty or 0.0)
    if _off(given.mm_per_unit, told.mm_per_unit) <= max(CONTRADICTS, 1 + 2 * sure):
        return ()
    return (f"By EXIF a scene unit is {told.mm_per_unit:.3g} mm, by {given.source} {given.mm_per_unit:.3g} mm.",)


def _off(a: float, b: float) -> float:
    return max(a / b, b / a)
