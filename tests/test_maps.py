"""Maps: values survive 16 bits, nothing stays nothing, colours mean what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macrosplat.output.maps import PhotoMaps, colour_defocus, colour_depth, write_16_bit, write_maps
from macrosplat.run import Run


@pytest.fixture
def photo() -> PhotoMaps:
    depth = np.linspace(120.0, 160.0, 12 * 16).reshape(12, 16)
    defocus = 1600.0 * 9.0 * (1 / 140 - 1 / depth)
    depth[:, :4] = 0
    return PhotoMaps("set/007.jpg", depth, defocus)


def test_values_come_back(tmp_path: Path, photo: PhotoMaps) -> None:
    write_maps(Run(tmp_path), iter([photo]))
    scales = json.loads((tmp_path / "maps" / "maps.json").read_text())["photos"]["set/007.jpg"]
    there = photo.depth > 0
    for kind, wanted in {"depth": photo.depth, "coc": np.abs(photo.defocus)}.items():
        levels = np.asarray(Image.open(tmp_path / "maps" / kind / "set" / "007.png"))
        assert levels.dtype == np.uint16 and levels.max() == 65535 and (levels[~there] == 0).all()
        scale = scales[f"{kind}_scale"]
        np.testing.assert_allclose(levels[there] * scale, wanted[there], atol=scale)
        assert Image.open(tmp_path / "maps" / f"{kind}_colour" / "set" / "007.png").size == (16, 12)


def test_a_photo_of_nothing(tmp_path: Path) -> None:
    nothing = np.zeros((4, 4))
    assert write_16_bit(tmp_path / "m.png", nothing, nothing > 1) == 0.0
    assert (np.asarray(Image.open(tmp_path / "m.png")) == 0).all()
    assert np.ptp(colour_depth(nothing, nothing > 1)) == 0 and np.ptp(colour_defocus(nothing, nothing > 1)) == 0


def test_a_photo_without_blur_has_radii_of_0(tmp_path: Path, photo: PhotoMaps) -> None:
    sharp = replace(photo, defocus=0 * photo.defocus)
    write_maps(Run(tmp_path), iter([sharp]))
    scale = json.loads((tmp_path / "maps" / "maps.json").read_text())["photos"]["set/007.jpg"]["coc_scale"]
    levels = np.asarray(Image.open(tmp_path / "maps" / "coc" / "set" / "007.png"))
    assert (levels * scale == 0).all() and ((levels > 0) == (photo.depth > 0)).all()


def test_focus_is_white_blue_before_red_behind(photo: PhotoMaps) -> None:
    there = np.ones((1, 3), bool)
    before, focus, behind = colour_defocus(np.array([[-3.0, 0.0, 3.0]]), there)[0]
    np.testing.assert_allclose(focus, 1.0)
    assert before[2] > 2 * before[0] and behind[0] > 2 * behind[2]


def test_near_is_brighter_than_far(photo: PhotoMaps) -> None:
    light = colour_depth(photo.depth[:, 4:], np.ones((12, 12), bool)) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light.ravel()) <= 1e-9).all() and light.max() - light.min() > 0.5
