"""A photo with a wrong camera: told by the scene while training, given up, and sought anew or left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from macrosplat import pipeline, placing
from macrosplat.cameras.records import Cameras
from macrosplat.cameras.sfm import known as sfm
from macrosplat.capture.solve import Solved
from macrosplat.options import Options
from macrosplat.output.how_sure import PUPIL_FOUND
from macrosplat.train import place
from macrosplat.train import unexplained as judge
from macrosplat.train.unexplained import Unexplained, far_below, unexplained
from making_captures import make, observe, write_capture


def test_what_is_far_below_the_others() -> None:
    usual = np.array([30.0, 31, 29.5, 30.5, 32, 28.8, 30.2])
    assert far_below(usual)[0] == []
    assert far_below(np.append(usual, 19.0))[0] == [7]
    assert far_below(np.append(usual, 23.8))[0] == []  # within what photos differ by
    assert far_below(usual[:5])[0] == []
    assert far_below(np.array([30.0, 31, 30, 31, 12, 13, 12, 30]))[0] == []  # so many are not wrong one by one


@pytest.mark.parametrize("ours", [True, False])
def test_of_a_photo_with_a_wrong_camera(
    ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(7)
    capture = write_capture(tmp_path / "capture", made, colmap=False)

    def points(cameras: Cameras):
        numbers = [int(name[0]) for name in cameras.names]
        return observe(made.scene.means.numpy(), cameras, [made.sharp[n] for n in numbers])

    views = made.cameras.views.copy()
    views[3] = views[0]  # stands where another stands
    wrong = replace(made.cameras, views=views)

    def solved(opened: object, *_: object, **__: object):
        return Solved(wrong, points(made.cameras), "sfm" if ours else "transforms")

    asked: list[int] = []

    def counted(trainer) -> Unexplained:
        asked.append(len(trainer.targets))
        return unexplained(trainer)

    monkeypatch.setattr(placing, "solve", solved)
    monkeypatch.setattr(placing, "unexplained", counted)
    monkeypatch.setattr(judge, "BELOW", 3.0)  # dB: the scene is a plain sheet
    monkeypatch.setattr(sfm, "triangulate", lambda photos, cameras, *_, **__: points(cameras))
    monkeypatch.setattr(place, "STEPS", 4)
    monkeypatch.setattr(place, "BELOW_MEDIAN", -99.0)
    monkeypatch.setattr(place, "BELOW_UNMATCHED", -99.0)
    run, options = tmp_path / "run", Options(steps=100, device="cpu", masks="off")
    summary = pipeline.reconstruct(capture, run, options)
    told = " ".join(capsys.readouterr().err.split())
    config = json.loads((run / "config.json").read_text())
    assert "does not explain 3.png (" in told and asked == [7]
    if ours:
        assert summary.photos == 6 and config["expelled"] == ["3.png"] and config["placed"] == []
        assert "does not explain them: 3.png" in told
        assert len((run / "log.jsonl").read_text().splitlines()) == 1
    else:
        assert summary.photos == 7 and config["expelled"] == []
    pupil = json.loads((run / "lens.json").read_text())["pupil_diameter"]  # surer where somebody knew the cameras
    assert (pupil["uncertainty"]["scene_units"] > PUPIL_FOUND * pupil["scene_units"]) or not ours
    assert pipeline.reconstruct(capture, run, options, resume=True).photos == summary.photos and asked == [7]
