"""A lens that breathes, of whose photos cameras were found by one focal length: points projected through it."""

from dataclasses import replace

import numpy as np
import pytest

from macrosplat.cameras import breathes
from macrosplat.cameras.breathes import adjusted, differ, with_breathing
from macrosplat.cameras.in_focus import Focus
from test_calibrate import FOCAL, VIEWS, observed, ring

RELATIVE = 0.03 * np.cos(2.3 * np.arange(VIEWS))
RELATIVE -= RELATIVE.mean()
SLOPE = 0.45


@pytest.fixture(scope="module")
def hidden():
    """Cameras of one focal length that stepped back where it was longer, and points that a breathing lens shows."""
    given = ring()
    stepped = given.views.copy()
    stepped[:, 2, 3] /= 1 + SLOPE * RELATIVE
    return replace(given, views=stepped, source="sfm"), observed(given, 1 + SLOPE * RELATIVE, 0.0, noise=0.1)


def test_breathing_that_poses_hide(hidden):
    cameras, points = hidden
    found = adjusted(cameras, points, RELATIVE)
    assert found.sigma < 0.05 and found.slope == pytest.approx(SLOPE, abs=4 * found.sigma) and found.sure
    focal = found.cameras.intrinsics[:, 0]
    np.testing.assert_allclose(focal / focal.mean(), 1 + SLOPE * RELATIVE, atol=2e-3)
    np.testing.assert_allclose(focal.mean(), FOCAL, rtol=0.02)
    # Distances from the object are those that cameras were taken from, up to one scale.
    away = np.linalg.norm(found.cameras.centres - found.xyz.mean(0), axis=1)
    true = np.linalg.norm(ring().centres, axis=1)
    assert np.std(away / true) / np.mean(away / true) < 2e-3
    before = np.linalg.norm(cameras.centres, axis=1) / true
    assert np.std(before) / np.mean(before) > 5e-3


def test_a_lens_that_does_not_breathe():
    given = ring()
    found = adjusted(given, observed(given, np.ones(VIEWS), 0.0, noise=0.1), RELATIVE)
    assert not found.sure and abs(found.slope) < 4 * found.sigma


def test_only_what_is_sure_is_taken(hidden, monkeypatch):
    cameras, points = hidden
    near = (1 + RELATIVE) / 100.0
    monkeypatch.setattr(breathes, "find_focus", lambda *_: Focus(near, np.full(VIEWS, 1e-6)))
    found = with_breathing(cameras, points, ())
    assert found is not None and differ(found.cameras) and not differ(cameras) and "breathes" in found.sentence
    assert with_breathing(found.cameras, points, ()) is None  # which have focal lengths of their own already
    noisy = replace(points, px=points.px + np.random.default_rng(0).normal(0, 8, points.px.shape))
    assert with_breathing(cameras, noisy, ()) is None
    monkeypatch.setattr(breathes, "find_focus", lambda *_: Focus(np.full(VIEWS, 0.01), np.full(VIEWS, 1e-6)))
    assert with_breathing(cameras, points, ()) is None  # all focused alike
    monkeypatch.setattr(breathes, "find_focus", lambda *_: Focus(near, np.where(np.arange(VIEWS) == 3, np.inf, 1e-6)))
    assert with_breathing(cameras, points, ()) is None  # one of which nobody knows


def test_steps_that_lead_nowhere_tell_nothing(hidden):
    cameras, points = hidden
    behind = points.xyz.copy()
    behind[0] *= 1e4
    for xyz in (behind, np.where(np.arange(len(points.xyz))[:, None] == 0, np.nan, points.xyz)):
        found = adjusted(cameras, replace(points, xyz=xyz), RELATIVE)
        assert not found.sure and np.isfinite(found.cameras.views).all()
