"""Depth maps of a scene from all around it, and the field that they are fused into.

In: a run's scene and cameras. Out: stations (the photos' cameras, then some between and around them) with camera z per
pixel, scene units; a `Volume`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.export.orbit import orbit, pivot_of
from macrosplat.export.tsdf import NO_SURFACE, Volume
from macrosplat.render import Camera
from macrosplat.render.surface import surface_depth
from macrosplat.support.dispatch import choose
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.progress import Progress
from macrosplat.train.checkpoint import Checkpoint

MOST_VOXELS = 32_000_000  # of 8 bytes
MOST_PIXELS = 1_000_000  # of a depth map: a finer one than the voxels says nothing new
MOST_PIXELS_IN_ALL = 120_000_000  # of all depth maps, 4 bytes each
VOXEL, TRUNCATION = 1.0, 10.0  # px of the depth maps at the object: single maps are mostly within that
# Transmittance at which a ray has met the surface. The surfaces of a trained scene are hazes some pixels deep, whose
# middle (0.5) lies behind what they stand for.
LEFT = 0.73
ORBIT_VIEWS = 12


@dataclass(frozen=True)
class Station:
    """Somewhere to look from, and what is seen."""

    camera: Camera
    depth: NDArray[np.float32]  # [H, W] camera z; 0 where nothing is

    def numbers(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """[4, 4] world to camera, [4] fx, fy, cx, cy in px of the map."""
        return self.camera.view.numpy().astype(np.float64), self.camera.intrinsics.numpy().astype(np.float64)


def look(state: Checkpoint, progress: Progress) -> list[Station]:
    """The scene from where the photos were taken, and from 12 places around."""
    device = choose("auto")
    gaussians = state.model.gaussians.detach().map(lambda t: t.to(device))
    cameras = _cameras(state)
    progress.stage("measuring depth", len(cameras))
    stations = []
    for camera in cameras:
        stations.append(Station(camera, surface_depth(gaussians, camera.to(device), LEFT).cpu().numpy()))
        progress.advance()
    return stations


def pixel_of(state: Checkpoint, stations: list[Station]) -> float:
    """Scene units of a pixel of the maps, at the object."""
    return state.pixel * state.model.rig.frames[0].width / stations[0].camera.frame.width


def fuse(
    stations: list[Station], low: NDArray, high: NDArray, pixel: float, progress: Progress, voxel: float = VOXEL
) -> Volume:
    """All maps in one field, over the box from `low` to `high` [3]."""
    volume = Volume.around(low, high, voxel * pixel, TRUNCATION * pixel, MOST_VOXELS)
    progress.stage("fusing depth", len(stations))
    for station in stations:
        volume.add(station.depth, *station.numbers())
        progress.advance()
    return volume


def box(stations: list[Station]) -> tuple[NDArray, NDArray]:
    """The corners [3] of a box that holds what the stations see, but for the farthest stragglers."""
    points = []
    for station in stations:
        view, k = station.numbers()
        rows, columns = np.nonzero(station.depth)
        step = max(1, len(rows) // 5000)
        rows, columns = rows[::step], columns[::step]
        z = station.depth[rows, columns].astype(np.float64)
        local = np.stack([(columns + 0.5 - k[2]) / k[0] * z, (rows + 0.5 - k[3]) / k[1] * z, z], 1)
        points.append((local - view[:3, 3]) @ view[:3, :3])
    found = np.concatenate(points) if points else np.empty((0, 3))
    if not len(found):
        raise MacrosplatError(NO_SURFACE)
    low, high = np.percentile(found, [0.5, 99.5], axis=0)
    margin = 0.03 * float((high - low).max())
    return low - margin, high + margin


def _cameras(state: Checkpoint) -> list[Camera]:
    model = state.model
    out = [_limited(camera, len(state.names)) for camera in model.cameras()]
    views = np.stack([camera.view.numpy() for camera in out]).astype(np.float64)
    around = orbit(views, pivot_of(views, model.rig.pivot_depth.numpy()), ORBIT_VIEWS)
    return out + [out[0].at(torch.tensor(view, dtype=torch.float32)) for view in around]


def _limited(camera: Camera, photos: int) -> Camera:
    most = min(MOST_PIXELS, MOST_PIXELS_IN_ALL / (photos + ORBIT_VIEWS))
    width, height = camera.frame.width, camera.frame.height
    factor = min(1.0, (most / (width * height)) ** 0.5)
    return camera.scaled(round(width * factor), round(height * factor))
