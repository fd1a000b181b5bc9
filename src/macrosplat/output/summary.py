"""What a run came to, for the person who started it: where to look, what was found, what to do better.

In: the figures of a finished run. Out: a `Summary`, whose text is at most `MOST_LINES` lines at any width.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from macrosplat.lens import LensEstimate
from macrosplat.output.coverage_report import CoverageReport
from macrosplat.output.coverage_report import sentences as coverage_sentences
from macrosplat.output.lens_report import LensReport, believed
from macrosplat.output.lens_words import in_words
from macrosplat.run import Run
from macrosplat.support.progress import duration
from macrosplat.support.terminal import width_of, wrapped

MOST_LINES = 15  # a screen of a laptop holds them beside the command
TOLD_STOPS = 0.1  # exposures that differ less are not worth a sentence: photos of one exposure are found so far apart
SURE = 3.0  # standard deviations: between the two ends of many photos chance alone makes two
TOLD_FOCAL = 1e-3  # a focal length corrected by less is not worth a sentence either
COLUMN = 8  # characters that a label takes


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    run: Path
    photos: int
    gaussians: int
    steps: int
    seconds: float
    fit_psnr: float  # dB, photos as the lens model makes them against the photos as taken
    blur_px: float  # median diameter of the circle of confusion over all photos, px of the training width
    viewer_psnr: float  # dB, scene.ply composited the viewers' way against our own renders
    lens: LensEstimate | None
    exposure_stops: float = 0.0  # between the darkest photo and the brightest
    exposure_error: float = 0.0  # of that, one standard deviation
    report: LensReport | None = None
    coverage: CoverageReport | None = None
    focal_scale: float = 1.0  # by which training corrected the focal length
    limit: str | None = None  # a sentence: why the photos cannot be made sharp
    spared: str | None = None  # a sentence: what was not spent on it

    def __str__(self) -> str:
        return self.text(width_of(sys.stdout))

    def text(self, width: int | None) -> str:
        """At most `MOST_LINES` lines of `width` columns; None: a line for each thing, however long."""
        for named in (3, 2, 1):  # photos that the advice names: fewer where there is no room
            things = self._things(named)
            if len(blocks_of(things, width)) == len(blocks_of(things, width, most=10**9)):
                break
        notes = [("Note", text) for text in self.notes()]
        return "\n".join(blocks_of([*things, *notes], width))

    def _things(self, named: int) -> list[tuple[str, str]]:
        # What rests on a lens that is not to be believed is not said as a fact.
        run, lens = Run(self.run), self.lens is not None and believed(self.report)
        blur = f"; half of what the photos show was blurred over {self.blur_px:.1f} px or more" if lens else ""
        things = [("Look", f"{run.page} (open it in a browser)")] if run.page.is_file() else []
        things += [
            ("Photos", f"{run.sharp_folder}: {self.photos}, sharp{blur}"),
            ("Scene", f"{run.scene}: {self.gaussians:,} Gaussians"),
        ]
        if self.report is not None:
            doubt = "" if lens else "uncertain (see the note): "
            things.append(("Lens", doubt + in_words(self.report)))
        if self.limit is not None:
            things.append(("Advice", self.limit))
        elif self.coverage is not None and believed(self.report):
            things += [("Advice", said) for said in advice(self.coverage, self.report, named)]
        seen = "the scene" if self.report is None else "the scene, seen through the lens,"
        fit = f"{seen} matches the photos to {self.fit_psnr:.1f} dB (PSNR)"
        took = f"{self.steps:,} steps, {duration(self.seconds)}"
        return [*things, ("Fit", f"{fit}, scene.ply in viewers our pictures to {self.viewer_psnr:.1f} dB; {took}")]

    def notes(self) -> list[str]:
        """What else one should know, most important first."""
        said = list(self.report.notes) if self.report is not None else []
        trust = self.report.trust if self.report is not None else None
        if trust is not None and trust.level == "low" and trust.because:
            said.insert(0, trust.because)
        if self.spared:
            said.append(self.spared)
        if self.exposure_stops > max(TOLD_STOPS, SURE * self.exposure_error):
            said.append(
                f"The photos' exposure differs by up to {self.exposure_stops:.2f} stops: each sharp photo has its own, "
                "the 3D scene the mean."
            )
        if abs(self.focal_scale - 1) > TOLD_FOCAL:
            said.append(f"Training corrected the cameras' focal length by {100 * (self.focal_scale - 1):+.1f} %.")
        return said


def advice(coverage: CoverageReport, report: LensReport | None, named: int = 3) -> list[str]:
    """What to photograph next time."""
    return coverage_sentences(coverage, report.mm_per_unit if report else None, named)


def blocks_of(things: list[tuple[str, str]], width: int | None, most: int = MOST_LINES) -> list[str]:
    """Labels and texts in two columns; what comes last gives way where there would be more than `most` lines."""
    blocks: list[str] = []
    left = most
    for n, (label, text) in enumerate(things):
        label = "" if n and things[n - 1][0] == label else label
        lines = wrapped(text, width and width - COLUMN).split("\n")
        if len(lines) > left:
            break
        blocks.append("\n".join([f"{label:{COLUMN}}{lines[0]}", *(" " * COLUMN + line for line in lines[1:])]))
        left -= len(lines)
    return blocks
