"""The pupil's shape: a polygon's corners, edges and moments, and what it makes of a point out of focus."""

import math

import pytest
import torch

from macrosplat.lens import Sampling
from macrosplat.lens.aperture import aperture_samples
from macrosplat.lens.blades import ORDERS, apothem, rim, shaped, swing


def blades(count, turn=0.3, straight=1.0):
    return torch.tensor([count, turn, straight], dtype=torch.float64)


def disc(rings=60, around=420):
    """Points evenly over the unit disc."""
    reach = ((torch.arange(rings, dtype=torch.float64) + 0.5) / rings).sqrt()
    angle = (torch.arange(around, dtype=torch.float64) + 0.5) * (2 * math.pi / around)
    return (reach[:, None] * angle.cos()).flatten(), (reach[:, None] * angle.sin()).flatten()


@pytest.mark.parametrize("count", ORDERS)
def test_straight_blades_bound_a_polygon_of_the_disc_s_second_moment(count):
    u, v = shaped(*disc(), blades(count))
    inwards = 0.3 + torch.arange(count) * (2 * math.pi / count)
    near = float(apothem(torch.tensor(float(count), dtype=torch.float64)))
    towards = u[:, None] * inwards.cos() + v[:, None] * inwards.sin()
    assert 0.99 * near < float(towards.max()) <= near + 1e-9
    for moment, wanted in (((u * u), 0.25), ((v * v), 0.25), ((u * v), 0.0), (u, 0.0), (v, 0.0)):
        assert float(moment.mean()) == pytest.approx(wanted, abs=1e-3)
    # Evenly: of the triangle between the middle and a blade, what lies in its half nearer to the middle is a quarter.
    assert float((towards.amax(1) < near / 2).double().mean()) == pytest.approx(0.25, abs=0.01)
    # And along a blade: as many in the middle half of its triangle as in the rest.
    along = (v * inwards[0].cos() - u * inwards[0].sin()) / towards[:, 0]
    of_first = towards.argmax(1) == 0
    assert float((along[of_first].abs() < math.tan(math.pi / count) / 2).double().mean()) == pytest.approx(
        0.5, abs=0.03
    )


def test_curved_blades_lie_between_and_none_bends_is_round():
    angle = torch.linspace(-4, 4, 2001, dtype=torch.float64)
    for straight in (0.0, 0.4, 1.0):
        x, y = rim(angle, blades(7, straight=straight))
        reach = torch.hypot(x, y)
        assert float(reach.square().mean()) == pytest.approx(1, abs=2e-3)
        turns = torch.linspace(-math.pi, math.pi, 2001, dtype=torch.float64)[1:]
        reach = torch.hypot(*rim(turns, blades(7, straight=straight)))
        at = torch.atan2(*reversed(rim(turns, blades(7, straight=straight))))
        # Its swing: the corners lie at the turn and half a blade more.
        step = (at.roll(-1) - at + 3 * math.pi) % (2 * math.pi) - math.pi
        found = float((reach * (7 * (at - 0.3 - math.pi / 7)).cos() * step).sum()) / math.pi
        assert found == pytest.approx(straight * swing(7), rel=0.02, abs=1e-3)
    x, y = rim(angle, blades(6, straight=0.0))
    torch.testing.assert_close(x, angle.cos())
    torch.testing.assert_close(y, angle.sin())


@pytest.mark.parametrize("samples", [4, 8, 16])
def test_samples_keep_their_second_moment_over_the_turns_of_their_ring(samples):
    like, found = torch.zeros((), dtype=torch.float64), []
    for turn in torch.linspace(0, 2 * math.pi, 101)[1:].tolist():
        u, v, residual = aperture_samples(Sampling(samples, turn), like, blades(5))
        found.append([float((u * u).mean()), float((v * v).mean())])
    round_u, _, alone = aperture_samples(Sampling(samples, 0.3), like)
    assert residual == alone
    wanted = torch.tensor([0.25 - alone**2] * 2, dtype=torch.float64)
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64).mean(0), wanted, atol=5e-3, rtol=0)
    assert len(round_u) == samples
