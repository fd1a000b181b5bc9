"""Focal lengths held to the law of their focus: a thin lens of 60 mm, and one photo whose key points are wrong."""

import numpy as np
import pytest

from macrosplat.cameras.by_focus import by_focus
from macrosplat.cameras.calibrate import Calibration
from macrosplat.cameras.in_focus import Focus
from test_calibrate import VIEWS, ring

F, SIGMA, FOCUS_SIGMA = 60.0, 3e-4, 2e-6  # mm; relative; 1/mm


@pytest.fixture
def lens():
    """Focus of the photos, and their true focal lengths over the mean."""
    focus = np.random.default_rng(0).permutation(np.linspace(138.0, 146.0, VIEWS))
    image = 1 / (1 / F - 1 / focus)
    near = 1 / focus + np.random.default_rng(1).normal(0, FOCUS_SIGMA, VIEWS)
    return Focus(near, np.full(VIEWS, FOCUS_SIGMA)), image / image.mean()


def calibration(factor, sigma=SIGMA, wrong=0.0):
    own = factor * (1 + np.random.default_rng(2).normal(0, sigma, VIEWS))
    own[3] *= 1 + wrong
    return Calibration(ring(), own / own.mean(), np.full(VIEWS, sigma), 0.0, 1.0, differ=True)


def test_a_photo_whose_key_points_are_wrong(lens):
    focus, factor = lens
    own = calibration(factor, wrong=-0.004)
    found = by_focus(own, focus)
    assert found is not None and abs(own.focal[3] / factor[3] - 1) > 0.003
    off = found.focal / factor - 1
    assert np.abs(off).max() < 1e-3 and found.focal.mean() == pytest.approx(own.focal.mean())
    assert np.std(np.delete(off, 3)) < SIGMA and np.sqrt(np.mean((off / found.focal_sigma) ** 2)) < 2


def test_one_that_shows_next_to_no_points_follows_the_others(lens):
    focus, factor = lens
    own = calibration(factor)
    own.focal[5], own.focal_sigma[5] = 1.0, np.inf
    found = by_focus(own, focus)
    assert found is not None and abs(factor[5] - 1) > 0.003
    assert found.focal[5] == pytest.approx(factor[5], abs=1e-3) and found.focal_sigma[5] < 1e-3


def test_no_law_changes_nothing(lens):
    """Focal lengths that differ, but not with the focus; and none of which the focus is told."""
    focus, factor = lens
    other = calibration(np.random.default_rng(5).permutation(factor))
    assert by_focus(other, focus) is None
    assert by_focus(calibration(factor), Focus(focus.nearness, np.full(VIEWS, np.inf))) is None


def test_another_zoom_stays(lens):
    focus, factor = lens
    own = calibration(factor, wrong=0.05)
    found = by_focus(own, focus)
    assert found is not None
    assert found.focal[3] / np.median(found.focal / factor) == pytest.approx(1.05 * factor[3], rel=3e-3)
