"""How sure a lens is said to be: lengths by px of blur, terms by what the photos tell, and by their cameras."""

from dataclasses import replace

import numpy as np
import pytest

from macrosplat.cameras.records import Distortion
from macrosplat.lens import LensEstimate
from macrosplat.output import how_sure
from macrosplat.output.how_sure import focus_uncertainties, pupil_uncertainty, uncertainties
from macrosplat.output.term_uncertainty import Told
from test_calibrated import cameras

# 20 mm at 140 mm, 3200 px: 1 mm of focus is 1.63 px of radius.
LENS = LensEstimate(20.0, (140.0,) * 4, (1.0,) * 4, 0.2, 640)
PX_PER_MM = 20 / 2 * 3200 / 140**2
GIVEN = cameras(np.full(4, 3200.0))
SURE = Told(1e-6, np.full(4, 1e-9), {}, 1e-9)


def test_photos_that_tell_all_leave_what_the_scene_takes_over():
    found = uncertainties(SURE, LENS, GIVEN, 3200.0, blur_px=8.0)
    assert found["pupil_uncertainty"] == pytest.approx(how_sure.RADIUS / 8)
    focus = [140 * relative for relative in found["focus_uncertainty"].values()]
    assert focus == pytest.approx([how_sure.RADIUS / PX_PER_MM] * 4)
    assert not found.keys() & {"colour_uncertainty", "vignetting_uncertainty", "distortion_uncertainty"}


def test_what_photos_hardly_tell_is_unsure():
    told = replace(SURE, pupil=0.2, focus=np.array([1e-9, 0.01, np.inf, 1e-9]))
    found = uncertainties(told, LENS, GIVEN, 3200.0, blur_px=8.0)
    assert found["pupil_uncertainty"] == pytest.approx(np.hypot(0.2 * how_sure.GIVES, how_sure.RADIUS / 8))
    focus = list(found["focus_uncertainty"].values())
    assert focus[0] == focus[3] < focus[1] < focus[2] == 1.0
    assert focus[1] == pytest.approx(np.hypot(how_sure.GIVES * 0.01, focus[0]))
    assert pupil_uncertainty(0.0, 0.0, GIVEN) == 1.0  # nothing is blurred


def test_terms_that_are_said():
    bent = Distortion("OPENCV", (3200.0, 3200.0, 320.0, 240.0, -0.64, 0.0, 0.0, 0.0), 640, 480)
    lens = replace(LENS, colour_offsets=(1e-5, -1e-5), vignetting=0.5, corner_offset=1e-5, lateral_px=(1.0, 0.5))
    terms = {"lens.colour": np.diag([0.3, 0.0]) ** 2, "lens.vignetting": np.diag([0.03, 0.04]) ** 2}
    terms |= {"lens.curvature": np.array([[np.inf]]), "lens.lateral": np.zeros((2, 2))}
    told = replace(SURE, terms=terms, corner=1e-3)
    found = uncertainties(told, lens, replace(GIVEN, distortion=(bent,) * 4), 3200.0, blur_px=8.0)
    px = np.array(found["colour_uncertainty"]) * PX_PER_MM
    assert px == pytest.approx([np.hypot(0.3 * how_sure.GIVES, how_sure.COLOUR), how_sure.COLOUR])
    stops = found["vignetting_uncertainty"] * np.log(2)
    assert stops == pytest.approx(np.hypot(0.05 * how_sure.GIVES, how_sure.STOPS * np.log(2)))
    assert found["lateral_uncertainty"] == pytest.approx((how_sure.LATERAL / 400,) * 2)
    assert found["distortion_uncertainty"] == pytest.approx(np.hypot(1e-3 * how_sure.GIVES, how_sure.DISTORTED / 400))
    assert "corner_uncertainty" not in found  # no photo tells


def test_how_sure_a_focus_is():
    """Under given cameras as sure for all photos; under those found from the photos a breathing lens moves it by
    d ln d0 = -b d ln m, b between none and a half."""
    focus = np.linspace(138, 146, 20)
    given, sure, slope = cameras(np.full(20, 3200.0)), np.zeros(20), np.full(20, 200.0)
    np.testing.assert_allclose(focus_uncertainties(sure, slope, focus, given), how_sure.RADIUS / 200)
    hidden = 0.44 * (focus.mean() / focus - 1)
    untold = focus_uncertainties(sure, slope, focus, replace(given, source="sfm"))
    assert untold.argmin() in (9, 10) and np.sqrt(np.mean((hidden / untold) ** 2)) == pytest.approx(1, abs=0.3)
    told = replace(given, source="sfm", intrinsics=cameras(3200 * (1 + hidden)).intrinsics)
    assert (focus_uncertainties(sure, slope, focus, told) < untold).all()
