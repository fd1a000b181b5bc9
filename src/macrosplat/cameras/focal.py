"""The calibrated focal length, in px, as far as EXIF knows it: what SfM starts from.

A calibrated focal length is the distance from lens to sensor. Far away that is the nominal focal length f (written on
the lens); in macro it is further out, at f (1 + m) for magnification m, and EXIF does not say m. The value here is
the nominal one: right for m near 0, half the true one at life size (m = 1), which `sfm.start.FOCAL_START` allows for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from macrosplat.photos.exif import FULL_FRAME_DIAGONAL_MM
from macrosplat.photos.records import Photo

# Without EXIF: a 100 mm lens on a full-frame camera, the commonest macro lens.
ASSUMED_FOCAL_PER_WIDTH = 100 / 36
ASSUMPTION = "a 100 mm lens on a full-frame camera is assumed"


def focal_px(photo: Photo) -> tuple[float, str]:
    """The nominal focal length in px of the photo's full size, and a sentence that says where it comes from.

    The 35 mm equivalent is read as the standard (CIPA DCG-001) defines it, by the diagonal.
    """
    exif, long = photo.exif, max(photo.width, photo.height)
    if exif.focal_mm and exif.sensor_width_mm:
        focal = exif.focal_mm / exif.sensor_width_mm * long
        return focal, f"{exif.focal_mm:g} mm on a {exif.sensor_width_mm:.1f} mm wide sensor (EXIF): {focal:.0f} px."
    if exif.focal_35mm:
        focal = exif.focal_35mm / FULL_FRAME_DIAGONAL_MM * math.hypot(photo.width, photo.height)
        return focal, f"{exif.focal_35mm:g} mm, 35 mm equivalent (EXIF): {focal:.0f} px."
    focal = ASSUMED_FOCAL_PER_WIDTH * long
    return focal, f"{lacks(photo)} in the EXIF; {ASSUMPTION}: {focal:.0f} px."


def lacks(photo: Photo) -> str:
    """What the EXIF of a photo without a known focal length in px does not tell."""
    if photo.exif.focal_mm:
        return "No size of the sensor, nor a focal length as of 35 mm film,"
    return "No focal length"


def knows_focal(photo: Photo) -> bool:
    """Whether `focal_px` rests on EXIF rather than on the assumption."""
    return bool((photo.exif.focal_mm and photo.exif.sensor_width_mm) or photo.exif.focal_35mm)


def focals_px(photos: Sequence[Photo]) -> NDArray[np.float64]:
    """[V] `focal_px` of each photo; one without EXIF (an edited copy) takes the median of the others."""
    per_long_side = [focal_px(p)[0] / max(p.width, p.height) for p in photos if knows_focal(p)]
    shared = float(np.median(per_long_side)) if per_long_side else ASSUMED_FOCAL_PER_WIDTH
    return np.array([focal_px(p)[0] if knows_focal(p) else shared * max(p.width, p.height) for p in photos])
