"""What is said of photos that structure from motion could not place."""

from __future__ import annotations

from dataclasses import replace

from macrosplat.cameras.sfm.report import Attempt, SfmReport, grouped, reasons, sentences


def test_a_photo_that_shares_nothing_is_told_from_one_that_shares_little() -> None:
    names = ["a.jpg", "alone.jpg", "one.jpg", "two.jpg", "other.jpg", "plain.jpg"]
    partners = {1: 0, 2: 1, 3: 1, 4: 0}
    said = reasons(names, {"a.jpg"}, [500, 500, 500, 500, 500, 3], [], partners)
    assert set(said) == set(names) - {"a.jpg"}
    assert said["plain.jpg"].startswith("plain.jpg has only 3 feature points")
    assert said["one.jpg"].startswith("one.jpg shares enough with only one other photo: ")
    alone, little, plain = grouped(said)
    assert alone.startswith("2 photos share next to nothing with the others: ")
    assert alone.endswith("(alone.jpg, other.jpg).") or alone.endswith("(alone.jpg and other.jpg).")
    assert little.startswith("2 photos share enough with only one other photo: ")
    assert plain == said["plain.jpg"]


def test_cameras_that_may_be_wrong_are_said() -> None:
    names = ("a.jpg", "b.jpg", "c.jpg")
    report = SfmReport(3, names, {}, (), (2000.0,) * 3, 1.0, doubted=names[:2])
    said = sentences(report, Attempt("quick", 3, 3, 0.89, focal=2.0))
    assert any(line.startswith("The cameras of a.jpg, b.jpg may be wrong") for line in said)
    assert not any("wrong" in line for line in sentences(replace(report, doubted=()), Attempt("quick", 3, 3, 0.95)))
