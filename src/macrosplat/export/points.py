"""The surface of a scene as a point cloud: of the Gaussians that the photos show, with normals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.cameras.records import Cameras
from macrosplat.export.point_file import write_points
from macrosplat.output.coverage import visible
from macrosplat.render import Pinhole
from macrosplat.render.project_reference import rotations
from macrosplat.scene.gaussians import SH_C0, Gaussians

WIDEST = 320  # px at which it is asked what can be seen
LEAST_PX = 0.25  # of all photos together that a Gaussian makes: less is nothing that anybody sees
SHOWN = 0.2  # of a Gaussian's own light that some view shows of it: what lies deeper is inside the object


def write_surface_points(path: Path, scene: Gaussians, cameras: Cameras, unit: float = 1.0) -> int:
    """Write the Gaussians that the photos show, with normals; how many they are.

    A normal is the shortest axis of its Gaussian, towards the camera that sees most of it.

    Args:
        scene: its colours are sRGB. unit: by which lengths are multiplied.
    """
    scene = scene.detach().map(lambda t: t.cpu())
    total, share, towards = _seen(scene, cameras)
    kept = (total >= LEAST_PX) & (share >= SHOWN)
    normals = shortest_axes(scene)
    normals *= np.where((normals * towards).sum(1, keepdims=True) < 0, -1, 1)
    rgb = np.rint(255 * (0.5 + SH_C0 * scene.sh0.numpy())).clip(0, 255).astype(np.uint8)
    write_points(path, unit * scene.means.numpy()[kept], rgb[kept], normals[kept])
    return int(kept.sum())


def _seen(scene: Gaussians, cameras: Cameras) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Of each of N Gaussians: px [N] that it makes in all photos, the most of it [N] that one of them shows, and the
    direction [N, 3] to the camera that shows most."""
    n, means = len(scene), scene.means.double().numpy()
    total, best, most = np.zeros(n, np.float32), np.zeros(n, np.float32), np.zeros(n, np.float32)
    towards = np.zeros((n, 3))
    for view, (fx, fy, cx, cy), (width, height), centre in zip(
        cameras.views, cameras.intrinsics, cameras.sizes, cameras.centres, strict=True
    ):
        factor = min(1.0, WIDEST / max(width, height))
        pinhole = Pinhole(float(fx), float(fy), float(cx), float(cy), int(width), int(height), near=1e-6)
        pinhole = pinhole.scaled(max(1, round(width * factor)), max(1, round(height * factor)))
        light, alone, _, _ = visible(scene, pinhole.at(torch.tensor(view, dtype=torch.float32)))
        shown = light.numpy()
        total += shown
        best = np.maximum(best, (light / alone.clamp_min(1e-12)).numpy())
        more = shown > most
        most[more] = shown[more]
        towards[more] = centre - means[more]
    return total, best, towards


def shortest_axes(scene: Gaussians) -> NDArray[np.float64]:
    """[N, 3] unit vectors."""
    axes = rotations(scene.quats.double()).mT.numpy()
    return axes[np.arange(len(scene)), scene.log_scales.argmin(1).numpy()]
