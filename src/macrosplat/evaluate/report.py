"""An `Evaluation` as text for a terminal."""

from __future__ import annotations

import io
from pathlib import PurePosixPath

import numpy as np
from rich.console import Console
from rich.table import Table

from macrosplat.evaluate.fine import BUCKETS, together
from macrosplat.evaluate.records import DEBLURRED, INPUT, Evaluation
from macrosplat.photos.names import listed
from macrosplat.support.metrics import EDGE, Comparison, Scores


def table(evaluation: Evaluation) -> Table:
    """A row per section: means over its photos."""
    out = Table(title=f"{evaluation.run} against {evaluation.truth}, {evaluation.width} px wide", title_justify="left")
    out.add_column("")
    out.add_column("photos", justify="right")
    for where in ("frame", "mask"):
        for figure in ("PSNR dB", "SSIM", "FLIP"):
            out.add_column(f"{figure}\n{where}", justify="right")
    for title, section in evaluation.sections.items():
        out.add_row(title, str(len(section.photos)), *_cells(section.frame), *_cells(section.mask))
    return out


def fine_table(evaluation: Evaluation) -> Table | None:
    """A row per section that is of photos: PSNR by how blurred the photo was, and how sharp the pictures are."""
    sections = {title: section for title, section in evaluation.sections.items() if section.fine}
    if not sections:
        return None
    out = Table(
        title=f"PSNR dB by radius of the circle of confusion, px ({WHOSE[evaluation.radius_source]}); {FINEST}",
        title_justify="left",
    )
    for column in ("", *BUCKETS, "sharp, r < 1", "sharpness", "likeness"):
        out.add_column(column, justify="right" if column else "left")
    for title, section in sections.items():
        fine = together(section.fine.values())
        figures = [f"{fine.psnr()[bucket]:.2f}" if bucket in fine.psnr() else "–" for bucket in BUCKETS]
        focused = "–" if fine.sharpness_in_focus is None else f"{fine.sharpness_in_focus:.3f}"
        out.add_row(title, *figures, focused, f"{fine.sharpness:.3f}", f"{fine.likeness:.3f}")
    return out


# Who knows the radii.
WHOSE = {"truth": "true depth and lens", "run": "as the run found it", None: "not known"}
FINEST = "energy above half of the Nyquist frequency over the truth's, and its correlation with the truth's"


def sentences(evaluation: Evaluation) -> list[str]:
    """The lens, the cameras, and what could not be compared."""
    out, lens, errors = [], evaluation.lens, evaluation.centre_errors
    if lens is not None:
        away = lens.focus_errors
        out.append(
            f"Pupil diameter {lens.pupil_diameter:.2f} mm, true {lens.true_pupil_diameter:.2f} mm "
            f"({100 * lens.pupil_error:+.1f} %). Focus distance off by {np.median(away):.2f} mm in the median, "
            f"{away.max():.2f} mm at most."
        )
    deblurred = evaluation.sections.get(DEBLURRED)
    if deblurred is not None and deblurred.outline is not None:
        edge, inside = deblurred.outline
        out.append(
            f"Of the deblurred photos, what lies within {EDGE * evaluation.width:.0f} px of a mask's outline has "
            f"{edge:.2f} dB, the rest of the mask {inside:.2f} dB."
        )
    out += _worse(evaluation)
    if errors is not None and evaluation.focal_error is not None:
        away = np.array(list(errors.values()))
        out.append(
            f"Camera centres off by {np.median(away):.2f} % of their distance in the median, "
            f"{away.max():.2f} % at most, their focal length by {100 * evaluation.focal_error:+.2f} %."
        )
    return out + evaluation.notes


def _worse(evaluation: Evaluation) -> list[str]:
    """Whether a deblurred photo is farther from the truth than its photo was, on the mask (else the frame)."""

    def psnr(title: str) -> dict[PurePosixPath, float]:
        section = evaluation.sections.get(title)
        photos: dict[str, Comparison] = {} if section is None else section.photos
        return {PurePosixPath(name).with_suffix(""): (c.mask or c.frame).psnr for name, c in photos.items()}

    before, after = psnr(INPUT), psnr(DEBLURRED)
    lost = {name: before[name] - after[name] for name in after if name in before}
    worse = sorted((name for name, by in lost.items() if by > 0), key=lambda name: -lost[name])
    if not lost:
        return []
    if not worse:
        return ["No deblurred photo is worse than the photo was."]
    return [
        f"{len(worse)} of {len(lost)} deblurred photos are worse than the photos were: "
        f"{listed(f'{name} by {lost[name]:.2f} dB' for name in worse)}."
    ]


def as_text(evaluation: Evaluation, width: int = 110) -> str:
    """The table and the sentences, plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table(evaluation))
    if (finer := fine_table(evaluation)) is not None:
        console.print(finer)
    for sentence in sentences(evaluation):
        console.print(sentence, highlight=False)
    return console.file.getvalue()  # type: ignore[attr-defined]


def _cells(scores: Scores | None) -> tuple[str, str, str]:
    if scores is None:
        return "–", "–", "–"
    return f"{scores.psnr:.2f}", f"{scores.ssim:.4f}", f"{scores.flip:.4f}"
