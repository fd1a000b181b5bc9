"""Steps without some of the Gaussians: how many go, which, and that the light that is left is as much in the mean."""

import pytest
import torch

from macrosplat.train.drop import thinned
from making_captures import make_scene


def test_a_share_goes_and_the_rest_makes_up_for_it():
    scene = make_scene()
    scene = scene.with_(opacity_logits=torch.full_like(scene.opacity_logits, -2.0))
    before = torch.sigmoid(scene.opacity_logits)
    kept = torch.zeros(len(scene))
    for step in range(60):
        after = torch.sigmoid(thinned(scene, 0.3, step).opacity_logits)
        gone = after < 1e-6
        torch.testing.assert_close(after[~gone], before[~gone] / 0.7, rtol=1e-4, atol=0)
        kept += ~gone
    share = kept / 60
    assert float(share.mean()) == pytest.approx(0.7, abs=0.01)
    assert float(share.std()) == pytest.approx((0.3 * 0.7 / 60) ** 0.5, rel=0.2)  # as independent draws have it


def test_the_choice_depends_on_the_seed_alone():
    scene = make_scene()
    one, other = (thinned(scene, 0.5, seed).opacity_logits for seed in (7, 8))
    assert torch.equal(one, thinned(scene, 0.5, torch.tensor([7.0], dtype=torch.float64)).opacity_logits)
    assert not torch.equal(one, other)
