"""How surely photos tell a lens: the sandwich against statistics of known noise, slopes against pictures of another
lens."""

import numpy as np
import pytest
import torch

from macrosplat.lens import Sampling
from macrosplat.output import term_uncertainty
from macrosplat.output.term_uncertainty import _look, _outwards, told
from macrosplat.render import Frame
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.train.sandwich import BLOCKS, Look, sandwich
from making_training import make_trainer

SIDE, SIGMA, PHOTOS = 40, 0.02, 40


def per_block(values: np.ndarray, side: int) -> torch.Tensor:
    """[..., SIDE, SIDE, 3] of [..., n, n, 3]: alike in squares of so many px."""
    return torch.from_numpy(values.repeat(side, -3).repeat(side, -2))


@pytest.mark.parametrize("side", [1, SIDE // BLOCKS])
def test_what_is_wrong_together_counts_once(side):
    """A number of all photos, one of each photo, one that nothing shows. With normal noise the smooth L1 loss, whose
    scale is the median of its residuals, has variances of E[psi^2] / E[psi']^2 (J^T J)^-1, J with a row for each square
    that is wrong as a whole."""
    random, n = np.random.default_rng(0), SIDE // side
    slopes = random.normal(size=(PHOTOS, 3, n, n, 3)) * np.array([1, 0, 1])[:, None, None, None]
    wrong = random.normal(0, SIGMA, (PHOTOS, n, n, 3))
    looks = [
        Look(per_block(w, side), per_block(s, side), torch.ones(SIDE, SIDE)) for w, s in zip(wrong, slopes, strict=True)
    ]
    covariance, own, step = sandwich(looks)
    assert abs(step[0]) < 4 * covariance[0, 0] ** 0.5 and step[1] == 0
    r = random.normal(0, SIGMA, 50_000)
    smooth = np.median(np.abs(r))
    psi, bend = r / np.hypot(r, smooth), smooth**2 / np.hypot(r, smooth) ** 3
    unit = (psi**2).mean() / bend.mean() ** 2
    rows = np.zeros((PHOTOS, n * n * 3, 1 + PHOTOS))
    rows[:, :, 0] = slopes[:, 0].reshape(PHOTOS, -1)
    rows[range(PHOTOS), :, range(1, 1 + PHOTOS)] = slopes[:, 2].reshape(PHOTOS, -1)
    wanted = unit * np.diag(np.linalg.inv(np.einsum("pia,pib->ab", rows, rows)))
    assert covariance[0, 0] == pytest.approx(wanted[0], rel=0.4)
    assert np.median(own**2) == pytest.approx(np.median(wanted[1:]), rel=0.5)
    assert covariance[1, 1] == np.inf and covariance[0, 1] == 0


def test_slopes_lead_to_another_lens():
    """Photos of a lens with another pupil, blur in focus and focus: a step of Gauss and Newton finds it."""
    model, targets = (trainer := make_trainer(1)[0]).model, trainer.targets
    parameters = model.lens.parameters
    apart = {"lens.pupil": 0.02, "lens.sigma0": -0.05, "lens.focus": 0.002}
    begun = {name: parameters[name] for name in apart}
    for name, off in apart.items():
        parameters[name] = begun[name].detach() + off
    with torch.no_grad():
        targets.photos = [to_bytes(to_srgb(model.photograph(v).clamp(0, 1)).numpy()) for v in range(2)]
        parameters.update(begun)
        looks = [_look(model, targets, v, Sampling(), [("lens.pupil", 0), ("lens.sigma0", 0)]) for v in range(2)]
    for look in looks:
        found = np.linalg.lstsq(look.slopes.flatten(1).T.numpy(), -look.wrong.flatten().numpy(), rcond=None)[0]
        np.testing.assert_allclose(found[[0, 3]], [apart["lens.pupil"], apart["lens.focus"]], rtol=0.2)
        assert abs(found[2]) < 1e-3  # nothing is distorted


def test_a_picture_bends_outwards():
    def picture(bend: float) -> torch.Tensor:
        x, y = (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2 for n in (48, 36))
        share = (x**2 + y[:, None] ** 2) / (24**2 + 18**2)
        return (
            (0.2 * x * (1 - bend * share) + 0.15 * y[:, None] * (1 - bend * share)).sin()[..., None].expand(-1, -1, 3)
        )

    wanted = (picture(1e-4) - picture(-1e-4)) / 2e-4
    here = (slice(2, -2), slice(2, -2))
    torch.testing.assert_close(_outwards(picture(0), Frame(48, 36))[here], wanted[here], atol=0.05, rtol=0.05)


def test_photos_that_are_not_looked_at_are_as_sure_as_the_others(monkeypatch):
    trainer = make_trainer(1)[0]
    before = dict(trainer.model.lens.parameters)
    monkeypatch.setattr(term_uncertainty, "PHOTOS", 2)
    found = told(trainer.model, trainer.targets, Sampling(4))
    assert all(value is trainer.model.lens.parameters[name] for name, value in before.items())
    assert 0 < found.pupil < 2 and found.terms == {} and 0 < found.corner < 0.1
    assert len(found.focus) == len(trainer.targets) and (found.focus > 0).all()
    assert np.median(found.focus) == pytest.approx(found.focus[[0, -1]].mean(), rel=1e-3)
