"""Coverage for people: `RUN/coverage.json`, and the sentences that tell a photographer where to focus next.

In: a `Coverage`, the lens as it was found. Out: a `CoverageReport`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from macrosplat.output.coverage import ENOUGH, UNIT_PX, Coverage, Further
from macrosplat.run import Run
from macrosplat.support.files import write_json

NAMED = 3  # photos that a sentence proposes; the others stand in coverage.json


@dataclass(frozen=True)
class Advice:
    """A photo to be taken."""

    photo: str  # from where this one was taken
    focus: float  # scene units, from the entrance pupil
    farther: float  # than that photo was focused, scene units; < 0: nearer
    gain: float  # share of what most photos have in the frame


@dataclass(frozen=True)
class CoverageReport:
    """What no photo has in focus, and what to do about it."""

    uncovered: float  # share of what most photos have in the frame
    advice: tuple[Advice, ...] = ()


def report_coverage(coverage: Coverage, further: Sequence[Further], focus: Mapping[str, float]) -> CoverageReport:
    """Args: focus: V focus distances by photo name, in the order of the views, scene units."""
    names = list(focus)
    advice = [Advice(names[f.view], f.focus, f.focus - focus[names[f.view]], f.gain) for f in further]
    return CoverageReport(coverage.uncovered, tuple(advice))


def write_coverage(run: Run, report: CoverageReport, mm: float | None, trust: str | None = None) -> None:
    """Write `RUN/coverage.json` atomically.

    Args:
        trust: how far the lens may be believed, on which all of it rests.
    """

    def length(value: float) -> dict[str, float | None]:
        return {"scene_units": value, "mm": None if mm is None else value * mm}

    about = {
        "uncovered": "share of what most photos have in the frame that none of them has in focus",
        "in focus": f"circle of confusion of at most {UNIT_PX:g} px radius, px of the training width",
        "trust": "how far the lens may be believed, on which all of this rests: high, fair or low (lens.json says why)",
        "further_photos": "that would change this most: where to take them from, and where to focus",
    }
    further = [
        {"from": a.photo, "focus_distance": length(a.focus), "farther": length(a.farther), "share": a.gain}
        for a in report.advice
    ]
    found = {"trust": trust, "uncovered": report.uncovered, "further_photos": further}
    write_json(run.coverage, {"about": about, **found})


def read_coverage(run: Run) -> CoverageReport | None:
    """Read `RUN/coverage.json` back; None where there is none, or where it is not one that `write_coverage` wrote."""
    try:
        found = json.loads(run.coverage.read_text(encoding="utf-8"))
        further = [
            Advice(a["from"], a["focus_distance"]["scene_units"], a["farther"]["scene_units"], a["share"])
            for a in found["further_photos"]
        ]
        return CoverageReport(float(found["uncovered"]), tuple(further))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def sentences(report: CoverageReport, mm: float | None, named: int = NAMED) -> list[str]:
    """What a photographer should know."""
    share = report.uncovered
    if share <= ENOUGH:
        return [f"{_percent(1 - share)} of what most photos have in the frame is in focus in at least one of them."]
    left = share - sum(a.gain for a in report.advice)
    digits = 1 if _percent(share) == _percent(left) else 0  # a photo that brings little brings something
    what = (
        f"{_percent(share, digits)} of what most photos have in the frame is in focus in none of them and stays blurred"
    )
    if not report.advice:
        return [f"{what}; it lies scattered (maps/coverage_colour, red)."]
    count = len(report.advice)
    more = "1 more photo" if count == 1 else f"{count} more photos"
    from_one = by_photo(report.advice)
    where = "; ".join(_place(photo, one, mm) for photo, one in list(from_one.items())[:named])
    rest = sum(len(one) for one in list(from_one.values())[named:])
    others = f"; the other {rest} stand in coverage.json" if rest else ""
    return [f"{what} (maps/coverage_colour, red): {more} would leave {_percent(left, digits)}: {where}{others}."]


def by_photo(advice: Sequence[Advice]) -> dict[str, list[Advice]]:
    """The photos to be taken, by the one that was taken from there; those that bring most first."""
    found: dict[str, list[Advice]] = {}
    for one in advice:
        found.setdefault(one.photo, []).append(one)
    gain = {photo: sum(one.gain for one in those) for photo, those in found.items()}
    return {photo: sorted(found[photo], key=lambda one: one.farther) for photo in sorted(found, key=lambda p: -gain[p])}


def _place(photo: str, advice: Sequence[Advice], mm: float | None) -> str:
    unit, scale = ("mm", mm) if mm is not None else ("scene units", 1.0)
    parts = []
    for word, those in {
        "nearer": [a for a in advice if a.farther < 0],
        "farther": [a for a in advice if a.farther >= 0],
    }.items():
        if those:
            by, at = _series([abs(a.farther) * scale for a in those]), _series([a.focus * scale for a in those], 4)
            parts.append(f"{by} {unit} {word} (at {at})")
    return f"from where {photo} was taken, focused {' and '.join(parts)}"


def _series(values: Sequence[float], digits: int = 2) -> str:
    """`0.4, 0.9 and 1.3`."""
    words = [f"{value:.{digits}g}" for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _percent(share: float, digits: int = 0) -> str:
    return f"{max(0.0, 100 * share):.{digits}f} %"
