"""`RUN/lens.json`: what the lens was found to be, in scene units, and in millimetres where the scale is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from macrosplat.output.calibrated import Breathing
from macrosplat.output.lens_file import File, Level, focal_mm
from macrosplat.output.millimetres import Scale, optics
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_json
from macrosplat.support.json import checked, load_json


@dataclass(frozen=True)
class Trust:
    """How far the lens and the sharp photos may be believed."""

    level: Level
    because: str | None = None


@dataclass(frozen=True)
class LensReport:
    """The learned lens of one capture."""

    pupil_diameter: float  # D, of the entrance pupil, scene units
    focus_distances: Mapping[str, float]  # d0 by photo name: pupil to plane of focus, along the axis, scene units
    sigma0_px: float  # blur that is left in perfect focus, standard deviation, px of the training size
    focal_px: float  # calibrated fx at the training size
    mm_per_unit: float | None = None  # None: the scale is not known (cameras found from the photos)
    focal_mm: float | None = None  # EXIF
    # Pupil diameters by photo name, relative to `pupil_diameter`, where the f-number varied; 1 where not named.
    relative_apertures: Mapping[str, float] = field(default_factory=dict)
    # log2 of the gains in linear light (red, green, blue) by photo name; mean 0 over the photos of the capture.
    exposure_stops: Mapping[str, Sequence[float]] = field(default_factory=dict)
    scale: Scale = field(default_factory=Scale)  # where `mm_per_unit` comes from
    magnification: float | None = None  # from calibrated cameras and the sensor; None: by the focal length
    notes: tuple[str, ...] = ()  # sentences: contradictions, limits
    trust: Trust | None = None  # None: not judged
    breathing: Breathing | None = None  # None: not seen in these photos
    # By how much farther than green red and blue are in focus, scene units; None: not seen in these photos.
    colour_focus: tuple[float, float] | None = None
    colour_uncertainty: tuple[float, float] | None = None  # their standard deviations
    vignetting: float | None = None  # stops lost in the corner; None: not seen in these photos
    vignetting_uncertainty: float | None = None
    # By how much farther than the middle the corner is in focus, scene units; None: not seen in these photos.
    corner_focus: float | None = None
    corner_uncertainty: float | None = None  # its standard deviation
    # By how much red and blue are magnified more than green, relative; None: not seen in these photos.
    lateral: tuple[float, float] | None = None
    lateral_uncertainty: tuple[float, float] | None = None
    pupil_uncertainty: float | None = None  # relative standard deviation
    focus_uncertainty: Mapping[str, float] = field(default_factory=dict)  # relative standard deviations, by photo name
    corner_distortion: float | None = None  # displacement of the corner, relative; None: a pinhole's cameras
    distortion_uncertainty: float | None = None
    # Of the diaphragm: how many, by how many degrees a corner is turned clockwise from pointing upwards, and how
    # straight they are, 0 to 1; None: not seen in these photos.
    blades: tuple[int, float, float] | None = None
    blades_uncertainty: tuple[float, float] | None = None  # degrees, and of how straight they are
    cats_eye: float | None = None  # share of the pupil that is left in the corner; None: not seen in these photos
    cats_eye_uncertainty: float | None = None
    # px of the training size by which what a photo has in focus moved during its exposure, by photo name (None: not
    # seen in it); None: not looked for.
    motion_px: Mapping[str, float | None] | None = None
    motion_uncertainty: Mapping[str, float] = field(default_factory=dict)  # px, standard deviations of those


def write_lens(run: Run, report: LensReport) -> None:
    """Write `RUN/lens.json` atomically."""
    write_json(run.lens, describe(report))


def describe(report: LensReport) -> dict[str, Any]:
    """The report as JSON holds it; see the `about` texts for what the keys mean."""
    mm = report.mm_per_unit

    def length(value: float) -> dict[str, float | None]:
        return {"scene_units": float(value), "mm": None if mm is None else float(value * mm)}

    added = optics(mm, report.pupil_diameter, report.focal_px, report.focus_distances, report.relative_apertures)
    middle = float(np.median(list(report.focus_distances.values())))
    out: dict[str, Any] = {
        "about": {
            "uncertainty": "one standard deviation, besides mm_uncertainty: by the curvature of the loss and how its "
            "gradients differ, and by what runs with a known lens were off where the photos tell more than that",
            "pupil_diameter": "diameter of the entrance pupil",
            "sigma0": "blur left in perfect focus: standard deviation on the object, at the median focus distance",
            "sigma0_px": "the same in px of the training size",
            "focus_distance": "from the entrance pupil to the plane of focus, along the optical axis",
            "mm_uncertainty": "relative standard deviation of every mm below, where it can be told",
            "depth_of_field": "with circles of confusion of at most 1 px radius; null: unbounded",
            "relative_aperture": "pupil diameter of this photo / pupil_diameter",
            "exposure_stops": "how much brighter than the mean this photo was taken: red, green, blue",
            "trust": "how far all this may be believed: high, fair or low; trust_because says why",
            "breathing": "change of the focal length in px with the focus distance; null: not seen in these photos",
            "colour_focus": "how much farther than green red and blue are in focus (< 0: nearer), at the median focus "
            "distance; null: not seen in these photos",
            "vignetting": "stops of light lost in the corner of the photos; null: not seen in these photos",
            "blades": "of the diaphragm, as highlights behind the focus show it: count, degrees by which a corner is "
            "turned clockwise from pointing upwards, and how straight they are (1: a polygon, 0: round); null: not "
            "seen in these photos",
            "cats_eye": "share of the pupil that the lens's rims leave in the corner, where highlights are lemons; the "
            "light that it costs is part of vignetting; null: not seen in these photos",
            "field_curvature": "how much farther than the middle the corners are in focus (< 0: nearer); null: not "
            "seen in these photos, or not looked for (--thin.aberrations all)",
            "lateral_colour": "how much larger than green, relative, red and blue are taken; null: not seen in these "
            "photos",
            "distortion_at_corner": "displacement of a photo's corner, relative: < 0 barrel, > 0 pincushion; null: the "
            "cameras have none",
            "motion": "how many photos moved during their exposure; null: not looked for (--thin.motion on). Of a "
            "photo how far what it has in focus moved, in the mean over the frame, px of the training size and in "
            "lengths; null: not seen in it",
            "f_number": "focal length / pupil diameter, as on the lens; effective: as the light meter sees it, "
            "f_number * (1 + magnification); both for a symmetric lens",
            "f_number_uncertainty": "one standard deviation, that of the millimetres included",
        },
        "mm_per_unit": mm,
        "mm_per_unit_source": report.scale.source,
        "mm_uncertainty": report.scale.uncertainty,
        "trust": report.trust.level if report.trust else None,
        "trust_because": report.trust.because if report.trust else None,
        "notes": list(report.notes),
        "pupil_diameter": _give_or_take(report.pupil_diameter, report.pupil_uncertainty, length),
        "sigma0": length(report.sigma0_px * middle / report.focal_px),
        "sigma0_px": float(report.sigma0_px),
        "focal_px": float(report.focal_px),
        **f_numbers(report, middle),
        "f_number_uncertainty": f_number_uncertainty(report, middle),
        "breathing": _breathing(report),
        "colour_focus": _colours(report, length),
        "vignetting": report.vignetting,
        "vignetting_uncertainty": report.vignetting_uncertainty,
        "blades": _blades(report),
        "cats_eye": report.cats_eye,
        "cats_eye_uncertainty": report.cats_eye_uncertainty,
        "field_curvature": None
        if report.corner_focus is None
        else length(report.corner_focus)
        | {"uncertainty": None if report.corner_uncertainty is None else length(report.corner_uncertainty)},
        "lateral_colour": _lateral(report),
        "distortion_at_corner": report.corner_distortion,
        "distortion_uncertainty": report.distortion_uncertainty,
        "motion": None if report.motion_px is None else {"photos": len(motions(report)), "of": len(report.motion_px)},
        "photos": [
            {
                "photo": name,
                "focus_distance": _give_or_take(value, report.focus_uncertainty.get(name), length),
                "relative_aperture": float(report.relative_apertures.get(name, 1.0)),
                "exposure_stops": [float(x) for x in report.exposure_stops.get(name, (0.0, 0.0, 0.0))],
                "motion": _motion(report, name, value, length),
                **added[name],
            }
            for name, value in report.focus_distances.items()
        ],
    }
    return out


def _give_or_take(value: float, relative: float | None, length: Callable[[float], Any]) -> dict[str, Any]:
    return length(value) | ({} if relative is None else {"uncertainty": length(relative * value)})


def _breathing(report: LensReport) -> dict[str, float | None] | None:
    found, mm = report.breathing, report.mm_per_unit
    if found is None:
        return None
    percent = {"percent_per_scene_unit": found.per_unit, "percent_per_mm": None if mm is None else found.per_unit / mm}
    sure = found.uncertainty / abs(found.per_unit)
    return {**{k: None if v is None else 100 * v for k, v in percent.items()}, "relative_uncertainty": sure}


def motions(report: LensReport) -> dict[str, float]:
    """px of the training size, of the photos that are known to have moved."""
    return {name: px for name, px in (report.motion_px or {}).items() if px is not None}


def _motion(report: LensReport, name: str, focus: float, length: Callable[[float], Any]) -> dict[str, Any] | None:
    px = motions(report).get(name)
    if px is None:
        return None
    sure = report.motion_uncertainty.get(name)
    return {
        "px": px,
        "uncertainty_px": sure,
        **length(px * focus / report.focal_px),
    }


def _colours(report: LensReport, length: Callable[[float], Any]) -> dict[str, Any] | None:
    if report.colour_focus is None:
        return None
    sure = report.colour_uncertainty or (None, None)
    return {
        name: length(value) | {"uncertainty": None if sigma is None else length(sigma)}
        for name, value, sigma in zip(("red", "blue"), report.colour_focus, sure, strict=True)
    }


def _lateral(report: LensReport) -> dict[str, Any] | None:
    if report.lateral is None:
        return None
    sure = report.lateral_uncertainty or (None, None)
    return {
        name: {"larger": share, "uncertainty": sigma}
        for name, share, sigma in zip(("red", "blue"), report.lateral, sure, strict=True)
    }


def _blades(report: LensReport) -> dict[str, Any] | None:
    if report.blades is None:
        return None
    turned, straight = report.blades_uncertainty or (None, None)
    names = "count", "turned", "turned_uncertainty", "straight", "straight_uncertainty"
    return dict(zip(names, (*report.blades[:2], turned, report.blades[2], straight), strict=True))


def f_numbers(report: LensReport, focus: float) -> dict[str, float | None]:
    """None where focal length or scale are unknown, the pupil is shut, or the focus lies inside the focal length."""
    keys = ("f_number", "effective_f_number", "magnification")
    if report.mm_per_unit is None or report.focal_mm is None or report.pupil_diameter <= 0:
        return dict.fromkeys(keys)
    number, focus_mm = report.focal_mm / (report.pupil_diameter * report.mm_per_unit), focus * report.mm_per_unit
    if report.magnification is not None:
        m = report.magnification
        return dict(zip(keys, (number, number * (1 + m), m), strict=True))
    if focus_mm <= report.focal_mm:
        return {**dict.fromkeys(keys), "f_number": number}
    magnification = report.focal_mm / (focus_mm - report.focal_mm)
    return dict(zip(keys, (number, number * (1 + magnification), magnification), strict=True))


def f_number_uncertainty(report: LensReport, focus: float) -> float | None:
    """Its standard deviation; None: it is not known, or not how sure it is."""
    number = f_numbers(report, focus)["f_number"]
    if number is None or report.pupil_uncertainty is None:
        return None
    return number * float(np.hypot(report.pupil_uncertainty, report.scale.uncertainty or 0.0))


def believed(report: LensReport | None) -> bool:
    """Whether what rests on the lens may be said as it is; None: there is no lens that anything could rest on."""
    return report is None or report.trust is None or report.trust.level != "low"


def read_lens(run: Run) -> LensReport | None:
    """Read `RUN/lens.json` back; None where there is none (a run without a lens model).

    Raises:
        MacrosplatError: the file is not one that `write_lens` wrote.
    """
    path = run.lens
    if not path.is_file():
        return None
    found = checked(load_json(path, finite=True), File, str(path))
    focus = {one.photo: one.focus_distance.scene_units for one in found.photos}
    lengths = (found.focal_px, *focus.values(), *([] if found.mm_per_unit is None else [found.mm_per_unit]))
    if not focus or min(lengths) <= 0 or any(len(one.exposure_stops) != 3 for one in found.photos):
        raise MacrosplatError(
            f"{path} is no lens report of macrosplat: a length in it is not positive, or a photo lacks something."
        )
    colour, lateral, field, blades = found.colour_focus, found.lateral_colour, found.field_curvature, found.blades
    return LensReport(
        pupil_diameter=found.pupil_diameter.scene_units,
        focus_distances=focus,
        sigma0_px=found.sigma0_px,
        focal_px=found.focal_px,
        mm_per_unit=found.mm_per_unit,
        relative_apertures={one.photo: one.relative_aperture for one in found.photos},
        exposure_stops={one.photo: tuple(one.exposure_stops) for one in found.photos},
        scale=Scale(found.mm_per_unit, found.mm_per_unit_source or "unknown", found.mm_uncertainty),
        notes=tuple(found.notes),
        trust=Trust(found.trust, found.trust_because) if found.trust else None,
        focal_mm=focal_mm(found),
        magnification=found.magnification,
        breathing=found.breathing and found.breathing.read(),
        colour_focus=colour and (colour.red.scene_units, colour.blue.scene_units),
        colour_uncertainty=colour and _both(colour.red.sure(), colour.blue.sure()),
        vignetting=found.vignetting,
        vignetting_uncertainty=found.vignetting_uncertainty,
        corner_focus=field and field.scene_units,
        corner_uncertainty=field and field.sure(),
        lateral=lateral and (lateral.red.larger, lateral.blue.larger),
        lateral_uncertainty=lateral and _both(lateral.red.uncertainty, lateral.blue.uncertainty),
        pupil_uncertainty=found.pupil_diameter.relative(),
        focus_uncertainty={
            one.photo: sure for one in found.photos if (sure := one.focus_distance.relative()) is not None
        },
        corner_distortion=found.distortion_at_corner,
        distortion_uncertainty=found.distortion_uncertainty,
        blades=blades and (blades.count, blades.turned, blades.straight),
        blades_uncertainty=blades and _both(blades.turned_uncertainty, blades.straight_uncertainty),
        cats_eye=found.cats_eye,
        cats_eye_uncertainty=found.cats_eye_uncertainty,
        motion_px=found.motion and {one.photo: one.motion and one.motion.px for one in found.photos},
        motion_uncertainty={
            one.photo: sure for one in found.photos if one.motion and (sure := one.motion.uncertainty_px) is not None
        },
    )


def _both(one: float | None, other: float | None) -> tuple[float, float] | None:
    return None if one is None or other is None else (one, other)
