"""Photos placed by a scene: against the cameras that took them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from macrosplat.cameras.records import Cameras
from macrosplat.lens import Sampling
from macrosplat.missing import around, missing
from macrosplat.photos.records import Photo
from macrosplat.train import place as placing
from macrosplat.train.place import Lost, between, place
from making_captures import DISTANCE, Made, look_at, make
from making_training import make_trainer


@pytest.fixture(scope="module")
def seven() -> Made:
    return make(7)


def _without(made: Made, n: int) -> Made:
    rest = [v for v in range(len(made.photos)) if v != n]
    return replace(
        made,
        cameras=made.cameras.select([made.cameras.names[v] for v in rest]),
        photos=[made.photos[v] for v in rest],
        sharp=[made.sharp[v] for v in rest],
        focus=tuple(made.focus[v] for v in rest),
    )


def _centre(view: np.ndarray) -> np.ndarray:
    return -view[:3, :3].T @ view[:3, 3]


def test_a_photo_that_was_left_out_is_placed_and_a_foreign_one_is_not(
    seven: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "STEPS", 25)
    made = _without(seven, 3)
    trainer, _ = make_trainer(100, scene=seven.scene, capture=made)
    model = trainer.model
    before = {name: leaf.detach().clone() for name, leaf in model.parameters().items()}
    foreign = np.ascontiguousarray(255 - seven.photos[3][::-1, :, ::-1])
    lost = [Lost(name, photo, None, 2, 2, 3) for name, photo in (("3.png", seven.photos[3]), ("x.png", foreign))]
    right, wrong = place(model, made.photos, [None] * 6, lost, Sampling(4), tmp_path, 0)
    assert right.accepted and right.agrees > right.elsewhere + 2
    assert not wrong.accepted and wrong.inliers == 0
    off = np.linalg.norm(_centre(right.view) - _centre(seven.cameras.views[3]))
    assert off < 0.003 * DISTANCE
    assert off < 0.3 * np.linalg.norm(
        _centre(between(*made.cameras.views[2:4], 0.5, DISTANCE)) - _centre(seven.cameras.views[3])
    )
    for name, leaf in model.parameters().items():
        assert torch.equal(before[name], leaf), f"{name} of the model has changed"


def test_between_two_views_turns_about_the_pivot() -> None:
    def at(angle: float) -> np.ndarray:
        return look_at(5 * np.array([np.sin(angle), 0.0, -np.cos(angle)]), np.zeros(3))

    np.testing.assert_allclose(between(at(0.1), at(0.5), 0.25, 5.0), at(0.2), atol=1e-9)
    np.testing.assert_allclose(between(at(0.1), at(0.5), 2.0, 5.0), at(0.9), atol=1e-9)  # as far again


def test_around_a_ring_a_photo_lies_in_steps_that_others_took() -> None:
    row = {0: 0, 1: 1, 2: 2, 4: 3, 5: 4, 6: 5, 7: 6}  # of eight photos, the fourth is lost
    next_to_it = [(2, 3, 0.5), (1, 2, 2.0), (4, 3, 2.0)]
    by_two = [(1, 4, 0.5), (6, 1, 2.0), (6, 4, 2.0)]  # after the last comes the first
    by_three = [(0, 5, 0.5), (4, 0, 2.0), (1, 5, 2.0)]
    assert around(3, 8, row) == [*next_to_it, *by_two, *by_three]  # four on is the same photo as four back


def test_what_is_missing(seven: Made) -> None:
    photos = [Photo(name, Path(name), 96, 72) for name in seven.cameras.names]
    few: Cameras = seven.cameras.select(seven.cameras.names[:6])
    assert missing(photos, few) == [photos[6]]
    assert missing([*photos, Photo("y.png", Path("y.png"), 72, 96)], few) == [photos[6]]
    assert missing(photos, few.select(few.names[:4])) == []
    assert missing([*photos[:6], replace(photos[6], pose="a")], few) == []
