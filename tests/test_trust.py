"""A run that judges itself: each way of going wrong is told, and what to change."""

import numpy as np
import pytest

from macrosplat.lens.prior import PupilPrior
from macrosplat.output.in_focus import Agreement, agreement
from macrosplat.output.trust import judge

EXIF = PupilPrior(4.0, most=0.13, least=0.08, expected=0.1, spread=0.05)
FINE = {"pupil": 0.1, "sigma0_px": 0.3, "exif": EXIF, "through_lens": 35.0, "without": 25.0, "steps": 4000}


def test_a_run_that_agrees_with_exif_is_believed():
    assert judge(**FINE).level == "high" and judge(**FINE).because is None


@pytest.mark.parametrize(
    ("wrong", "level", "said"),
    [
        ({"sigma0_px": 1.5}, "low", "--max-gaussians"),
        ({"through_lens": 29.46, "without": 29.45}, "low", "--lens plain"),
        ({"in_focus": [Agreement("a.jpg", 33, 39), Agreement("b.jpg", 21, 34)]}, "low", "1 of 2 photos; b.jpg 21 dB"),
        ({"doubted": ("a.jpg", "b.jpg")}, "low", "a.jpg, b.jpg"),
        ({"pupil": 0.1299}, "low", "wider pupil than f/4"),
        ({"pupil": 0.0801}, "low", "narrower pupil than f/4"),
        ({"pupil": 0.115}, "fair", "+15 %"),
        ({"exif": None}, "fair", "No f-number"),
        ({"exif": None, "steps": 1500}, "fair", "1,500 steps"),
        ({"exif": PupilPrior(18.0, 1 / 36), "pupil": 0.01}, "fair", "f/18"),
    ],
)
def test_what_is_wrong_is_said(wrong, level, said):
    trust = judge(**(FINE | wrong))
    assert trust.level == level
    assert trust.because is not None and said in trust.because


def test_a_veil_that_only_the_sharp_picture_shows_is_measured():
    """A veil of 0.1 over the left half, of which only a strip is in focus."""
    rng = np.random.default_rng(0)
    photo = rng.random((60, 80, 3)).astype(np.float32)
    veiled, radius, counts = photo.copy(), np.full((60, 80), 9.0), np.ones((60, 80), bool)
    veiled[:, :40] += 0.1
    radius[:, 10:20] = -0.5
    found = agreement("a.jpg", photo, veiled, photo + 0.01, radius, counts)
    assert found is not None
    assert found.sharp == pytest.approx(20.0, abs=0.05) and found.taken == pytest.approx(40.0, abs=0.05)
    radius[:, 10:20], radius[:, 60:70] = 9.0, 0.2
    assert agreement("a.jpg", photo, veiled, photo, radius, counts).lost < 1  # type: ignore[union-attr]
    assert agreement("a.jpg", photo, veiled, photo, radius, counts & (radius > 1)) is None


def test_what_the_edge_of_a_near_thing_covers_is_no_disagreement():
    """A near thing of circles of 6 px at the left: its light lies over 6 px of what is in focus behind its edge."""
    photo = np.random.default_rng(0).random((60, 80, 3)).astype(np.float32)
    sharp, radius, counts = photo.copy(), np.full((60, 80), 0.1), np.ones((60, 80), bool)
    radius[:, :20] = -6.0
    sharp[:, 20:26] += 0.3
    found = agreement("a.jpg", photo, sharp, photo, radius, counts)
    assert found is not None and found.lost < 1
    for other in (6.0, -9.0):  # behind, or before the camera: that covers nothing, or excuses nothing
        radius[:, :20] = other
        found = agreement("a.jpg", photo, sharp, photo, radius, counts)
        assert found is not None and found.lost > 20
