"""The lens in words, as photographers read it, each number with its standard deviation.

In: a `LensReport`. Out: the line of the summary, and what a table of the lens says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from macrosplat.output.lens_report import LensReport, f_number_uncertainty, f_numbers, motions
from macrosplat.output.millimetres import optics


def figures(value: float, count: int = 2) -> str:
    """A number with so many significant figures, never as a power of ten where a person reads it: 0.85, 18, 110."""
    return f"{float(f'{value:.{count}g}'):.10g}"


def give_or_take(value: float, sure: float | None, count: int = 2, sign: str = "") -> str:
    """A number and its standard deviation, both to the last digit that means something: 18.0 ± 0.9."""
    if sure is None or not 0 < sure < math.inf:
        text = figures(value, count)
        return f"+{text}" if sign and value > 0 else text
    # One figure of the standard deviation, two where that begins with a 1: 0.13 is not 0.1.
    lead = math.floor(math.log10(sure))
    places = 1 - lead if sure / 10.0**lead < 2 else -lead
    return f"{round(value, places):{sign}.{max(places, 0)}f} ± {round(sure, places):.{max(places, 0)}f}"


def in_words(report: LensReport) -> str:
    """The lens as photographers read it: f-number, magnification, depth of field and focus in mm where they are known,
    else pupil and focus in scene units, and what would give millimetres."""
    mm, focus = report.mm_per_unit, sorted(report.focus_distances.values())
    if mm is None:
        moved = terms(report)[MOTION]
        return (
            f"pupil {report.pupil_diameter:.3g} wide, focused at {focus[0]:.4g} to {focus[-1]:.4g} scene units "
            f"(--scale-mm would give millimetres){f'; {moved}' if moved else ''}"
        )
    middle, words = float(np.median(focus)), []
    known = f_numbers(report, middle)
    if known["f_number"] is not None:
        effective = known["effective_f_number"]
        number = give_or_take(known["f_number"], f_number_uncertainty(report, middle))
        words.append(f"f/{number}" + (f" (effective f/{figures(effective)})" if effective else ""))
    words.append(f"pupil {pupil(report)} mm")
    if known["magnification"] is not None:
        words.append(f"magnification {known['magnification']:.2f}")
    deep = depth_of_field_mm(report)
    if deep is not None:
        words.append(f"depth of field {figures(deep)} mm")
    words.append(f"focused at {figures(focus[0] * mm, 3)} to {figures(focus[-1] * mm, 3)} mm")
    for name, said in terms(report).items():
        if said is not None:
            words.append(f"{SHORT[name]} {said}" if name in SHORT else said)
    sure = f", give or take {100 * report.scale.uncertainty:.2g} %" if report.scale.uncertainty else ""
    return f"{', '.join(words)} (scale: {report.scale.source}{sure})"


def pupil(report: LensReport) -> str:
    """Its diameter, mm where they are known, else scene units."""
    wide = report.pupil_diameter * (report.mm_per_unit or 1.0)
    return give_or_take(wide, None if report.pupil_uncertainty is None else report.pupil_uncertainty * wide)


BREATHING, COLOUR, DARKER = "Focus breathing", "Longitudinal colour", "Vignetting"
FIELD, LATERAL, DISTORTION = "Curvature of field", "Lateral colour", "Distortion"
BLADES, CLIPPED, MOTION = "Blades", "Cat's eyes", "Motion during the exposure"
# What was looked for, by `--thin.aberrations` (`lens.terms.begins`), besides what the cameras say.
SOUGHT = {"off": (), "auto": (COLOUR, DARKER, LATERAL, CLIPPED), "all": (COLOUR, DARKER, FIELD, LATERAL, CLIPPED)}
CURVED = 0.7  # of a polygon: blades that are less straight are said to be curved
SHORT = {BREATHING: "breathing", DISTORTION: "distortion"}  # that do not say themselves what they are


def terms(report: LensReport) -> dict[str, str | None]:
    """By name what was found of the lens beyond its blur; None: it was not seen in these photos."""
    mm, unit = (report.mm_per_unit, "mm") if report.mm_per_unit else (1.0, "scene units")
    said: dict[str, str | None] = dict.fromkeys(
        (BREATHING, COLOUR, DARKER, FIELD, LATERAL, BLADES, CLIPPED, DISTORTION, MOTION)
    )

    def away(length: float, sure: float | None) -> str:
        far = give_or_take(abs(length) * mm, None if sure is None else sure * mm)
        return f"{far} {unit} {'farther' if length > 0 else 'nearer'}"

    if (found := report.breathing) is not None:
        slope = give_or_take(100 * found.per_unit / mm, 100 * found.uncertainty / mm, sign="+")
        said[BREATHING] = f"{slope} % a {unit.removesuffix('s')}"
    if report.colour_focus is not None:
        pairs = zip(report.colour_focus, report.colour_uncertainty or (None, None), strict=True)
        said[COLOUR] = "in focus {} (red) and {} (blue) than green".format(*(away(*pair) for pair in pairs))
    if report.vignetting is not None:
        said[DARKER] = f"{give_or_take(report.vignetting, report.vignetting_uncertainty)} stops darker in the corner"
    if report.corner_focus is not None:
        said[FIELD] = f"in focus {away(report.corner_focus, report.corner_uncertainty)} in the corner"
    if report.lateral is not None:
        pairs = zip(report.lateral, report.lateral_uncertainty or (None, None), strict=True)
        shares = (percent(*pair) for pair in pairs)
        said[LATERAL] = "red {} % and blue {} % larger than green".format(*shares)
    if report.blades is not None:
        count, turned, straight = report.blades
        by = give_or_take(turned, report.blades_uncertainty and report.blades_uncertainty[0])
        said[BLADES] = f"{count} {'curved ' if straight < CURVED else ''}blades, turned by {by}°"
    if report.cats_eye is not None:
        sure = None if report.cats_eye_uncertainty is None else 100 * report.cats_eye_uncertainty
        said[CLIPPED] = f"{give_or_take(100 * report.cats_eye, sure)} % of the pupil left in the corner"
    if report.corner_distortion is not None:
        corner = percent(report.corner_distortion, report.distortion_uncertainty)
        said[DISTORTION] = f"{corner} % at the corner"
    if moved := motions(report):
        said[MOTION] = f"{_photos_moved(report, moved)} moved during the exposure, by {_up_to(report, moved)}"
    return said


def _photos_moved(report: LensReport, moved: Mapping[str, float]) -> str:
    return f"{len(moved)} of {len(report.motion_px or ())} photos"


def _up_to(report: LensReport, moved: Mapping[str, float]) -> str:
    """px of the training size, and mm where they are known."""
    name, px = max(moved.items(), key=lambda one: one[1])
    mm = report.mm_per_unit and px * report.focus_distances[name] / report.focal_px * report.mm_per_unit
    far = give_or_take(px, report.motion_uncertainty.get(name))
    return f"{'up to ' if len(moved) > 1 else ''}{far} px" + (f" ({figures(mm)} mm)" if mm else "")


def percent(share: float, sure: float | None) -> str:
    return give_or_take(100 * share, None if sure is None else 100 * sure, sign="+")


def depth_of_field_mm(report: LensReport) -> float | None:
    """Of the median photo; None where it or the scale is unknown, or where it has no end."""
    mm = report.mm_per_unit
    added = optics(mm, report.pupil_diameter, report.focal_px, report.focus_distances, report.relative_apertures)
    deep = [one["depth_of_field"]["mm"] for one in added.values() if one["depth_of_field"]["mm"] is not None]
    return float(np.median(deep)) if deep else None
