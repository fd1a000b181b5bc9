"""A way round the object: as far as the photos go, as high and as far off as they were taken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.vertical import vertical

GAP = np.radians(100.0)  # a wider stretch without photos is not entered: what is to be seen there nobody knows


def orbit(
    views: NDArray[np.float64], pivot: NDArray[np.float64], count: int, all_round: bool = False
) -> NDArray[np.float64]:
    """[count, 4, 4] world to camera: once round `pivot`, or to and fro where the photos leave a wide gap.

    Args:
        views: [V, 4, 4] world to camera, OpenCV axes: those of the photos. pivot: [3] what to look at.
        all_round: once round it even where they leave a gap.
    """
    assert views.shape[1:] == (4, 4) and pivot.shape == (3,), f"views {views.shape}, pivot {pivot.shape}"
    centres = -np.einsum("vji,vj->vi", views[:, :3, :3], views[:, :3, 3])
    up = vertical(views)
    right, forward = _across(up, centres[0] - pivot)
    away = centres - pivot
    distance = np.linalg.norm(away, axis=1)
    elevation = float(np.median(np.arcsin(np.clip(away @ up / distance, -1, 1))))
    turns = np.sort(np.arctan2(away @ right, away @ forward))
    gaps = np.diff(np.append(turns, turns[0] + 2 * np.pi))
    widest = int(gaps.argmax())
    time = np.arange(count) / count
    if gaps[widest] > GAP and not all_round:
        first, span = turns[(widest + 1) % len(turns)], 2 * np.pi - gaps[widest]
        azimuth = first + span * (0.5 - 0.5 * np.cos(2 * np.pi * time))
    else:
        azimuth = 2 * np.pi * time
    level = np.cos(azimuth)[:, None] * forward + np.sin(azimuth)[:, None] * right
    stands = pivot + float(np.median(distance)) * (np.cos(elevation) * level + np.sin(elevation) * up)
    return np.stack([look_at(stand, pivot, up) for stand in stands])


def pivot_of(views: NDArray[np.float64], depths: NDArray[np.floating]) -> NDArray[np.float64]:
    """[3] what the photos look at: the mean of the points `depths` [V] before the cameras `views` [V, 4, 4]."""
    local = np.zeros((len(views), 3))
    local[:, 2] = depths
    return np.einsum("vji,vj->vi", views[:, :3, :3], local - views[:, :3, 3]).mean(0)


def look_at(centre: NDArray[np.float64], target: NDArray[np.float64], up: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4] world to camera, OpenCV axes: from `centre` to `target`, `up` upwards in the picture."""
    forward = (target - centre) / np.linalg.norm(target - centre)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    view = np.eye(4)
    view[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    view[:3, 3] = -view[:3, :3] @ centre
    return view


def _across(up: NDArray[np.float64], start: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two directions [3] level with each other; azimuth 0 is that of `start`."""
    forward = start - (start @ up) * up
    if np.linalg.norm(forward) < 1e-6 * np.linalg.norm(start):  # seen from straight above
        forward = np.eye(3)[np.abs(up).argmin()]
        forward = forward - (forward @ up) * up
    forward = forward / np.linalg.norm(forward)
    return np.cross(up, forward), forward
