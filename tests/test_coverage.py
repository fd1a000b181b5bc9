"""Coverage: what is hidden is not covered, what was never in focus is found, and the advice brings it into focus."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from macrosplat.output.coverage import COVERED, UNIT_PX, coloured, cover, draw_coverage, plan, visible
from macrosplat.output.coverage_report import report_coverage, sentences, write_coverage
from macrosplat.render import Pinhole
from macrosplat.run import Run
from macrosplat.scene import Gaussians
from macrosplat.scene.gaussians import SH_C0

PINHOLE = Pinhole(fx=200.0, fy=200.0, cx=32.0, cy=24.0, width=64, height=48, near=1.0)
PUPIL = 3.0


def plates(*places, size=0.6, logit=6.0):
    """Gaussians at places (x, y, z), flat along z."""
    n = len(places)
    scales = torch.tensor([size, size, 0.01]).log().repeat(n, 1)
    quats = torch.tensor([1.0, 0, 0, 0]).repeat(n, 1)
    means = torch.tensor(places, dtype=torch.float32)
    return Gaussians(means, scales, quats, torch.full((n,), logit), torch.zeros(n, 3), torch.zeros(n, 0, 3))


def radius_of(focus):
    """A thin lens focused at focus[v]."""
    return lambda depth, v: PUPIL / 2 * PINHOLE.fx * (1 / focus[v] - 1 / depth)


def behind():
    """A view from the other side: the half turn about y, 20 units along z."""
    view = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    view[2, 3] = 20.0
    return view


def test_a_lone_gaussian_shows_all_its_light():
    light, alone, depth, inside = visible(plates((0, 0, 10.0), size=0.2), PINHOLE.at(torch.eye(4)))
    assert depth.item() == 10.0 and inside.item()
    # Alpha is cut off at 1/255 and capped at 0.999: 1 % of the light at most.
    assert light.item() == pytest.approx(alone.item(), rel=0.01)
    covariance = (200 * 0.2 / 10) ** 2 + 0.1
    opacity = 1 / (1 + math.exp(-6)) * 16 / covariance
    assert alone.item() == pytest.approx(2 * math.pi * covariance * opacity, rel=1e-3)


def test_hidden_is_not_covered():
    # Two plates in a row; the nearer view is focused on the far plate, which it cannot see.
    scene = plates((0, 0, 9.0), (0, 0, 11.0))
    covered = cover(scene, [PINHOLE.at(torch.eye(4)), PINHOLE.at(behind())], radius_of([11.0, 30.0]))
    assert covered.seen.tolist() == [[True, False], [False, True]]
    near, far = (abs(radius_of([11.0, 30.0])(torch.tensor(9.0), v).item()) for v in (0, 1))
    # Each is 9 from the view that sees it.
    np.testing.assert_allclose(covered.value, np.exp(-((np.array([near, far]) / UNIT_PX) ** 2)), atol=2e-3)
    assert covered.uncovered == pytest.approx(1.0)


def test_only_what_most_photos_have_in_the_frame_counts():
    aside = torch.eye(4)
    aside[0, 3] = -2.0
    scene = plates((0, 0, 10.0), (1.4, 0, 10.0), size=0.05)
    covered = cover(scene, [PINHOLE.at(view) for view in (torch.eye(4), torch.eye(4), aside)], radius_of([10.0] * 3))
    assert covered.weight[0] == 0 and covered.weight[1] > 0 and covered.value.min() > 0.99


def test_the_mask_counts():
    left = np.zeros((48, 64), np.uint8)
    left[:, :32] = 255
    scene = plates((-0.8, 0, 10.0), (0.8, 0, 10.0), size=0.2)
    covered = cover(scene, [PINHOLE.at(torch.eye(4))], radius_of([10.0]), [left])
    assert covered.weight[0] > 100 * max(covered.weight[1], 1e-6) and covered.value[0] == pytest.approx(1)


def test_the_advice_brings_the_rest_into_focus():
    # A ramp from 8 to 12, focused at 8.5 in two photos: its far end is in focus nowhere.
    random = np.random.default_rng(0)
    z = random.uniform(8, 12, 400)
    places = np.stack([random.uniform(-1, 1, 400) * z / 10, random.uniform(-0.8, 0.8, 400) * z / 10, z], 1)
    scene, camera = plates(*places.tolist(), size=0.02), PINHOLE.at(torch.eye(4))
    focus = [8.5, 8.6]
    before = cover(scene, [camera] * 2, radius_of(focus))
    beyond = np.array([min(abs(radius_of([f])(torch.tensor(d), 0).item()) for f in focus) > UNIT_PX for d in z])
    assert ((before.value < COVERED) == beyond).mean() > 0.99 and before.uncovered > 0.5
    slope = PUPIL / 2 * PINHOLE.fx
    further = plan(before, [slope, slope])
    # What is left of 1 / d, in pieces as long as the depth of field: the least number there can be.
    assert len(further) == math.ceil((1 / 8.6 - UNIT_PX / slope - 1 / 12) / (2 * UNIT_PX / slope))
    after = cover(scene, [camera] * (2 + len(further)), radius_of(focus + [f.focus for f in further]))
    assert after.uncovered < 0.02
    assert sum(f.gain for f in further) == pytest.approx(before.uncovered - after.uncovered, abs=0.02)


def test_pictures_of_coverage():
    scene = plates((-0.8, 0, 10.0), (0.8, 0, 12.0), size=0.3)
    covered = cover(scene, [PINHOLE.at(torch.eye(4))], radius_of([10.0]))
    drawn = draw_coverage(scene, covered, PINHOLE.at(torch.eye(4))).numpy()
    assert drawn[24, 16] == pytest.approx(1, abs=0.01) and drawn[24, 45] == pytest.approx(covered.value[1], abs=0.01)
    red, blue = (0.5 + SH_C0 * coloured(scene, covered).sh0[i].numpy() for i in (1, 0))
    assert red[0] > 0.7 > 0.4 > red[2] and blue[2] > 0.6 > 0.4 > blue[0]


def test_sentences(tmp_path):
    scene = plates((-0.8, 0, 10.0), (0.8, 0, 12.0), size=0.2)
    covered = cover(scene, [PINHOLE.at(torch.eye(4))], radius_of([10.0]))
    report = report_coverage(covered, plan(covered, [PUPIL / 2 * PINHOLE.fx]), {"a.jpg": 10.0})
    (said,) = sentences(report, 3.0)
    assert "1 more photo" in said and "from where a.jpg was taken" in said and "focused 6 mm farther (at 36)" in said
    write_coverage(Run(tmp_path), report, None)
    kept = json.loads((tmp_path / "coverage.json").read_text())
    assert kept["further_photos"][0]["focus_distance"] == {"scene_units": pytest.approx(12.0), "mm": None}
    everything = cover(scene, [PINHOLE.at(torch.eye(4))] * 2, radius_of([10.0, 12.0]))
    (said,) = sentences(report_coverage(everything, [], {}), None)
    assert said.startswith("100 %")
