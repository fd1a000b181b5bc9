"""Vignetting: the falloff's closed form and gradient, what a lens with it takes, and when there is none."""

import dataclasses
import math

import pytest
import torch

from macrosplat.lens import Sampling, terms, vignetting
from macrosplat.lens.thin import ThinLens
from macrosplat.output.lens_report import describe
from test_lens import CAMERA, START, plane
from test_lens_report import ONE_TO_ONE


def test_what_is_left_in_the_corner_and_the_middle():
    radii = vignetting.squared_radii(400, 300, torch.zeros((), dtype=torch.float64))
    assert radii.shape == (300, 400) and float(radii.max()) == pytest.approx(1, abs=0.01)
    assert float(radii.min()) < 1e-5
    coefficients = torch.tensor([-0.3, -0.2], dtype=torch.float64)
    light = torch.ones(300, 400, 4, dtype=torch.float64)
    left = vignetting.dimmed(light, coefficients, radii)
    assert torch.equal(left[..., 3], light[..., 3])  # an alpha is no light
    assert float(-left[0, 0, 0].log2()) == pytest.approx(vignetting.stops_lost(coefficients), abs=0.01)
    half = 75, 100  # half way to the corner
    assert float(left[half][1].log()) == pytest.approx(-0.3 / 4 - 0.2 / 16, abs=2e-3)


def test_gradients_against_differences():
    light = torch.rand(5, 6, 4, dtype=torch.float64, requires_grad=True)
    coefficients = torch.tensor([-0.3, 0.1], dtype=torch.float64, requires_grad=True)
    radii = vignetting.squared_radii(6, 5, light)
    assert torch.autograd.gradcheck(lambda a, b: vignetting.dimmed(a, b, radii), (light, coefficients))


def test_a_lens_dims_its_photo_until_none_was_seen():
    start = dataclasses.replace(START, width=CAMERA.frame.width, settings={"aberrations": "auto"})
    plain = ThinLens(start).photograph(plane(4.2), CAMERA, 0, Sampling())
    for lost in (0.5 * vignetting.LEAST, 2 * vignetting.LEAST):
        lens = ThinLens(start)
        lens.parameters["lens.vignetting"] = torch.tensor([-lost * math.log(2), 0.0])
        taken = lens.photograph(plane(4.2), CAMERA, 0, Sampling())
        assert float((taken / plain)[0, 0].log2().mean()) == pytest.approx(-lost, abs=0.03)
        lens.decide()
        seen = lost >= vignetting.LEAST
        assert lens.seen("lens.vignetting") == (terms.SEEN if seen else terms.NOT_SEEN)
        after = lens.photograph(plane(4.2), CAMERA, 0, Sampling())
        torch.testing.assert_close(after, taken if seen else plain, atol=1e-5, rtol=0)
        found = lens.estimate(torch.tensor([1.0, 1.0])).vignetting
        assert found == (pytest.approx(lost, abs=1e-5) if seen else None)
    assert describe(dataclasses.replace(ONE_TO_ONE, vignetting=0.4))["vignetting"] == 0.4
