"""PSNR by the radius of the circle of confusion, energy of fine detail, and where radii come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from macrosplat.cameras.records import Cameras
from macrosplat.evaluate.fine import BUCKETS, fine, finest, together
from macrosplat.evaluate.radii import find_radii
from macrosplat.evaluate.truth import LensTruth, Truth
from macrosplat.output.maps import PhotoMaps, write_maps
from macrosplat.run import Run


def grey(plane: np.ndarray) -> np.ndarray:
    return np.repeat(plane[..., None], 3, 2)


def waves(amplitude: float, frequency: float, size: int = 128) -> np.ndarray:
    """Of the cosine transform, so that the border is none; cycles / px."""
    return grey(0.5 + amplitude * np.cos(2 * np.pi * frequency * (np.arange(size) + 0.5))[None].repeat(size, 0))


def test_each_bucket_has_its_own_error() -> None:
    truth, test = waves(0, 0), waves(0, 0)
    radius = np.array([0.2, 0.7, 1.5, 3.0, 6.0, 20.0]).repeat(21)[:126]
    radius = np.concatenate([radius, radius[-2:]])[None].repeat(128, 0)
    errors = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    for error, edge in zip(errors, np.unique(radius), strict=True):
        test[radius == edge] += error
    got = fine(test, truth, radius, np.ones((128, 128), bool)).psnr()
    assert list(got) == list(BUCKETS)
    np.testing.assert_allclose(list(got.values()), -20 * np.log10(errors), rtol=1e-6)
    assert list(fine(test, truth, radius, radius < 1).psnr()) == list(BUCKETS[:2])


def test_energy_counts_above_half_of_the_nyquist_frequency_only() -> None:
    coarse, truth = waves(0.3, 30 / 128) - 0.5, waves(0.2, 45 / 128)
    got = fine(0.5 * (truth - 0.5) + coarse + 0.5, truth + coarse, None, None)
    assert got.sharpness == pytest.approx(0.25, rel=1e-4) and got.likeness == pytest.approx(1.0, rel=1e-4)
    assert got.psnr() == {}
    assert np.abs(finest(waves(0.3, 30 / 128))).max() < 1e-5
    other = fine(grey(np.random.default_rng(0).random((128, 128))), truth, None, None)
    assert abs(other.likeness) < 0.1
    both = together([got, other])
    assert both.energy == got.energy + other.energy and both.true_energy == pytest.approx(2 * got.true_energy)


def test_sharpness_is_told_apart_by_radius() -> None:
    """Half of the picture is in focus and has all of the truth's amplitude, the other half a tenth."""
    truth, radius = waves(0.2, 45 / 128), np.zeros((128, 128))
    radius[64:] = 5.0
    test = truth.copy()
    test[64:] = 0.5 + 0.1 * (truth[64:] - 0.5)
    got = fine(test, truth, radius, None)
    assert got.sharpness_by_radius() == pytest.approx({"r < 0.5": 1.0, "4 to 8": 0.01}, abs=0.06)
    assert got.sharpness_in_focus == pytest.approx(1.0, abs=0.06) and got.sharpness == pytest.approx(0.505, rel=0.02)
    assert together([got, got]).sharpness_in_focus == pytest.approx(got.sharpness_in_focus)
    assert fine(test, truth, radius + 2, None).sharpness_in_focus is None


def a_truth(root: Path, **known: Any) -> Truth:
    return Truth(root, **{"photos": {}, "sharp": {}, "novel": {}, "novel_cameras": None, "cameras": None} | known)


def test_true_radii_are_those_of_a_thin_lens(tmp_path: Path) -> None:
    own = Cameras(("000.png",), np.eye(4)[None], np.array([[160.0, 160, 32, 24]]), np.array([[64, 48]]), "transforms")
    depth = np.full((24, 32), 10000, np.uint16)  # half size, 0.01 mm
    depth[:, 16:] = 12500
    Image.fromarray(depth).save(tmp_path / "000.png")
    lens, paths = LensTruth(10.0, {("000",): 100.0}), {("000",): tmp_path / "000.png"}
    truth = a_truth(tmp_path, cameras=own, lens=lens, depth=paths, depth_scale=0.01)
    radii = find_radii(truth, Run(tmp_path / "run"))
    assert radii is not None and radii.source == "truth"
    got = radii.of(("000",), (128, 96))
    assert got is not None and got.shape == (96, 128)
    np.testing.assert_allclose(got[:, :64], 0, atol=1e-5)
    np.testing.assert_allclose(got[:, 64:], 5 * 320 * (1 / 100 - 1 / 125), rtol=1e-5)


def test_without_the_true_depth_the_run_says(tmp_path: Path) -> None:
    truth = a_truth(tmp_path, lens=None)
    run = Run(tmp_path / "run")
    assert find_radii(truth, run) is None
    defocus = np.linspace(-3, 5, 32)[None].repeat(24, 0)
    write_maps(run, [PhotoMaps("000.png", np.full((24, 32), 9.0), defocus)])
    radii = find_radii(truth, run)
    assert radii is not None and radii.source == "run" and radii.of(("001",), (64, 48)) is None
    got = radii.of(("000",), (64, 48))
    assert got is not None
    np.testing.assert_allclose(got[::2, ::2], 2 * np.abs(defocus), atol=1e-3)
