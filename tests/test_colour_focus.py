"""Longitudinal colour: each channel as a lens focused where it is, gradients, and when there is no such term."""

import dataclasses

import pytest
import torch

from macrosplat.lens import LensEstimate, Sampling, colour, terms
from macrosplat.lens.thin import ThinLens
from macrosplat.output.lens_report import describe
from macrosplat.output.lens_words import in_words
from test_lens import CAMERA, FOCUS, FX, START, plane
from test_lens_report import ONE_TO_ONE

RADII = (0.8, -0.5)  # px, of red and blue where green is in focus


def lens(radii=RADII) -> ThinLens:
    made = ThinLens(dataclasses.replace(START, width=CAMERA.frame.width, settings={"aberrations": "auto"}))
    made.parameters["lens.colour"] = torch.tensor(radii)
    return made


@pytest.mark.parametrize("samples", [1, 4, 8])
@pytest.mark.parametrize("depth", [4.2, FOCUS, 6.5])
def test_each_channel_is_that_of_a_lens_focused_where_it_is(samples, depth):
    sampling = Sampling(samples, 0.3)
    taken = lens().photograph(plane(depth), CAMERA, 0, sampling)
    pupil = float(lens().parameters["lens.pupil"].exp())
    inside = (slice(12, -12), slice(12, -12))
    for channel, radius in enumerate((RADII[0], 0.0, RADII[1])):
        focus = 1 / (1 / FOCUS + radius / (pupil / 2 * FX))
        there = ThinLens(dataclasses.replace(START, focus=(focus,) * len(START.focus), width=CAMERA.frame.width))
        wanted = there.photograph(plane(depth), CAMERA, 0, sampling)
        # Cubic interpolation of a wave of 14 px loses up to 0.1 % of it.
        torch.testing.assert_close(taken[inside][..., channel], wanted[inside][..., channel], atol=3e-3, rtol=0)
    assert float((taken - lens((0.0, 0.0)).photograph(plane(depth), CAMERA, 0, sampling)).abs().max()) > 5e-3


def test_gradients_against_differences():
    target = lens().photograph(plane(4.2), CAMERA, 0, Sampling(4, 0.3)).detach()

    def loss(radii):
        return (lens(radii.tolist()).photograph(plane(4.2), CAMERA, 0, Sampling(4, 0.3)) - target).square().mean()

    made = lens((0.3, 0.1))
    made.parameters["lens.colour"].requires_grad_()
    found = (made.photograph(plane(4.2), CAMERA, 0, Sampling(4, 0.3)) - target).square().mean()
    gradient = torch.autograd.grad(found, made.parameters["lens.colour"])[0]
    for k in range(2):
        step = torch.zeros(2)
        step[k] = 0.02
        difference = (loss(torch.tensor([0.3, 0.1]) + step) - loss(torch.tensor([0.3, 0.1]) - step)) / 0.04
        assert float(gradient[k]) == pytest.approx(float(difference), rel=0.03)


def test_decided_once_and_off_where_no_photo_tells():
    for radius, verdict in ((0.5 * colour.LEAST, terms.NOT_SEEN), (2 * colour.LEAST, terms.SEEN)):
        made = lens((0.0, -radius))
        assert not made.undecided(terms.DECIDED_AT - 0.01) and made.undecided(terms.DECIDED_AT)
        made.decide()
        assert not made.undecided(1.0) and made.parameters["lens.colour_seen"] == verdict
        seen = verdict == terms.SEEN
        assert (made.foci(0, CAMERA).colours is not None) == seen
        assert ("lens.colour" in made.plan(0.9).rates) == seen or not made.spans
        assert (made.estimate(torch.full((len(START.focus),), FX / CAMERA.frame.width)).colour_offsets is None) != seen
        again = lens()  # as a checkpoint brings it back
        again.parameters.update(made.parameters)
        assert not again.undecided(1.0) and (again.foci(0, CAMERA).colours is not None) == seen


def test_reported_in_millimetres():
    estimate = LensEstimate(12.5, (100.0, 90.0, 110.0), (1.0,) * 3, 0.8, 640, (1 / 100.3 - 1 / 100, 1 / 99.8 - 1 / 100))
    report = dataclasses.replace(ONE_TO_ONE, colour_focus=estimate.colour_focus())
    found = describe(report)["colour_focus"]
    assert (found["red"]["mm"], found["blue"]["mm"]) == pytest.approx((0.6, -0.4))
    assert "0.6 mm farther (red) and 0.4 mm nearer (blue)" in in_words(report)
    assert describe(ONE_TO_ONE)["colour_focus"] is None
