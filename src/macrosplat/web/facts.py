"""What the page's program has to know (see web/page.js): views, lens, limits, and millimetres.

In: a scene with its cameras and its lens. Out: JSON.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.records import Cameras
from macrosplat.output.focus_range import focus_range, means_seen
from macrosplat.output.lens_report import LensReport, describe
from macrosplat.output.subject import limits
from macrosplat.scene.gaussians import Gaussians

AS_GOOD = 0.02  # of the object: photos that have as much of it in the frame as the best one, but for that
RIM = 0.05  # of the frame, in which nothing of the object should lie
STRAYS = 0.5  # % of the object's Gaussians, nearest and farthest, that say nothing of where it lies


def facts_of(
    scene: Gaussians,
    cameras: Cameras,
    core: NDArray[np.bool_],  # [N]
    lens: LensReport | None,
    backdrop: tuple[float, float, float],
) -> dict[str, Any]:
    """Lengths in scene units, angles in degrees."""
    bounds = limits(scene, cameras, core)
    distance = float(np.median(np.linalg.norm(cameras.centres - np.array(bounds.target), axis=1)))
    focus = dict(lens.focus_distances) if lens else {}
    seen = means_seen(scene, core)
    first = whole_view(seen, cameras)
    between = focus_range(seen, cameras.views[first], list(focus.values()), STRAYS)
    number = describe(lens)["f_number"] if lens else None
    photos = []
    for name, view, (fx, _, cx, cy), (width, height) in zip(
        cameras.names, cameras.views, cameras.intrinsics, cameras.sizes, strict=True
    ):
        name = name.removeprefix("photos/")
        photos.append(
            {
                "name": name,
                "view": view.reshape(-1).tolist(),
                "fov_x": float(np.degrees(2 * np.arctan(width / 2 / fx))),
                "aspect": float(width / height),
                "size": [int(width), int(height)],
                "off_axis": [float(1 - 2 * cx / width), float(2 * cy / height - 1)],
                "focus": focus.get(name),
                "relative_aperture": lens.relative_apertures.get(name, 1.0) if lens else 1.0,
            }
        )
    return {
        "photos": photos,
        "first": first,
        "target": bounds.target,
        "up": bounds.up,
        "radius": bounds.radius,
        "distances": [bounds.nearest, bounds.farthest],
        "polar": bounds.polar,
        "azimuth": bounds.azimuth,
        "zero": bounds.zero,
        "cropped": not bool(core.all()),
        "near": 0.02 * distance,
        "focus": between.start,
        "focus_range": [between.nearest, between.farthest],
        # Without a lens of its own, one that shows what an aperture does: f/10 at 1:1, say.
        "pupil": lens.pupil_diameter if lens else 0.05 * distance,
        "f_times_pupil": number * lens.pupil_diameter if lens and number else None,
        "focal_px": lens.focal_px if lens else None,
        "mm_per_unit": lens.mm_per_unit if lens else None,
        "scale_uncertainty": lens.scale.uncertainty if lens and lens.mm_per_unit else None,
        "backdrop": [float(x) for x in backdrop],
    }


def whole_view(points: NDArray[np.floating], cameras: Cameras) -> int:
    """The first photo that has (nearly) as much of the object in its frame as any: what a page opens with.

    Args: points: [N, 3] of the object, world.
    """
    shares = []
    for view, (fx, fy, cx, cy), (width, height) in zip(cameras.views, cameras.intrinsics, cameras.sizes, strict=True):
        x, y, z = (points @ view[:3, :3].T + view[:3, 3]).T
        u, v = fx * x / np.where(z > 0, z, 1) + cx, fy * y / np.where(z > 0, z, 1) + cy
        inside = (z > 0) & (abs(u / width - 0.5) < 0.5 - RIM) & (abs(v / height - 0.5) < 0.5 - RIM)
        shares.append(float(inside.mean()) if len(points) else 0.0)
    return int(np.argmax(np.array(shares) >= max(shares) - AS_GOOD))
