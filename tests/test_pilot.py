"""Short trainings judge a lens by what it was not shown: a capture with blur needs one, its sharp twin does not."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from macrosplat import loop, pipeline
from macrosplat.lens import LENSES, LensStart, start
from macrosplat.model.exposure import Exposure
from macrosplat.model.model import Model
from macrosplat.options import Options
from macrosplat.output import finish
from macrosplat.train import begin, pilot
from macrosplat.train.pilot import LEFT_OUT, Verdict, compare, of_one_blur, squares
from making_captures import Made, write_capture
from making_training import PIXEL, made, make_trainer


def test_squares_are_of_the_photo_and_the_seed():
    one = squares(3, 640, 480, seed=0)
    assert (one == squares(3, 640, 480, seed=0)).all()
    assert (one != squares(4, 640, 480, seed=0)).any() and (one != squares(3, 640, 480, seed=1)).any()
    assert np.mean([squares(v, 640, 480, 0).mean() for v in range(20)]) == pytest.approx(LEFT_OUT, abs=0.02)


def verdict_of(capture: Made) -> Verdict:
    trainer, begun = make_trainer(200, capture=capture)
    scene, model = trainer.model.gaussians.detach(), trainer.model

    def begin(lens) -> Model:
        return Model(
            scene.map(torch.clone),
            model.rig,
            lens,
            model.backdrop.__class__(model.backdrop.grids.detach().clone()),
            Exposure(torch.zeros(len(capture.photos), 3)),
        )

    begun = dataclasses.replace(begun, settings={"aperture_samples": "1"})
    starts = [dataclasses.replace(begun, pupil=begun.pupil / by) for by in (1.0, 8.0)]
    lenses = [LENSES["thin"](s) for s in starts]
    return compare(lenses, of_one_blur(begun), begin, trainer.targets, trainer.schedule, PIXEL, seed=0)


def test_blur_needs_a_lens_and_the_right_one_is_chosen():
    verdict = verdict_of(made())
    assert verdict.needed and verdict.best == 0, [e.mean() for e in (*verdict.errors, verdict.constant)]


def test_sharp_photos_need_none():
    capture = made()
    verdict = verdict_of(dataclasses.replace(capture, photos=capture.sharp))
    assert not verdict.needed, [e.mean() for e in (*verdict.errors, verdict.constant)]


def test_chance_is_no_reason_for_a_lens():
    rng = np.random.default_rng(0)
    constant = rng.normal(0.05, 0.01, 30)
    alike = Verdict((constant + rng.normal(0, 0.01, 30),), constant)
    worse, better = constant + 1e-3, constant - 1e-3
    assert not dataclasses.replace(alike, errors=(worse,)).needed
    assert dataclasses.replace(alike, errors=(better,)).needed
    assert dataclasses.replace(alike, errors=(better + rng.normal(0, 0.02, 30), better)).needed  # any of them


def test_a_small_gain_is_looked_at_for_longer():
    constant = np.random.default_rng(0).normal(0.05, 0.01, 30)
    for gain, needed, doubtful in ((0.01, False, True), (0.03, True, True), (0.1, True, False), (-0.1, False, False)):
        verdict = Verdict((constant * (1 - gain),), constant)
        assert (verdict.needed, verdict.doubtful) == (needed, doubtful), gain


class Chosen:
    """A `compare` that says what it is told, and keeps what it was asked."""

    def __init__(self, gains: list[float], pupil: float) -> None:
        self.gains, self.pupil, self.asked = gains, pupil, []

    def __call__(self, lenses, constant, start, targets, schedule, pixel, seed, longer=False) -> Verdict:
        self.asked.append((len(lenses), longer))
        error = np.full(8, 0.05)
        gain = self.gains[len(self.asked) - 1]
        return Verdict(tuple(error * (1 - gain) for _ in lenses), error, tuple(self.pupil for _ in lenses))


@pytest.mark.parametrize(
    ("gains", "lens", "pupil"),
    [([0.2], "thin", 1.0), ([0.02, 0.0], "plain", 0.3), ([0.02, 0.02], "thin", 0.3), ([-1.0], "plain", 1.0)],
)
def test_the_longer_look_decides_and_tells_where_the_pupil_starts(gains, lens, pupil, monkeypatch):
    chosen = Chosen(gains, pupil=0.2)
    monkeypatch.setattr(begin, "compare", chosen)
    found, best = begin._best_lens(LensStart(1.0, (10.0,), (1.0,)), None, None, None, 0.1, 0)
    assert found.name == lens and best.pupil == pytest.approx(pupil)
    assert chosen.asked == [(3, False), (1, True)][: len(gains)]


@pytest.mark.parametrize("needed", [True, False])
def test_a_run_takes_what_the_pilots_say(needed, tmp_path, monkeypatch):
    monkeypatch.setattr(begin, "PILOTS_FROM", 1)
    monkeypatch.setattr(pilot, "STEPS", 2)
    monkeypatch.setattr(pilot, "ROUNDS", 0)
    monkeypatch.setattr(pilot, "LONGER_STEPS", 2)
    monkeypatch.setattr(pilot, "LONGER_ROUNDS", 0)
    monkeypatch.setattr(Verdict, "needed", needed)
    monkeypatch.setattr(Verdict, "doubtful", True)
    monkeypatch.setattr(finish, "VIEWER_STEPS", 2)
    monkeypatch.setattr(loop, "nothing_in_focus", lambda *_: None)
    monkeypatch.setattr(start, "pupil_prior", lambda photos, cameras: None)
    capture = write_capture(tmp_path / "capture", made())
    out = tmp_path / "run"
    summary = pipeline.reconstruct(capture, out, Options(steps=4, max_gaussians=300, width=64, device="cpu"))
    assert (summary.lens is not None) is needed
    assert (out / "lens.json").is_file() is needed
    assert (summary.limit == loop.NO_LENS) is not needed
    if not needed:  # each sharp photo is the photo
        for photo in (capture / "photos").iterdir():
            sharp = Image.open(out / "sharp" / photo.with_suffix(".png").name).convert("RGB")
            np.testing.assert_array_equal(np.asarray(sharp), np.asarray(Image.open(photo).convert("RGB")))
    again = pipeline.reconstruct(capture, out, Options(steps=4, max_gaussians=300, width=64, device="cpu"), resume=True)
    assert again.limit == summary.limit
