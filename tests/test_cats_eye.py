"""Cat's eyes: the moments of a lemon, what samples count for, and photos against many points of a clipped pupil."""

import dataclasses
import math

import pytest
import torch

from macrosplat.lens import Sampling, cats_eye, terms, vignetting
from macrosplat.lens.aperture import sheared
from macrosplat.lens.thin import ThinLens
from macrosplat.output.lens_report import describe
from macrosplat.output.lens_words import in_words
from test_lens import CAMERA, START, plane
from test_lens_report import ONE_TO_ONE

WIDTH, HEIGHT = CAMERA.frame.width, CAMERA.frame.height


def lens(corner: float) -> ThinLens:
    made = ThinLens(dataclasses.replace(START, width=WIDTH))
    made.parameters["lens.cats_eye"].fill_(corner)
    made.parameters["lens.cats_eye_seen"].fill_(terms.SEEN)
    return made


def disc(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    k = torch.arange(count, dtype=torch.float64)
    reach, turn = ((k + 0.5) / count).sqrt(), 2.399963229728653 * k
    return reach * turn.cos(), reach * turn.sin()


@pytest.mark.parametrize("t", [0.0, 0.1, 0.3, 0.5])
def test_area_and_variances_of_a_lemon(t):
    x, y = disc(60_000)
    inside = (x.abs() + t) ** 2 + y**2 < 1
    found = cats_eye.moments(torch.tensor(t, dtype=torch.float64))
    wanted = inside.double().mean(), x[inside].square().mean(), y[inside].square().mean()
    torch.testing.assert_close(torch.stack(found), torch.stack(wanted), atol=5e-4, rtol=0)
    assert cats_eye.left(t) == pytest.approx(float(wanted[0]), abs=5e-4)


@pytest.mark.parametrize("samples", [8, 16])
def test_samples_have_the_lemon_s_second_moments(samples):
    """Along the way from the middle of the frame, and across it, with their residual blur."""
    from macrosplat.lens.aperture import aperture_samples

    t, towards = torch.full((1, 2), 0.1), torch.tensor([[[1.0, -1.0]], [[0.0, 0.0]]])  # to the right; downwards
    _, along, across = cats_eye.moments(t)
    turns = torch.linspace(0, 2 * math.pi, 50)[1:].tolist()
    found = torch.zeros(2, 2)
    for turn in turns:
        u, v, residual = aperture_samples(Sampling(samples, turn), t)
        counted = cats_eye.weights(u, v, t, towards, one_ring=False)
        torch.testing.assert_close(counted.mean(0), torch.ones(1, 2))
        left = 2 * (along + across)[0] * residual**2  # the residual blur is narrowed as well
        found += (counted[:, 0] * torch.stack([u, v])[:, :, None].square()).mean(1) + left
    wanted = torch.tensor([[float(along[0, 0]), float(across[0, 1])], [float(across[0, 0]), float(along[0, 1])]])
    torch.testing.assert_close(found / len(turns), wanted, atol=8e-3, rtol=0)


def test_a_photo_is_that_of_many_points_of_a_clipped_pupil():
    """And by how much nearer to it than what a whole pupil takes, dimmed as much: one sample knows no direction."""
    corner, draw = 0.25, plane(6.5)
    made = lens(corner)
    pupil, focus, _ = made._numbers(0, CAMERA)
    x = torch.arange(WIDTH) + 0.5 - WIDTH / 2
    y = (torch.arange(HEIGHT) + 0.5 - HEIGHT / 2)[:, None]
    away = torch.hypot(x, y)
    t = corner * away / (0.5 * math.hypot(WIDTH, HEIGHT))
    wanted, (u, v) = torch.zeros(HEIGHT, WIDTH, 3), (axis.float() for axis in disc(250))
    for m in range(len(u)):
        along, across = (u[m] * x + v[m] * y) / away, (u[m] * y - v[m] * x) / away
        inside = ((along.abs() + t) ** 2 + across**2 < 1).float()
        view = sheared(CAMERA.view, u[m : m + 1] * pupil / 2, v[m : m + 1] * pupil / 2, focus)
        wanted += inside[..., None] * draw(CAMERA.at(view)).colour[0] / len(u)
    inner, left = (slice(10, -10), slice(10, -10)), cats_eye.moments(t)[0][..., None]
    for samples, off in ((1, 0.7), (8, 0.35)):
        whole = left * lens(0.0).photograph(draw, CAMERA, 0, Sampling(samples, 0.3))
        taken = made.photograph(draw, CAMERA, 0, Sampling(samples, 0.3))
        wrong, without = (float((one - wanted)[inner].square().mean().sqrt()) for one in (taken, whole))
        assert wrong < off * without and without > 6e-3


def test_gradients_against_differences_and_the_light_has_none():
    draw, sampling = plane(4.2), Sampling(8, 0.3)
    whole = lens(0.0).photograph(draw, CAMERA, 0, sampling)

    def shape(made: ThinLens) -> torch.Tensor:
        t = made.opening(0, CAMERA).clipped[0].detach()
        return made.photograph(draw, CAMERA, 0, sampling) / cats_eye.moments(t)[0][..., None]

    made = lens(0.1)
    made.parameters["lens.cats_eye"].requires_grad_()
    (gradient,) = torch.autograd.grad((shape(made) - whole).square().mean(), made.parameters["lens.cats_eye"])
    above, below = ((shape(lens(0.1 + step)) - whole).square().mean() for step in (0.01, -0.01))
    assert float(gradient) == pytest.approx(float(above - below) / 0.02, rel=0.02)


def test_a_pupil_that_is_stopped_down_is_clipped_less():
    t = torch.tensor([-0.1, 0.0, 0.2, 0.4])
    torch.testing.assert_close(cats_eye.stopped_down(t, torch.tensor(1.0)), t)
    # At 0.7 of its width it reaches 0.3 less far out.
    wanted = torch.tensor([-0.1, 0.0, 0.0, 0.1 / 0.7])
    torch.testing.assert_close(cats_eye.stopped_down(t, torch.tensor(0.7)), wanted)


def test_the_light_is_said_once():
    """What vignetting has left of the light is what the clipped pupil does not take."""
    corner = torch.tensor([0.3])
    rho = torch.linspace(0, 1, 40)
    all_of_it = torch.tensor([-0.9, 0.1])
    rest = cats_eye.remaining(all_of_it, corner)
    both = rest[0] * rho**2 + rest[1] * rho**4 + cats_eye.moments(corner * rho)[0].log()
    torch.testing.assert_close(both[20:], (all_of_it[0] * rho**2 + all_of_it[1] * rho**4)[20:], atol=0.04, rtol=0)
    made = lens(0.3)
    made.parameters["lens.vignetting_seen"].fill_(terms.SEEN)
    made.parameters["lens.vignetting"].copy_(rest)
    stops = made.estimate(torch.tensor([1.0, 1.0])).vignetting
    assert stops == pytest.approx(vignetting.stops_lost(all_of_it), abs=0.06)


def test_reported_as_the_share_that_is_left():
    report = dataclasses.replace(ONE_TO_ONE, cats_eye=0.71, cats_eye_uncertainty=0.03)
    assert describe(report)["cats_eye"] == 0.71 and describe(ONE_TO_ONE)["cats_eye"] is None
    assert "71 ± 3 % of the pupil left in the corner" in in_words(report)
