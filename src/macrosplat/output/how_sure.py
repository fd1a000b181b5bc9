"""How sure what is said of a lens is: what the photos tell (`term_uncertainty`), and what runs with a known lens were
off where the photos told more than that (experiments: how-sure).

In: `Told`, what was found of the lens, its cameras. Out: standard deviations as `LensReport` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.breathes import LEAST_SURE, differ
from macrosplat.cameras.records import Cameras
from macrosplat.lens import LensEstimate
from macrosplat.lens.rim import RimTold
from macrosplat.model.exposure import LN2
from macrosplat.output.term_uncertainty import Told

# The scene is held while the curvature is taken. It gives way: foci are off, from what is common to all photos, by so
# many times as much as the curvature says.
GIVES = 1.6
# What all photos share and a scene can take over, px of the training width: radii of circles of confusion, how those of
# the colours and of the corner differ from it, how far red and blue are out in the corner; stops in the corner; pupil
# radii that rims reach into it there.
RADIUS, COLOUR, FIELD, LATERAL, STOPS, CLIPPED = 0.25, 0.1, 0.4, 0.1, 0.05, 0.02
DISTORTED = 0.25  # px of the photos as taken, in the corner
# Relative, under cameras found from the photos, besides: of the pupil, and of a focus distance.
PUPIL_FOUND, FOCUS_FOUND = 0.08, 4e-3
# Of b, by how much of the focus a lens breathes, where its photos do not tell: 0.5 at life size if it keeps its focal
# length, less if it shortens.
UNTOLD = 0.35
WHOLE = 1.0  # relative: what is less sure is as unsure as it is large


def uncertainties(
    told: Told,
    lens: LensEstimate,
    cameras: Cameras,
    focal_px: float,  # at the training width
    blur_px: float,  # median radius of what the photos show
    rim: RimTold | None = None,  # of a pupil that has blades
) -> dict[str, Any]:
    """Standard deviations of the lens's numbers, as the report has them; only of those that are said."""
    focus = np.asarray(lens.focus_distances)
    slope = lens.pupil_diameter / 2 * focal_px / focus  # [V] px that a radius changes per relative focus distance
    found: dict[str, Any] = {
        "pupil_uncertainty": pupil_uncertainty(told.pupil, blur_px, cameras),
        "focus_uncertainty": dict(
            zip(cameras.names, focus_uncertainties(told.focus, slope, focus, cameras).tolist(), strict=True)
        ),
    }
    # px where green, or the middle, is in focus -> 1 / scene units -> scene units of focus distance
    unit = 2 / (lens.pupil_diameter * focal_px) * float(np.median(focus)) ** 2
    width, height = cameras.sizes[0]
    corner_px = float(np.hypot(width, height)) / 2 * lens.width_px / float(width)
    if lens.colour_offsets is not None:
        red, blue = unit * _deviations(told, "lens.colour", COLOUR)
        found["colour_uncertainty"] = (float(red), float(blue))
    if lens.vignetting is not None:
        alone = told.terms.get("lens.vignetting")  # None: cat's eyes are all of it
        sure = 0.0 if alone is None else GIVES * float(alone.sum()) ** 0.5 / LN2
        found["vignetting_uncertainty"] = float(np.hypot(sure, STOPS))
    if lens.corner_offset is not None:
        found["corner_uncertainty"] = float(unit * _deviations(told, "lens.curvature", FIELD)[0])
    if lens.lateral_px is not None:
        red, blue = _deviations(told, "lens.lateral", LATERAL) / corner_px
        found["lateral_uncertainty"] = (float(red), float(blue))
    if lens.cats_eye is not None:
        # Of a lemon's area, by how far apart its discs are.
        slope = 4 / np.pi * np.sqrt(1 - lens.cats_eye**2)
        found["cats_eye_uncertainty"] = float(slope * _deviations(told, "lens.cats_eye", CLIPPED)[0])
    if lens.blades is not None and rim is not None:
        count, _, straight = lens.blades
        sure = GIVES * rim.blades(round(count))[1]
        found["blades_uncertainty"] = (float(np.degrees(sure / (count * straight))), sure)
    if any(cameras.distortion):
        corner = float(np.median(np.hypot(*cameras.sizes.T))) / 2
        found["distortion_uncertainty"] = float(np.hypot(GIVES * told.corner, DISTORTED / corner))
    return {name: value for name, value in found.items() if isinstance(value, dict) or np.isfinite(value).all()}


def _deviations(told: Told, name: str, least: float) -> NDArray[np.float64]:
    """[n] px."""
    return np.hypot(GIVES * np.sqrt(np.diag(told.terms[name])), least)


def pupil_uncertainty(told: float, blur_px: float, cameras: Cameras) -> float:
    """Relative standard deviation of the pupil's diameter: radii that are all off by as much tell a pupil that is."""
    of_scene = RADIUS / max(blur_px, RADIUS)
    found = PUPIL_FOUND if cameras.source == "sfm" else 0.0
    return min(WHOLE, float(np.hypot(np.hypot(GIVES * told, of_scene), found)))


def focus_uncertainties(
    told: NDArray[np.float64],  # [V]
    slope: NDArray[np.float64],  # [V] px that a radius changes per relative focus distance
    focus: Sequence[float] | NDArray[np.float64],  # [V]
    cameras: Cameras,
) -> NDArray[np.float64]:
    """[V] relative standard deviations of focus distances.

    Cameras that are found from the photos step back where a lens breathes, and the focus with them: by as much as its
    focal length changes.
    """
    sure = np.hypot(GIVES * told, RADIUS / np.maximum(slope, RADIUS))
    if cameras.source == "sfm":
        magnified = cameras.intrinsics[:, 0] / cameras.sizes.max(1) / np.asarray(focus)
        apart = magnified / magnified.mean() - 1
        sure = np.hypot(sure, np.hypot((LEAST_SURE if differ(cameras) else UNTOLD) * apart, FOCUS_FOUND))
    return np.minimum(sure, WHOLE)
