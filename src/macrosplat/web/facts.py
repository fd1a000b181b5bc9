"""What the page's program has to know (see web/page.js): views, lens, limits, and millimetres.

In: a scene with its cameras and its lens. Out: JSON.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.records import Cameras
from macrosplat.output.lens_report import LensReport, describe
from macrosplat.output.subject import limits
from macrosplat.scene.gaussians import Gaussians

OPACITY_SEEN = 0.1  # Gaussians fainter than this do not count when the depth of the scene is sought


def facts_of(
    scene: Gaussians,
    cameras: Cameras,
    core: NDArray[np.bool_],  # [N]
    lens: LensReport | None,
    backdrop: tuple[float, float, float],
) -> dict[str, Any]:
    """Lengths in scene units, angles in degrees."""
    bounds = limits(scene, cameras, core)
    seen = core & (scene.opacity_logits.numpy() > float(np.log(OPACITY_SEEN / (1 - OPACITY_SEEN))))
    means = scene.means.double().numpy()
    means = means[seen] if seen.any() else means
    distance = float(np.median(np.linalg.norm(cameras.centres - np.array(bounds.target), axis=1)))
    depths = (means @ cameras.views[0, 2, :3]) + cameras.views[0, 2, 3]
    near, far = (float(depth) for depth in np.percentile(depths, [0.5, 99.5]))
    focus = dict(lens.focus_distances) if lens else {}
    if focus:
        near, far = min(near, *focus.values()), max(far, *focus.values())
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
        "target": bounds.target,
        "up": bounds.up,
        "radius": bounds.radius,
        "distances": [bounds.nearest, bounds.farthest],
        "polar": bounds.polar,
        "azimuth": bounds.azimuth,
        "zero": bounds.zero,
        "cropped": not bool(core.all()),
        "near": 0.02 * distance,
        "focus": float(np.median(list(focus.values()))) if focus else (near + far) / 2,
        "focus_range": [near - 0.1 * (far - near), far + 0.1 * (far - near)],
        # Without a lens of its own, one that shows what an aperture does: f/10 at 1:1, say.
        "pupil": lens.pupil_diameter if lens else 0.05 * distance,
        "f_times_pupil": number * lens.pupil_diameter if lens and number else None,
        "focal_px": lens.focal_px if lens else None,
        "mm_per_unit": lens.mm_per_unit if lens else None,
        "scale_uncertainty": lens.scale.uncertainty if lens and lens.mm_per_unit else None,
        "backdrop": [float(x) for x in backdrop],
    }
