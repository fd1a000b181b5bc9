"""What EXIF tells about the pupil before any photo is looked at: its diameter D as a share of the focus distance d0.

A lens of focal length f stands f (1 + m) before the sensor when it magnifies m times, which is what a calibrated focal
length measures: 1 + m = fx pitch / f. The pupil is f / N wide and the plane of focus f (1 + m) / m away, so

    D / d0 = m / (N (1 + m)),

at most 1 / (2 N) up to life size (m = 1), whatever the focal length does while the lens focuses. Where the lens
shortens its focal length to focus, m is more than the nominal f says: by how much has a limit, too, so that of photos
that hardly magnify (m near 0) far less than 1 / (2 N) is possible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from macrosplat.cameras.focal import focal_px, knows_focal
from macrosplat.cameras.records import Cameras
from macrosplat.photos.records import Photo

# Relative, one standard deviation: a calibrated focal length; the nominal one, which makers round; the 35 mm
# equivalent, where nothing else tells the sensor's size (makers compare diagonals or widths); the f-number.
FOCAL_FOUND, FOCAL_NOMINAL, EQUIVALENT, F_NUMBER = 0.02, 0.03, 0.04, 0.03
SURE = 3.0  # standard deviations: a magnification nearer to 0 than that is not known
WIDE = 3.0  # standard deviations on either side of what is expected that the photos may choose from
# Of the focal length, times m: by so much lenses shorten it to focus nearer (macro lenses by 0.3 to 0.4, kit zooms by
# 0.4). fx pitch / f, with the nominal f, is then (1 + m) (1 - SHORTENS m), at most 1 + m (1 - SHORTENS). Lenses that
# shorten more show it: the calibrated focal length is less than the nominal one.
SHORTENS = 0.6
# Makes whose macro lenses write the f-number that the light meter sees, N (1 + m), and not the one on the ring.
EFFECTIVE = ("nikon",)


@dataclass(frozen=True)
class PupilPrior:
    """D / d0 as EXIF has it."""

    f_number: float
    most: float  # more is not possible up to life size
    least: float = 0.0
    expected: float | None = None  # None: the magnification is not known, `most` is all that is
    spread: float = 0.0  # standard deviation of ln(expected)


def pupil_prior(photos: Sequence[Photo], cameras: Cameras) -> PupilPrior | None:
    """What the EXIF of V photos tells; None where no photo has an f-number.

    Args:
        photos: V. cameras: V, calibrated, at any size.
    """
    numbers = [photo.exif.f_number for photo in photos if photo.exif.f_number]
    if not numbers:
        return None
    number = float(np.median(numbers))
    effective = any(make in (photo.exif.camera or "").lower() for photo in photos for make in EFFECTIVE)
    bound = 1 / number if effective else 1 / (2 * number)
    known = [
        (float(k[0]) / focal_px(photo)[0] * max(photo.width, photo.height) / float(max(size)) - 1, photo)
        for photo, k, size in zip(photos, cameras.intrinsics, cameras.sizes, strict=True)
        if knows_focal(photo) and photo.exif.focal_mm and not photo.exif.cropped
    ]
    if not known:
        return PupilPrior(number, bound)
    m = float(np.median([m for m, _ in known]))
    sensor = all(photo.exif.sensor_width_mm for _, photo in known)
    wrong = math.hypot(FOCAL_FOUND, FOCAL_NOMINAL, 0.0 if sensor else EQUIVALENT)  # of 1 + m
    if m < -SURE * wrong:
        return PupilPrior(number, bound)
    if m < SURE * wrong:
        largest = (max(m, 0.0) + SURE * wrong) / (1 - SHORTENS)  # magnification
        return PupilPrior(number, min(bound, largest / (number * (1 if effective else 1 + largest))))
    expected, spread = m / (number * (1 + m)), math.hypot(wrong / m, F_NUMBER)
    # By the number on the ring the pupil is f / N; by the light meter's it may be 1 + m times as wide.
    highest = expected * (1 + m if effective else 1) * math.exp(WIDE * spread)
    return PupilPrior(number, max(bound, highest), expected * math.exp(-WIDE * spread), expected, spread)
