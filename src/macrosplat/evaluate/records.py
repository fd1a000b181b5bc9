"""What an evaluation found, and what RUN/evaluation.json says of it.

In: comparisons photo by photo. Out: `Evaluation`, and the same as JSON takes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.evaluate.fine import Fine, together
from macrosplat.support.colmap import pycolmap
from macrosplat.support.metrics import Comparison, Scores, mean_scores

INPUT, DEBLURRED, NOVEL, HELD_OUT = "input photos", "deblurred photos", "novel views", "held-out photos"
ENLARGED = "enlarged renders"  # what the deblurred photos would be without work at their own size
OF_PHOTOS = (INPUT, DEBLURRED, ENLARGED)  # what is measured by the radius of the photo's circles of confusion


@dataclass(frozen=True)
class Section:
    """One kind of comparison, photo by photo."""

    photos: dict[str, Comparison]
    fine: dict[str, Fine] = field(default_factory=dict)  # of photos and what is made of them

    @property
    def frame(self) -> Scores:
        return mean_scores(c.frame for c in self.photos.values())

    @property
    def mask(self) -> Scores | None:
        """The mean over those photos that have a mask."""
        masked = [c.mask for c in self.photos.values() if c.mask is not None]
        return mean_scores(masked) if masked else None

    @property
    def outline(self) -> tuple[float, float] | None:
        """PSNR near the masks' outlines and on the rest of the masks, means over the photos that have both."""
        both = [(c.edge, c.inside) for c in self.photos.values() if c.edge is not None and c.inside is not None]
        return (float(np.mean([e for e, _ in both])), float(np.mean([i for _, i in both]))) if both else None


@dataclass(frozen=True)
class LensErrors:
    """The learned lens against the true one, mm."""

    pupil_diameter: float
    true_pupil_diameter: float
    focus: dict[str, tuple[float, float]]  # by photo: found, true

    @property
    def pupil_error(self) -> float:
        """Relative, signed."""
        return self.pupil_diameter / self.true_pupil_diameter - 1.0

    @property
    def focus_errors(self) -> NDArray[np.float64]:
        """[photos] absolute, mm."""
        return np.array([abs(found - true) for found, true in self.focus.values()])


@dataclass(frozen=True)
class Evaluation:
    """All figures of one run."""

    run: Path
    truth: Path
    width: int  # px, of the comparisons
    sections: dict[str, Section]
    radius_source: str | None = None  # who knows the circles of confusion: "truth" or "run"
    lens: LensErrors | None = None
    centre_errors: dict[str, float] | None = None  # by photo, % of the camera distance; None: cameras were given
    similarity: pycolmap.Sim3d | None = None  # truth to run, where cameras were not given
    focal_error: float | None = None  # of the run's focal length, relative, where cameras were not given
    notes: list[str] = field(default_factory=list)  # sentences: what could not be compared, and why


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """What evaluation.json holds."""

    def scores(s: Scores | None) -> dict[str, float] | None:
        return None if s is None else {name: value for name, value in vars(s).items() if value is not None}

    def both(x: Section | Comparison) -> dict[str, Any]:
        out: dict[str, Any] = {"frame": scores(x.frame), "mask": scores(x.mask)}
        edge = x.outline if isinstance(x, Section) else (x.edge, x.inside)
        return out | dict(zip(("outline_psnr", "inside_psnr"), edge, strict=True)) if edge else out

    def finer(x: Fine) -> dict[str, Any]:
        by_radius = {"psnr_by_radius": x.psnr(), "sharpness_by_radius": x.sharpness_by_radius(), "pixels": x.pixels}
        return by_radius | {"sharpness": x.sharpness, "likeness": x.likeness}

    lens, errors = evaluation.lens, evaluation.centre_errors
    out: dict[str, Any] = {
        "run": str(evaluation.run),
        "truth": str(evaluation.truth),
        "width": evaluation.width,
        "radius": evaluation.radius_source,
        "means": {title: {"photos": len(s.photos), **both(s)} for title, s in evaluation.sections.items()},
    }
    for title, s in evaluation.sections.items():
        if s.fine:
            out["means"][title]["fine"] = finer(together(s.fine.values()))
    if lens is not None:
        out["lens"] = {
            "pupil_diameter_mm": lens.pupil_diameter,
            "true_pupil_diameter_mm": lens.true_pupil_diameter,
            "relative_error": lens.pupil_error,
            "focus_error_mm": _summary(lens.focus_errors),
            "focus_mm": {name: {"found": found, "true": true} for name, (found, true) in lens.focus.items()},
        }
    if errors is not None:
        out["camera_centre_error_percent"] = {**_summary(np.array(list(errors.values()))), "photos": errors}
    if evaluation.similarity is not None:
        out["truth_to_run_scale"] = float(evaluation.similarity.scale)
        out["focal_length_relative_error"] = evaluation.focal_error
    out["notes"] = evaluation.notes
    out["photos"] = {
        title: {
            name: both(c) | ({"fine": finer(s.fine[name])} if name in s.fine else {}) for name, c in s.photos.items()
        }
        for title, s in evaluation.sections.items()
    }
    return out


def _summary(errors: NDArray[np.float64]) -> dict[str, float]:
    return {"median": float(np.median(errors)), "largest": float(errors.max())}
