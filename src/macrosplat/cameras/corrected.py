"""Given cameras corrected by their photos: focal lengths by key points and by where the photos are focused, k1 by where
the pictures agree.

In: given cameras, and points that they see. Out: a `Calibration`.
"""

from __future__ import annotations

from collections.abc import Sequence

from macrosplat.cameras.aligned import aligned
from macrosplat.cameras.by_focus import by_focus
from macrosplat.cameras.calibrate import Calibration, calibrate, told_distortion, with_distortion, with_its_cameras
from macrosplat.cameras.in_focus import find_focus
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.photos.records import Photo

# Times that k1 and the focal lengths follow each other (experiments: focal-by-focus).
TURNS = 4


def corrected(
    given: Cameras, points: SparsePoints, photos: Sequence[Photo], known: Calibration | None = None
) -> Calibration:
    """What the photos surely say of the given intrinsics, focal lengths held to the law of their focus.

    Args:
        points: observations in px of the photos as taken. given, photos: V, in the same order.
        known: a calibration of the same cameras by fewer points.
    """
    found = calibrate(given, points, known)
    if not found.differ:
        return found
    held = by_focus(found, find_focus(points, found.cameras, photos))
    return found if held is None else with_its_cameras(given, held)


def settled(given: Cameras, points: SparsePoints, photos: Sequence[Photo], found: Calibration) -> Calibration:
    """The calibration with k1 told again, if it was sure: blur moves key points, and with them the distortion, but not
    where the pictures themselves agree.

    Args: as of `corrected`; found: what it said.
    """
    if not found.radial:
        return found
    there, focus = aligned(points, found.cameras, photos), find_focus(points, found.cameras, photos)
    if by_focus(found, focus) is None:
        return with_distortion(given, points, found, calibrate(given, there, found).k1)
    for _ in range(TURNS):
        k1 = told_distortion(given, there, found)
        held = by_focus(with_distortion(given, points, found, k1), focus)
        if held is None:
            break
        found = with_its_cameras(given, held)
    return found
