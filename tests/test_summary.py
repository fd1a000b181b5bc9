"""What a run says at its end: the page first, millimetres, few lines at any width; and what a script gets."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from macrosplat.cameras.sfm.report import grouped
from macrosplat.lens import LensEstimate
from macrosplat.output.coverage_report import Advice, CoverageReport
from macrosplat.output.coverage_report import sentences as coverage_sentences
from macrosplat.output.lens_report import LensReport
from macrosplat.output.millimetres import Scale
from macrosplat.output.summary import MOST_LINES, Summary
from macrosplat.support.events import Events, alone_on_stdout
from macrosplat.support.progress import Lines
from macrosplat.support.terminal import width_of, wrapped

# A 100 mm lens at 1:1, as `test_lens_report` has it: f/4, f/8 for the light meter.
LENS = LensReport(
    12.5,
    {"a.jpg": 99.0, "b.jpg": 101.0},
    0.4,
    1600.0,
    mm_per_unit=2.0,
    focal_mm=100.0,
    scale=Scale(2.0, "EXIF", 0.07),
    magnification=1.0,
    notes=tuple(f"Remark {n} of a run that has much to say about its lens and about its photos." for n in range(12)),
)
FOUND = LensEstimate(12.5, (99.0, 101.0), (1.0, 1.0), 0.4, 640)
ADVICE = [Advice(f"{n % 5}.jpg", 100.0 + n, n - 6.5, 0.01) for n in range(13)]


def summary(run: Path, **more: object) -> Summary:
    values: dict = {"report": LENS, "coverage": CoverageReport(0.2, tuple(ADVICE)), "lens": FOUND}
    return Summary(run, 30, 9216, 1500, 252.0, 31.2, 9.3, 42.0, **(values | more))


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_it_fits_a_screen_and_begins_with_the_page(
    tmp_path: Path, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("macrosplat-demo")
    run.mkdir()
    (run / "index.html").touch()
    lines = summary(run).text(width).split("\n")
    assert len(lines) <= MOST_LINES
    assert lines[0].startswith("Look    macrosplat-demo/index.html")
    assert width is None or max(map(len, lines)) <= width
    said = " ".join(" ".join(lines).split())
    for words in ("f/4 (effective f/8)", "magnification 1.00", "198 to 202 mm", "give or take 7 %", "13 more photos"):
        assert words in said


def test_nothing_is_named_that_is_not_there(tmp_path: Path) -> None:
    plain = summary(tmp_path, report=None, coverage=None, lens=None).text(None)
    assert "index.html" not in plain and "Lens" not in plain and "blurred" not in plain


def test_advice_of_one_place_is_one_advice() -> None:
    (said,) = coverage_sentences(CoverageReport(0.2, tuple(ADVICE)), 1.0)
    assert said.count("from where") == 3
    # Three of them begin where 1.jpg was taken, two nearer and one farther.
    assert "1.jpg was taken, focused 5.5 and 0.5 mm nearer (at 101 and 106) and 4.5 mm farther (at 111)" in said


def test_photos_that_are_missing_for_one_reason_share_a_sentence() -> None:
    missing = {f"{n}.jpg": f"{n}.jpg has only {n} feature points: light it better." for n in range(3, 16)}
    missing["x.jpg"] = "x.jpg was placed where that contradicts what the neighbours show: add photos in between."
    said = grouped(missing)
    assert said == [
        "13 photos have only 3 to 15 feature points: light it better (3.jpg, 4.jpg, 5.jpg, 6.jpg, 7.jpg and 8 more).",
        missing["x.jpg"],
    ]


def test_text_is_wrapped_for_people_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width_of(io.StringIO()) is None and wrapped("a " * 100, None) == "a " * 100
    monkeypatch.setenv("COLUMNS", "60")
    assert width_of(io.StringIO()) == 60
    path = "/a/path/that/is/longer/than/the/terminal/of/sixty/columns/is/wide.jpg"
    assert path in wrapped(f"It is {path} which is damaged.", 60).split("\n")


def test_a_script_gets_nothing_but_events(capsys: pytest.CaptureFixture[str]) -> None:
    with alone_on_stdout() as stdout, Events(stdout, lambda: 0.0) as events:
        print("a library is chatty")
        events.say("progress", done=1)
    out, err = capsys.readouterr()
    assert json.loads(out) == {"event": "progress", "time": 0.0, "done": 1} and "chatty" in err
    assert sys.stdout is not sys.stderr


def test_a_log_keeps_a_line_a_note() -> None:
    stream = io.StringIO()
    Lines(stream).note("word " * 60)
    assert stream.getvalue().count("\n") == 1
