"""The uncertainty of a lens's term against what repeated experiments give: gradients of known spread and curvature."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from macrosplat.lens import Sampling
from macrosplat.output import term_uncertainty


def test_is_that_of_a_mean(monkeypatch):
    """Each photo wants a number of its own, |x - x_v|^2: the best x is their mean, and its error sd / sqrt(V)."""
    wanted = np.random.default_rng(0).normal(0.4, 0.1, (12, 2))
    found = torch.tensor(wanted.mean(0), dtype=torch.float32, requires_grad=True)
    plan = SimpleNamespace(dssim_weight=0.0)
    lens = SimpleNamespace(parameters={"lens.colour": found}, plan=lambda t: plan)
    model = SimpleNamespace(
        lens=lens,
        photograph=lambda v, *_, **__: lens.parameters["lens.colour"] - torch.tensor(wanted[v], dtype=torch.float32),
    )

    class Targets:
        def __len__(self) -> int:
            return 12

        def at(self, *_):
            return SimpleNamespace(alpha_target=None), None

    steep = torch.tensor([1.0, 3.0])
    monkeypatch.setattr(term_uncertainty, "taken_loss", lambda taken, *_: (steep * taken).square().sum())
    covariance = term_uncertainty.covariance(model, Targets(), "lens.colour", Sampling())
    assert lens.parameters["lens.colour"] is found
    assert np.diag(covariance) == pytest.approx(wanted.var(0, ddof=1) / 12, rel=1e-3)
    assert covariance[0, 1] == pytest.approx(np.cov(wanted.T)[0, 1] / 12, rel=1e-3)
