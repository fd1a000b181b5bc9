"""Millimetres per scene unit of a run that has learned: by what the user says, by coded targets, or by EXIF.

In: the run, its model and final cameras. Out: a `Scale`, and sentences.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.targets import TargetScale, read_sizes, scale_by
from macrosplat.cameras.undistort import colmap_camera
from macrosplat.capture.read_targets import read_kept
from macrosplat.capture.records import TrainingInput
from macrosplat.model.model import Model
from macrosplat.output.millimetres import Scale, find_scale
from macrosplat.output.surface import surface_of
from macrosplat.render import Camera
from macrosplat.run import Run

DIFFERENT = 0.03  # between targets and what the user says: more is worth a sentence


def scale_of(
    run: Run, model: Model, shown: Sequence[Camera], given: TrainingInput, focus: Sequence[float]
) -> tuple[Scale, tuple[str, ...]]:
    """The scale, and what is odd about it.

    Args:
        shown: V cameras of the photos at the training width.
        given: with the final cameras.
        focus: V focus distances, scene units.
    """
    options, targets = run.manifest.options, by_targets(run, given.cameras)

    def surface(name: str, px: NDArray[np.float64]) -> NDArray[np.float64]:
        v = given.cameras.names.index(name)
        return points_at(model, shown[v], v, given.cameras, px)

    scale = find_scale(options.scale_mm, given.cameras, given.photos, focus, surface, targets)
    notes = targets.notes if targets is not None else ()
    if scale.mm_per_unit is None and options.scale_mm is not None:
        notes = (*notes, f"--scale-mm tells no scale: {scale.source}; point at the surface of the object.")
    told = targets.mm_per_unit if targets is not None else None
    if options.scale_mm is not None and told and scale.mm_per_unit and abs(told / scale.mm_per_unit - 1) > DIFFERENT:
        said = f"By {scale.source} a scene unit is {scale.mm_per_unit:.4g} mm, by the coded targets {told:.4g} mm."
        notes = (*notes, said)
    return scale, notes


def by_targets(run: Run, cameras: Cameras) -> TargetScale | None:
    """What the coded targets of a run tell; None: it has none."""
    options = run.manifest.options
    if options.targets is None or not run.targets.is_file():
        return None
    sizes = str(run.target_sizes) if run.target_sizes.is_file() else options.targets
    return scale_by(read_kept(run.targets), cameras, read_sizes(sizes))


@torch.no_grad()
def points_at(model: Model, shown: Camera, v: int, cameras: Cameras, px: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 3] the points of the scene at px [N, 2] of a photo as taken, at full size; nan where nothing is solid."""
    distortion, k = cameras.distortion[v], cameras.intrinsics[v]
    rays = (px - k[2:]) / k[:2]
    if distortion is not None:
        rays = np.asarray(colmap_camera(distortion).cam_from_img(px))
    depth = surface_of(model, shown, v).depth.cpu().numpy().astype(np.float64)
    width, height = shown.frame.width, shown.frame.height
    fx, fy, cx, cy = shown.intrinsics.tolist()
    x, y = rays[:, 0] * fx + cx, rays[:, 1] * fy + cy
    column, row = np.floor(x).astype(int).clip(0, width - 1), np.floor(y).astype(int).clip(0, height - 1)
    z = depth[row, column]
    to_world = np.linalg.inv(shown.view.cpu().numpy().astype(np.float64))
    points = np.column_stack([rays * z[:, None], z]) @ to_world[:3, :3].T + to_world[:3, 3]
    return np.where((z > 0)[:, None], points, np.nan)
