"""Steps without some of the Gaussians: how many go, which, and that the light that is left is as much in the mean."""

import pytest
import torch

from macrosplat.train.drop import thinned
from macrosplat.train.random import Purpose, key_of
from making_captures import make_scene


@pytest.mark.parametrize("seed", [0, 7, 10**10, 10**12])
def test_a_share_goes_whatever_the_seed_and_the_rest_makes_up_for_it(seed):
    scene = make_scene()
    scene = scene.with_(opacity_logits=torch.full_like(scene.opacity_logits, -2.0))
    before = torch.sigmoid(scene.opacity_logits)
    kept, again, was = torch.zeros(len(scene)), [], None
    for step in range(60):
        after = torch.sigmoid(thinned(scene, 0.3, key_of(seed, step, Purpose.DROP)).opacity_logits)
        gone = after < 1e-6
        torch.testing.assert_close(after[~gone], before[~gone] / 0.7, rtol=1e-4, atol=0)
        kept += ~gone
        if was is not None:  # who was dropped is dropped again as anybody is
            again.append(float(gone[was].float().mean()))
        was = gone
    share = kept / 60
    assert float(share.mean()) == pytest.approx(0.7, abs=0.01)
    assert float(share.std()) == pytest.approx((0.3 * 0.7 / 60) ** 0.5, rel=0.2)  # as independent draws have it
    assert sum(again) / len(again) == pytest.approx(0.3, abs=0.02)


def test_the_choice_depends_on_the_key_alone():
    scene, (key, other) = make_scene(), (key_of(3, step, Purpose.DROP) for step in (7, 8))
    chosen = thinned(scene, 0.5, key).opacity_logits
    assert torch.equal(chosen, thinned(scene, 0.5, torch.tensor([key], dtype=torch.float64)).opacity_logits)
    assert not torch.equal(chosen, thinned(scene, 0.5, other).opacity_logits)
