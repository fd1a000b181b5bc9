"""How sure runs say they are of the lens, against how far they are off.

    python benchmarks/lens_uncertainty.py RUN TRUTH [RUN TRUTH ...]

RUN: finished. TRUTH: its capture, whose truth.json holds the lens (shared/data/README.md). Lengths are compared in
scene units where cameras were given in mm, else in mm as the cameras are aligned with the true ones: the scale, whose
uncertainty `mm_uncertainty` is, is left out. Prints error, standard deviation said and their ratio, of each number;
of focus distances the median, and the shares that are within one and two standard deviations.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from macrosplat.cameras.similarity import align_cameras
from macrosplat.evaluate.truth import key_of, open_truth
from macrosplat.output.lens_report import LensReport, read_lens
from macrosplat.run import Run


def main() -> None:
    paths = [Path(path) for path in sys.argv[1:]]
    every: list[float] = []
    for run, root in zip(paths[::2], paths[1::2], strict=True):
        report = read_lens(Run(run))
        assert report is not None, f"{run} has no lens"
        truth = json.loads((root / "truth.json").read_text())
        mm = millimetres(run, root)
        off, sure = foci(report, truth, mm)
        ratio = np.abs(off) / sure
        print(
            f"{run.name}: focus {np.median(np.abs(off)):.2f} of {np.median(sure):.2f} mm, within 1: "
            f"{100 * np.mean(ratio < 1):.0f} %, within 2: {100 * np.mean(ratio < 2):.0f} %, at most {ratio.max():.1f}"
        )
        for name, (error, sigma) in numbers(report, truth, mm).items():
            print(f"    {name}: {error:+.3g} of {sigma:.3g}, {abs(error) / sigma:.1f}")
            every.append(abs(error) / sigma)
    within = [100 * np.mean(np.array(every) < n) for n in (1, 2)]
    print(f"{len(every)} numbers: {within[0]:.0f} % within 1, {within[1]:.0f} % within 2")


def millimetres(run: Path, root: Path) -> float:
    """Of a scene unit."""
    cameras, true = Run(run).cameras(), open_truth(root).cameras
    if Run(run).manifest.camera_source != "sfm" or true is None:
        return 1.0
    of_key = {key_of(name)[-1]: name for name in true.names}
    both = {name: of_key[key_of(name)[-1]] for name in cameras.names}
    return 1 / float(align_cameras(true.select(list(both.values())), cameras.select(list(both))).scale)


def foci(report: LensReport, truth: dict, mm: float) -> tuple[np.ndarray, np.ndarray]:
    """[V] errors, and what is said of them, mm."""
    true = {photo["photo"]: photo["focus_mm"] for photo in truth["photos"]}
    off, sure = [], []
    for name, found in report.focus_distances.items():
        off.append(mm * found - true[key_of(name)[-1]])
        sure.append(mm * found * report.focus_uncertainty[name])
    return np.array(off), np.array(sure)


def numbers(report: LensReport, truth: dict, mm: float) -> dict[str, tuple[float, float]]:
    """Errors and standard deviations of what the run says of the lens."""
    out: dict[str, tuple[float, float]] = {}
    wide = truth["pupil_diameter_mm"]
    if report.pupil_uncertainty:
        out["pupil, %"] = 100 * (mm * report.pupil_diameter / wide - 1), 100 * report.pupil_uncertainty
    lens = truth.get("lens", {})
    focal = [photo.get("fl_x") for photo in truth["photos"]]
    if report.breathing is not None and all(focal):
        away = np.array([photo["focus_mm"] for photo in truth["photos"]])
        slope = np.polyfit(away - away.mean(), np.log(focal), 1)[0]
        out["breathing, % a mm"] = (
            100 * (report.breathing.per_unit / mm - slope),
            100 * report.breathing.uncertainty / mm,
        )
    if report.colour_focus is not None and report.colour_uncertainty is not None:
        true = lens.get("focus_offset_rgb_mm", (0.0, 0.0, 0.0))
        pairs = zip(("red", "blue"), (0, 2), report.colour_focus, report.colour_uncertainty, strict=True)
        for name, k, found, sigma in pairs:
            out[f"{name} farther, mm"] = mm * found - (true[k] - true[1]), mm * sigma
    if report.vignetting is not None and report.vignetting_uncertainty is not None:
        out["stops in the corner"] = (
            report.vignetting - (0.045 if lens.get("cos4") else 0.0),
            report.vignetting_uncertainty,
        )
    if report.corner_focus is not None and report.corner_uncertainty is not None:
        out["corner farther, mm"] = (
            mm * report.corner_focus - lens.get("focus_shift_at_corner_mm", 0.0),
            mm * report.corner_uncertainty,
        )
    if report.corner_distortion is not None and report.distortion_uncertainty is not None:
        corner = np.hypot(640, 480) / 2 / truth.get("nominal_fl_x", np.inf)
        true = lens.get("k1", 0.0) * corner**2
        out["distortion at the corner, %"] = (
            100 * (report.corner_distortion - true),
            100 * report.distortion_uncertainty,
        )
    return out


if __name__ == "__main__":
    main()
