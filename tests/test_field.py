"""Curvature of field and lateral colour: each place as a lens focused there, channels magnified."""

import dataclasses

import pytest
import torch

from macrosplat.lens import Sampling, Sharp, curvature, lateral, terms
from macrosplat.lens.thin import ThinLens
from macrosplat.lens.vignetting import squared_radii
from macrosplat.output.lens_report import describe
from macrosplat.output.lens_words import in_words
from test_lens import CAMERA, FOCUS, FX, START, plane
from test_lens_report import ONE_TO_ONE

WIDTH, HEIGHT = CAMERA.frame.width, CAMERA.frame.height


def lens(**values: list[float]) -> ThinLens:
    made = ThinLens(dataclasses.replace(START, width=WIDTH, settings={"aberrations": "all"}))
    for name, numbers in values.items():
        made.parameters[f"lens.{name}"] = torch.tensor(numbers)
    return made


@pytest.mark.parametrize("samples", [1, 8])
@pytest.mark.parametrize("depth", [4.2, 6.5])
def test_each_place_is_that_of_a_lens_focused_where_it_is(samples, depth):
    radius, sampling = 2.0, Sampling(samples, 0.3)
    taken = lens(curvature=[radius]).photograph(plane(depth), CAMERA, 0, sampling)
    flat = lens().photograph(plane(depth), CAMERA, 0, sampling)
    pupil = float(lens().parameters["lens.pupil"].exp())
    rho = squared_radii(WIDTH, HEIGHT, torch.zeros(()))
    changed = 0.0
    for y, x in ((36, 48), (36, 80), (58, 75), (12, 20)):
        focus = 1 / (1 / FOCUS + float(rho[y, x]) * radius / (pupil / 2 * FX))
        there = ThinLens(dataclasses.replace(START, focus=(focus,) * len(START.focus), width=WIDTH))
        wanted = there.photograph(plane(depth), CAMERA, 0, sampling)[y, x]
        torch.testing.assert_close(taken[y, x], wanted, atol=4e-3, rtol=0)
        changed = max(changed, float((taken - flat)[y, x].abs().max()))
    assert changed > 2e-2


def test_depths_anywhere_in_the_frame():
    """Those of points are those of their pixels, and what lies beyond the frame is as its corner."""
    made = lens(curvature=[2.0])
    depth = torch.full((HEIGHT, WIDTH), 4.2)
    whole = made.radius(Sharp(depth, depth, depth), CAMERA, 0)
    places = torch.tensor([[80, 36], [20, 12], [0, 0]])
    row = torch.full((1, 4), 4.2)
    points = torch.cat([places + 0.5, torch.tensor([[-500.0, 40.0]])])
    found = made.radius(Sharp(row, row, row), CAMERA, 0, points[None])[0]
    torch.testing.assert_close(found[:3], whole[places[:, 1], places[:, 0]])
    assert float(found[3]) == pytest.approx(float(whole[0, 0]), abs=0.05)
    assert float((whole.max() - whole.min()).abs()) > 1


def test_gradients_against_differences():
    for name, begun in (("curvature", [0.7]), ("lateral", [0.4, -0.3])):
        target = lens().photograph(plane(4.2), CAMERA, 0, Sampling(4, 0.3)).detach()
        made = lens(**{name: begun})
        leaf = made.parameters[f"lens.{name}"].requires_grad_()
        loss = (made.photograph(plane(4.2), CAMERA, 0, Sampling(4, 0.3)) - target).square().mean()
        gradient = torch.autograd.grad(loss, leaf)[0]
        for k in range(len(begun)):
            sides = []
            for step in (0.02, -0.02):
                moved = [value + step * (i == k) for i, value in enumerate(begun)]
                there = lens(**{name: moved}).photograph(plane(4.2), CAMERA, 0, Sampling(4, 0.3))
                sides.append(float((there - target).square().mean()))
            assert float(gradient[k]) == pytest.approx((sides[0] - sides[1]) / 0.04, rel=0.03)


def waves(larger: float = 1.0):
    """A draw of a pattern about the middle of the frame, so many times as large, in focus."""

    def draw(camera, reshape=None):
        x, y = torch.arange(WIDTH) + 0.5 - WIDTH / 2, torch.arange(HEIGHT) + 0.5 - HEIGHT / 2
        shade = 0.5 + 0.2 * (x / larger / 3).sin() + 0.2 * (y[:, None] / larger / 3).cos()
        colour = shade[..., None].expand(-1, -1, 3)[None].contiguous()
        return Sharp(colour, torch.ones(1, HEIGHT, WIDTH), torch.full((1, HEIGHT, WIDTH), FOCUS))

    return draw


def test_red_and_blue_are_magnified():
    taken = lens(lateral=[1.2, -0.6]).photograph(waves(), CAMERA, 0, Sampling())
    shares = lateral.magnified(torch.tensor([1.2, -0.6]), WIDTH, HEIGHT).tolist()
    for channel, share in ((0, shares[0]), (1, 0.0), (2, shares[1])):
        wanted = lens().photograph(waves(1 + share), CAMERA, 0, Sampling())
        inside = (slice(6, -6), slice(6, -6), channel)
        torch.testing.assert_close(taken[inside], wanted[inside], atol=3e-3, rtol=0)
    with_alpha = lateral.bends(torch.tensor(shares), 4)[0]
    assert float(with_alpha[3].abs().max()) == 0 and float(with_alpha[0, 2]) == pytest.approx(shares[0])


def test_reported_where_they_were_seen():
    made = lens(curvature=[2 * curvature.LEAST], lateral=[0.5 * lateral.LEAST, 0.0])
    made.decide()
    assert made.seen("lens.curvature") == terms.SEEN and made.seen("lens.lateral") == terms.NOT_SEEN
    found = made.estimate(torch.full((len(START.focus),), FX / WIDTH))
    assert found.lateral_px is None
    assert found.corner_focus() == pytest.approx(-2 * curvature.LEAST / (0.4 * FX) * 5.5**2, rel=0.1)
    report = dataclasses.replace(
        ONE_TO_ONE, corner_focus=-0.45, lateral=(1e-3, -5e-4), lateral_uncertainty=(2e-4, 2e-4)
    )
    said = describe(report)
    assert said["field_curvature"]["mm"] == pytest.approx(-0.9)
    assert said["lateral_colour"]["blue"]["larger"] == pytest.approx(-5e-4)
    words = in_words(report)
    assert "0.9 mm nearer in the corner" in words and "red +0.10 ± 0.02 % and blue -0.05 ± 0.02 %" in words
