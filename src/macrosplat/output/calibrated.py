"""What the calibrated cameras say of the lens: how far it breathes while it focuses, and how far it distorts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.undistort import colmap_camera

SURE = 4.0  # standard deviations: a slope that is less sure is not said
LEAST = 1e-3  # relative: focal lengths that differ by less are alike
# Relative, besides what the scatter about the line says: focus distances that are off together stretch the line
# (experiments: how-sure).
STRETCHED = 0.04


@dataclass(frozen=True)
class Breathing:
    """How the focal length in px follows the focus distance."""

    per_unit: float  # relative change of fx per scene unit of focus distance, at the mean distance
    uncertainty: float  # its standard deviation


def breathing(focus: Sequence[float], cameras: Cameras, unsure: float = 0.0) -> Breathing | None:
    """A line through ln fx over the focus distance [V] (least squares); None: not seen in these photos.

    Args:
        unsure: relative spread of focal lengths that says nothing, where they follow a law.
    """
    focal = np.log(cameras.intrinsics[:, 0] / cameras.sizes[:, 0])
    distance = np.asarray(focus, np.float64)
    apart = distance - distance.mean()
    if len(focal) < 4 or np.ptp(focal) < LEAST or not (apart @ apart) > 0:
        return None
    slope = float(apart @ focal / (apart @ apart))
    rest = focal - focal.mean() - slope * apart
    sigma = float(np.sqrt(rest @ rest / (len(focal) - 2) / (apart @ apart)))
    if abs(slope) <= SURE * sigma or focal.std() <= unsure:
        return None
    return Breathing(slope, float(np.hypot(max(sigma, abs(slope) * unsure / focal.std()), STRETCHED * slope)))


def distortion_at_corner(cameras: Cameras) -> float | None:
    """How far, relative to a pinhole's picture, a photo's corner is displaced along its diagonal: < 0 barrel, > 0
    pincushion; the median over the photos. None: the cameras have no distortion."""
    found = []
    for distortion in cameras.distortion:
        if distortion is None:
            continue
        camera = colmap_camera(distortion)
        k = camera.calibration_matrix()
        ray = np.array([distortion.width / 2 / k[0, 0], distortion.height / 2 / k[1, 1]])
        px = np.asarray(camera.img_from_cam(np.array([[*ray, 1.0]])))[0] - k[:2, 2]
        straight = ray * (k[0, 0], k[1, 1])
        found.append(float(np.hypot(*px) / np.hypot(*straight) - 1))
    return float(np.median(found)) if found else None
