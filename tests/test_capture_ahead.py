"""What is done while libraries load: as the run would do it; nothing where anything is wrong; stopped when asked."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macrosplat.cameras.sfm import features
from macrosplat.cameras.sfm.known import key_points
from macrosplat.cameras.transforms import write_transforms
from macrosplat.capture import ahead as module
from macrosplat.capture.ahead import Ahead
from macrosplat.capture.open import open_capture
from making_captures import make_cameras
from making_photos import save

BICUBIC = Image.Resampling.BICUBIC
WIDTH, HEIGHT = 120, 80


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photos with cameras, and a mask of the first."""
    random = np.random.default_rng(0)
    for n in range(1, 7):
        spots = random.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
        save(tmp_path / "photos" / f"{n}.jpg", np.asarray(Image.fromarray(spots).resize((WIDTH, HEIGHT), BICUBIC)))
    cameras = replace(make_cameras(6, WIDTH, HEIGHT), names=tuple(f"{n}.jpg" for n in range(1, 7)))
    write_transforms(tmp_path / "transforms.json", cameras, folder="photos")
    (tmp_path / "masks").mkdir()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : WIDTH // 2] = 255
    for n in range(1, 7):
        Image.fromarray(mask if n == 1 else np.full_like(mask, 255)).save(tmp_path / "masks" / f"{n}.png")
    return tmp_path


def test_the_same_capture_and_features(folder: Path, tmp_path: Path) -> None:
    opened = open_capture(folder)
    assert opened.cameras is not None
    with Ahead(folder, True, True) as ahead:
        early = ahead.capture()
        assert early is not None and (early.photos, early.notes) == (opened.photos, opened.notes)
        found = ahead.features(opened.photos)
    assert found is not None
    wanted = key_points(opened.photos, [photo.name for photo in opened.photos], tmp_path / "scratch")
    assert sum(map(len, wanted)) > 20
    for one, other in zip(found, wanted, strict=True):
        assert np.array_equal(one.keypoints, other.keypoints) and np.array_equal(one.descriptors, other.descriptors)
    assert found[0].px[:, 0].max() < WIDTH // 2 < found[1].px[:, 0].max()


def test_nothing_of_what_is_no_capture(tmp_path: Path) -> None:
    with Ahead(tmp_path / "none", True, True) as ahead:
        assert ahead.capture() is None and ahead.features([]) in (None, [])


def test_photos_that_take_long_are_left_to_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 5)
    with Ahead(folder, True, True) as ahead:
        assert ahead.capture() is None


def test_whoever_leaves_does_not_wait(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COLMAP is told to stop; here a stand-in that is told so, too."""
    stopped = []

    def forever(*_: object, cancellation_token, **__: object) -> None:
        while not cancellation_token.is_cancelled:
            time.sleep(0.01)
        stopped.append(True)

    monkeypatch.setattr(features.pycolmap, "extract_features", forever)
    with Ahead(folder, True, True) as ahead:
        assert ahead.capture() is not None
    assert stopped == [True]
    assert ahead.features(open_capture(folder).photos) is None
