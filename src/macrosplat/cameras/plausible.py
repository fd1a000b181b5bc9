"""Whether cameras and points can be those of photos of a thing: what no capture is like is refused before training.

In: cameras and sparse points, from wherever. Out: nothing, or a sentence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.photos.names import listed
from macrosplat.support.errors import MacrosplatError

# Degrees under which the cameras see a point, at the most, in the median over the points: a capture on an arc of 5
# degrees has 4 and more; what structure from motion makes of photos from one place is either more than that and wrong
# (`brackets.alike` finds those), or next to nothing.
LEAST_PARALLAX = 0.3
# Shares of the photo's width that points may lie off in the median: blurred photos reach 0.002.
MOST_OFF = 0.02
# The same share beyond which the cameras hardly fit the photos (experiments: exchanged-cameras).
HARDLY = 0.0035
# A camera is held by photos that share so many points with it, and well by so many of them (experiments: sfm-led).
SHARED, HOLDING = 10, 4


def refuse_impossible(cameras: Cameras, points: SparsePoints, what: str) -> None:
    """
    Args:
        what: whose cameras they are, for sentences.

    Raises:
        MacrosplatError: the cameras see the points from one place, or not where they were observed.
    """
    if len(points) == 0 or len(points.photo) == 0:
        return
    off = float(np.median(_off(cameras, points)))
    if not off < MOST_OFF:
        raise MacrosplatError(
            f"The points of {what} lie {100 * off:.3g} % of a photo's width from where they were observed: its "
            "cameras and points do not belong together; export them again, or remove them to have cameras found."
        )
    angles = parallax(cameras, points)
    if len(angles) == 0:  # a few photos of a model: points seen by one of them say nothing
        return
    angle = float(np.median(angles))
    if not angle >= LEAST_PARALLAX:
        raise MacrosplatError(
            f"The cameras of {what} see the thing from one place (under {angle:.2g} degrees in the median), so that "
            "nothing tells how deep it is; take photos from around it."
        )


def unconfirmed(cameras: Cameras, points: SparsePoints) -> list[str]:
    """Sentences on cameras that the points speak against, and on photos whose cameras no point speaks for, where there
    are points: exchanged, perhaps, or without anything in focus."""
    silent = sorted(set(range(len(cameras))) - set(points.photo.tolist()))
    if len(points) == 0 or len(points.photo) == 0:
        return []
    off = float(np.median(_off(cameras, points)))
    if off > HARDLY:
        return [
            f"The cameras hardly fit the photos: their points lie {100 * off:.2g} % of a photo's width from where they "
            f"are seen, and up to {100 * HARDLY:.2g} % is usual. They may be exchanged, or of other photos: compare "
            "with cameras found from the photos alone."
        ]
    if not silent:
        return []
    which = listed(cameras.names[i] for i in silent)
    return [
        f"No point of the others is seen in {which}: nothing tells whether its camera is right; if the scene is "
        "blurred where it looks, leave the photo out."
    ]


def loosely_held(cameras: Cameras, points: SparsePoints, least: int = SHARED, partners: int = HOLDING) -> list[str]:
    """Names of photos that share `least` points with fewer than `partners` others: such cameras may lie far off.

    None if that is so for half of the photos: then it tells none from the others.
    """
    sees = np.zeros((len(points), len(cameras)), np.float32)
    sees[points.point, points.photo] = 1
    shared = sees.T @ sees
    np.fill_diagonal(shared, 0)
    found = np.flatnonzero((shared >= least).sum(1) < partners)
    return [cameras.names[i] for i in found] if 2 * len(found) < len(cameras) else []


def parallax(cameras: Cameras, points: SparsePoints) -> NDArray[np.float64]:
    """Twice the largest angle between an observation of a point and the mean of all of them, degrees, of each of the
    points that two photos and more see."""
    rays = cameras.centres[points.photo] - points.xyz[points.point]
    rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-300)
    mean = np.zeros((len(points), 3))
    np.add.at(mean, points.point, rays)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-300)
    # By the chord: the cosine of a small angle has no digits left.
    angle = 2 * np.arcsin(np.clip(np.linalg.norm(rays - mean[points.point], axis=1) / 2, 0, 1))
    largest = np.zeros(len(points))
    np.maximum.at(largest, points.point, angle)
    seen = np.bincount(points.point, minlength=len(points)) > 1
    return 2 * np.degrees(largest[seen])


def _off(cameras: Cameras, points: SparsePoints) -> NDArray[np.float64]:
    """[O] how far points are from where they were observed, widths of the photo; infinite behind a camera."""
    views, k = cameras.views[points.photo], cameras.intrinsics[points.photo]
    local = np.einsum("oij,oj->oi", views[:, :3, :3], points.xyz[points.point]) + views[:, :3, 3]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        px = local[:, :2] / local[:, 2:] * k[:, :2] + k[:, 2:]
        away = np.linalg.norm(px - points.px, axis=1) / cameras.sizes[points.photo, 0]
    return np.where((local[:, 2] > 0) & np.isfinite(away), away, np.inf)
