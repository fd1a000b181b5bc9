"""Breathing and distortion as they are reported, against lenses of known law."""

from dataclasses import replace

import numpy as np
import pytest

from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.output.calibrated import STRETCHED, breathing, distortion_at_corner


def cameras(focal: np.ndarray) -> Cameras:
    count = len(focal)
    intrinsics = np.stack([focal, focal, np.full(count, 320.0), np.full(count, 240.0)], 1)
    names = tuple(f"{v}.jpg" for v in range(count))
    return Cameras(names, np.tile(np.eye(4), (count, 1, 1)), intrinsics, np.tile((640, 480), (count, 1)), "transforms")


def test_a_thin_lens_breathes_by_its_law():
    """v = f d / (d - f): d ln v / d d = -f / (d (d - f))."""
    f, focus = 62.6, np.linspace(138, 146, 20)
    noise = 2e-4 * np.random.default_rng(0).normal(size=20)
    found = breathing(focus.tolist(), cameras(50 * f * focus / (focus - f) / (focus.mean() - f) * (1 + noise)))
    assert found is not None
    assert found.per_unit == pytest.approx(-f / (142 * (142 - f)), abs=2e-4)
    assert STRETCHED < found.uncertainty / abs(found.per_unit) < 1.2 * STRETCHED


def test_what_is_not_seen_is_not_said():
    focus = np.linspace(138, 146, 20).tolist()
    random = np.random.default_rng(1)
    assert breathing(focus, cameras(np.full(20, 3200.0))) is None
    assert breathing(focus, cameras(3200 * (1 + 0.003 * random.normal(size=20)))) is None  # of no law
    assert breathing([140.0] * 20, cameras(3200 * (1 + 0.003 * random.normal(size=20)))) is None


def test_distortion_at_the_corner():
    given = cameras(np.full(3, 3200.0))
    assert distortion_at_corner(given) is None
    bent = Distortion("OPENCV", (3200.0, 3200.0, 320.0, 240.0, -0.64, 0.0, 0.0, 0.0), 640, 480)
    assert distortion_at_corner(replace(given, distortion=(bent,) * 3)) == pytest.approx(-0.64 / 64, rel=1e-6)
