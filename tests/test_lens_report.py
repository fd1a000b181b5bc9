"""The lens report: round trip, units, f-numbers against thin-lens arithmetic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from macrosplat.lens.terms import TERMS, UNDECIDED, begins
from macrosplat.output.calibrated import Breathing
from macrosplat.output.lens_report import LensReport, describe, read_lens, write_lens
from macrosplat.output.lens_words import (
    CLIPPED,
    COLOUR,
    DARKER,
    FIELD,
    LATERAL,
    SOUGHT,
    figures,
    give_or_take,
    in_words,
)
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from macrosplat.web import sections

# 100 mm at 1:1: focus 200 mm before the pupil; 25 mm pupil = f/4; scene unit 2 mm.
ONE_TO_ONE = LensReport(12.5, {"a.jpg": 100.0, "b.jpg": 90.0, "c.jpg": 110.0}, 0.8, 1600.0, 2.0, 100.0, {"b.jpg": 0.5})


def test_lengths_in_both_units_and_f_numbers() -> None:
    got = describe(ONE_TO_ONE)
    assert got["pupil_diameter"] == {"scene_units": 12.5, "mm": 25.0}
    wanted = {"photo": "b.jpg", "focus_distance": {"scene_units": 90.0, "mm": 180.0}, "relative_aperture": 0.5}
    assert wanted.items() <= got["photos"][1].items() and got["photos"][0]["relative_aperture"] == 1.0
    assert (got["f_number"], got["effective_f_number"], got["magnification"]) == pytest.approx((4.0, 8.0, 1.0))
    assert got["sigma0"]["mm"] == pytest.approx(0.8 * 200 / 1600)


def test_how_sure_lengths_are() -> None:
    got = describe(replace(ONE_TO_ONE, pupil_uncertainty=0.08, focus_uncertainty={"b.jpg": 0.01}))
    assert got["pupil_diameter"]["uncertainty"] == {"scene_units": 1.0, "mm": 2.0}
    assert got["photos"][1]["focus_distance"]["uncertainty"] == pytest.approx({"scene_units": 0.9, "mm": 1.8})
    assert "uncertainty" not in got["photos"][0]["focus_distance"]


def test_without_a_scale_there_are_no_millimetres() -> None:
    got = describe(replace(ONE_TO_ONE, mm_per_unit=None))
    assert got["pupil_diameter"]["mm"] is None and got["f_number"] is None and got["effective_f_number"] is None


def test_focus_inside_the_focal_length_has_no_magnification() -> None:
    got = describe(replace(ONE_TO_ONE, mm_per_unit=0.5))
    assert got["f_number"] == pytest.approx(16.0) and got["effective_f_number"] is None


def test_written_and_read_back(tmp_path: Path) -> None:
    assert read_lens(Run(tmp_path)) is None
    write_lens(Run(tmp_path), replace(ONE_TO_ONE, exposure_stops={"b.jpg": [0.25, 0.0, -0.5]}))
    got = read_lens(Run(tmp_path))
    assert got is not None and got.relative_apertures == {"a.jpg": 1.0, "b.jpg": 0.5, "c.jpg": 1.0}
    assert got.exposure_stops == {"a.jpg": (0, 0, 0), "b.jpg": (0.25, 0.0, -0.5), "c.jpg": (0, 0, 0)}
    assert got.focal_mm == pytest.approx(ONE_TO_ONE.focal_mm) and got.magnification == pytest.approx(1.0)
    kept = replace(got, relative_apertures={}, exposure_stops={}, focal_mm=None, magnification=None)
    assert kept == replace(ONE_TO_ONE, focal_mm=None, relative_apertures={}, scale=kept.scale)
    json.loads((tmp_path / "lens.json").read_text())
    (tmp_path / "lens.json").write_text("{}")
    with pytest.raises(MacrosplatError, match=r"lens\.json"):
        read_lens(Run(tmp_path))


def numbers(value, name: str = ""):
    """Name and value of every number in what JSON holds."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in pairs:
            yield from numbers(part, f"{name}.{key}")
    elif isinstance(value, float | int):
        yield name, value


def test_terms_are_read_back(tmp_path: Path) -> None:
    """All that is written of them, and in words."""
    lens = replace(
        ONE_TO_ONE,
        breathing=Breathing(-0.012, 0.0003),
        colour_focus=(0.3, -0.25),
        colour_uncertainty=(0.1, 0.05),
        vignetting=0.51,
        vignetting_uncertainty=0.06,
        corner_focus=-0.45,
        corner_uncertainty=0.2,
        lateral=(1e-3, -5e-4),
        lateral_uncertainty=(2e-4, 1e-4),
        pupil_uncertainty=0.05,
        focus_uncertainty={"a.jpg": 1e-3, "b.jpg": 2e-3, "c.jpg": 2e-3},
        corner_distortion=-0.0101,
        distortion_uncertainty=7e-4,
        motion_px={"a.jpg": 3.12, "b.jpg": None, "c.jpg": 1.6},
        motion_uncertainty={"a.jpg": 0.28, "c.jpg": 0.3},
    )
    write_lens(Run(tmp_path), lens)
    again = read_lens(Run(tmp_path))
    assert again is not None
    written, read = (dict(numbers(describe(report))) for report in (lens, again))
    assert read == pytest.approx(written)
    assert in_words(again) == in_words(lens)
    said = in_words(lens)
    assert "f/4.0 ± 0.2 (" in said and "pupil 25.0 ± 1.2 mm" in said and "breathing -0.600 ± 0.015 % a mm" in said
    assert "2 of 3 photos moved during the exposure, by up to 3.1 ± 0.3 px (0.39 mm)" in said
    assert in_words(replace(lens, mm_per_unit=None)).endswith(
        "; 2 of 3 photos moved during the exposure, by up to 3.1 ± 0.3 px"
    )
    assert "0.6 ± 0.2 mm farther (red)" in said and "distortion -1.01 ± 0.07 % at the corner" in said


def test_what_was_not_looked_for_is_not_said_to_be_unseen() -> None:
    names = {COLOUR: "lens.colour", DARKER: "lens.vignetting", FIELD: "lens.curvature", LATERAL: "lens.lateral"}
    names[CLIPPED] = "lens.cats_eye"
    for asked, sought in SOUGHT.items():
        assert [names[name] for name in sought] == [t.name for t in TERMS if begins(t, asked) == UNDECIDED]
    rows = sections.lens(replace(ONE_TO_ONE, vignetting=0.51, vignetting_uncertainty=0.06))
    assert "0.51 ± 0.06 stops darker in the corner" in rows and "Curvature of field" not in rows
    unseen = (
        "<th>Not seen in these photos</th>"
        "<td>Focus breathing, longitudinal colour, lateral colour, cat&#x27;s eyes, blades, distortion</td>"
    )
    assert unseen in rows
    still = replace(ONE_TO_ONE, motion_px=dict.fromkeys(ONE_TO_ONE.focus_distances))
    assert "distortion, motion during the exposure</td>" in sections.lens(still)
    assert describe(still)["motion"] == {"photos": 0, "of": 3} and describe(ONE_TO_ONE)["motion"] is None


def test_numbers_for_people_are_no_powers_of_ten():
    assert give_or_take(18.04, 0.93) == "18.0 ± 0.9" and give_or_take(-0.5733, 0.018, sign="+") == "-0.573 ± 0.018"
    assert give_or_take(1234.0, 56.0) == "1230 ± 60" and give_or_take(0.27, None, sign="+") == "+0.27"
    assert [figures(value) for value in (0.854, 4.24, 18.4, 113.0, 1234.0)] == ["0.85", "4.2", "18", "110", "1200"]
    assert figures(146.26, 3) == "146" and figures(1462.6, 3) == "1460"
