"""What the photos hardly tell is not said as a fact: about exposure, focus, lens, focal length."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from macrosplat.cameras.sfm.report import Attempt, SfmReport, sentences
from macrosplat.output.coverage_report import CoverageReport
from macrosplat.output.gain_error import gain_error
from macrosplat.output.summary import Summary
from macrosplat.output.trust import Trust
from macrosplat.support.colour import to_srgb
from macrosplat.web import sections
from test_summary import LENS, summary

BECAUSE = "The lens explains the photos no better (19.9 dB) than none does (19.9 dB)."


def test_a_gain_is_as_sure_as_the_parts_of_the_photo_agree():
    """64 squares that differ by 0.1 stops: 0.1 / 8; one gain for all of them: none."""
    stops = np.random.default_rng(0).normal(0.3, 0.1, (8, 8))
    light = np.full((80, 160, 3), 0.2)
    seen = light * np.exp2(np.kron(stops, np.ones((10, 20))))[..., None]
    assert gain_error(to_srgb(light), to_srgb(seen)) == pytest.approx(np.std(stops, ddof=1) / 8, rel=1e-6)
    assert gain_error(to_srgb(light), to_srgb(light * 1.3)) < 1e-6
    where = np.zeros((80, 160), bool)
    assert gain_error(to_srgb(light), to_srgb(seen), where) == np.inf
    where[:40] = True
    assert gain_error(to_srgb(light), to_srgb(seen), where) == pytest.approx(np.std(stops[:4], ddof=1) / 32**0.5)
    assert gain_error(to_srgb(light * 0), to_srgb(seen)) == np.inf  # nothing to compare


@pytest.mark.parametrize("error, said", [(0.0, True), (0.1, True), (0.2, False), (np.inf, False)])
def test_an_exposure_is_told_beyond_its_error(error, said, tmp_path: Path):
    one = summary(tmp_path, exposure_stops=0.4, exposure_error=error)
    assert any("exposure differs" in note for note in one.notes()) == said


def text_of(one: Summary) -> str:
    return " ".join(one.text(None).split())


def test_what_rests_on_a_lens_that_is_not_believed_is_not_advised(tmp_path: Path):
    sure, low = (replace(LENS, notes=(), trust=Trust(level, BECAUSE)) for level in ("fair", "low"))
    good, bad = (text_of(summary(tmp_path, report=report)) for report in (sure, low))
    for words in ("was blurred over", "13 more photos", "Lens f/4"):
        assert words in good and words not in bad
    assert "Lens uncertain (see the note): f/4" in bad and BECAUSE in bad
    covered = CoverageReport(0.0)
    assert "is in focus in at least one" in sections.advice(covered, sure, None)
    assert "in focus" not in sections.advice(covered, low, None) + sections.trust(low, covered, None)
    assert f"low. {BECAUSE}" in sections.trust(low, covered, None) and f"Uncertain: {BECAUSE}" in sections.lens(low)
    assert "Uncertain" not in sections.lens(sure) and "fair" in sections.trust(sure, covered, None)


def test_focal_lengths_are_told_as_they_are():
    def said(focal_px: tuple[float, ...], assumed: bool, spread: float | None = None, times: float = 1.05) -> str:
        report = SfmReport(2, ("a", "b"), {}, (), focal_px, 1.0, focal_spread=spread)
        return sentences(report, Attempt("quick", 2, 2, 1.0, focal=times), assumed)[1]

    assert said((2133.0, 2134.0), False) == "The focal length is 2133 px, 1.05 times EXIF's."
    assert said((2133.0,), False, 0.0904).endswith("1.05 times EXIF's, give or take 9 %.")
    assert said((3214.0,), False, 0.075, 2.12) == (
        "The focal length is 3214 px, 2.12 times EXIF's (which holds at infinity; at life size it is twice as long), "
        "give or take 7.5 %."
    )
    assert said((2133.0, 2500.0), False).startswith("The focal lengths are 2133 to 2500 px")
    assert "times the one that is assumed, since EXIF does not tell it" in said((2133.0,), True)
