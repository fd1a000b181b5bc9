"""The whole way with a photo that the file of cameras does not name: placed by the scene, said, trained with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from macrosplat import pipeline, placing
from macrosplat.cameras.records import Cameras
from macrosplat.cameras.sfm import known as sfm
from macrosplat.cameras.transforms import read_cameras_file
from macrosplat.options import Options
from macrosplat.train import place
from making_captures import DISTANCE, make, observe, write_capture

STEPS = 12


@pytest.mark.parametrize("below", [99.0, -99.0], ids=["placed", "left out"])
def test_of_a_photo_without_a_camera(
    below: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(7)
    capture = write_capture(tmp_path / "capture", made, colmap=False)
    file = capture / "transforms.json"
    given = json.loads(file.read_text())
    given["frames"] = [frame for frame in given["frames"] if not frame["file_path"].endswith("3.png")]
    file.write_text(json.dumps(given))

    def triangulate(photos: object, cameras: Cameras, *_: object, **__: object):
        numbers = [int(name[0]) for name in cameras.names]
        return observe(made.scene.means.numpy(), cameras, [made.sharp[n] for n in numbers])

    monkeypatch.setattr(sfm, "triangulate", triangulate)
    monkeypatch.setattr(place, "STEPS", 4)
    monkeypatch.setattr(place, "BELOW_MEDIAN", below)
    monkeypatch.setattr(place, "BELOW_UNMATCHED", below)
    monkeypatch.setattr(place, "ABOVE_ELSEWHERE", -below)
    run = tmp_path / "run"
    options = Options(steps=STEPS, device="cpu", masks="off", place="all")
    summary = pipeline.reconstruct(capture, run, options)
    told = capsys.readouterr().err
    assert not (run / "placing").exists()
    config = json.loads((run / "config.json").read_text())
    cameras = read_cameras_file(run / "transforms.json")
    if below > 0:
        assert summary.photos == 7 and config["placed"] == ["3.png"] and config["registered"] == 7
        assert "Placed by the scene that the other photos make: 3.png" in " ".join(told.split())
        centres = cameras.centres
        assert np.linalg.norm(centres[3] - (centres[2] + centres[4]) / 2) < 0.1 * DISTANCE
        # The others were given, and stay; what was placed was refined.
        was, others = read_cameras_file(file), [n for n in range(7) if n != 3]
        np.testing.assert_allclose(cameras.views[others], was.views, atol=1e-5)
        np.testing.assert_allclose(cameras.intrinsics[others], was.intrinsics, rtol=1e-6)
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        assert log[-1]["focal_scale"] == 1.0
    else:
        assert summary.photos == 6 and config["placed"] == []
        assert "does not explain them: 3.png" in " ".join(told.split())
    # What stays without a camera is not tried again.
    monkeypatch.setattr(placing, "find_missing", pytest.fail)
    assert pipeline.reconstruct(capture, run, options, resume=True).photos == summary.photos


def test_it_can_be_left_alone(tmp_path: Path) -> None:
    made = make(7)
    capture = write_capture(tmp_path / "capture", made, colmap=False)
    file = capture / "transforms.json"
    given = json.loads(file.read_text())
    given["frames"] = given["frames"][:5]
    file.write_text(json.dumps(given))
    assert len(pipeline._opened(capture, Options(place="all")).photos) == 7
    opened = pipeline._opened(capture, Options())
    assert len(opened.photos) == 5 and "5.png, 6.png; --place all" in opened.notes[-1]
