"""Masks: what they tell about alpha, and that training listens."""

import numpy as np
import pytest
import torch

from macrosplat.support.metrics import compare, outline, psnr
from macrosplat.train.alpha_target import make_alpha_target
from macrosplat.train.loss import make_target, photo_loss, taken_loss
from making_captures import HEIGHT, WIDTH, make_scene
from making_training import made, make_trainer


def disc(soft: float, size=(200, 150), radius=45.0) -> np.ndarray:
    """[H, W] uint8, its edge `soft` px wide."""
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    away = radius - np.hypot(x - size[0] / 2, y - size[1] / 2)
    return np.rint(255 * np.clip(away / soft + 0.5, 0, 1)).astype(np.uint8)


def test_a_hard_mask_tells_nothing_near_its_edge():
    told = make_alpha_target(disc(0.01), (200, 150))
    y, x = np.mgrid[:150, :200] + 0.5
    away = np.hypot(x - 100, y - 75) - 45
    assert (told[away > 8] == 0).all() and (told[away < -8] == 1).all()
    assert (told[np.abs(away) < 4] == -1).all()


def test_a_soft_mask_tells_all():
    mask = disc(8.0)
    np.testing.assert_allclose(make_alpha_target(mask, (200, 150)), mask / 255, atol=1e-6)
    assert (make_alpha_target(mask, (100, 75)) >= 0).all()


@pytest.mark.parametrize("value", [0, 255])
def test_an_empty_or_full_mask_has_no_edge(value):
    assert (make_alpha_target(np.full((30, 40), value, np.uint8), (40, 30)) == value / 255).all()


def test_the_loss_is_the_photo_s_and_the_weighed_difference_of_alpha():
    random = torch.Generator().manual_seed(1)
    photo = torch.randint(0, 256, (24, 32, 3), generator=random, dtype=torch.uint8)
    taken = torch.rand(24, 32, 4, generator=random, dtype=torch.float64)
    alpha_target = torch.rand(24, 32, generator=random).round()
    alpha_target[:, :10] = -1
    target = make_target(photo, alpha_target=alpha_target)
    wanted = photo_loss(taken[..., :3], target, 0.2)
    wanted = wanted + 0.3 * (taken[:, 10:, 3] - alpha_target[:, 10:]).abs().sum() / (24 * 32)
    torch.testing.assert_close(taken_loss(taken, target, 0.2, 0.3), wanted)
    bare = make_target(photo)
    torch.testing.assert_close(taken_loss(taken[..., :3], bare, 0.2, 0.3), photo_loss(taken[..., :3], bare, 0.2))


def test_what_the_masks_know_to_be_empty_empties():
    """A sheet of which the masks leave the left half, where alone colours count: the right half fades."""
    scene = make_scene()
    scene = scene.with_(opacity_logits=scene.opacity_logits - 3)
    alpha_masks = [np.zeros((HEIGHT, WIDTH), np.uint8) for _ in made().photos]
    for mask in alpha_masks:
        mask[:, : WIDTH // 2] = 255
    alphas = []
    for given in ((), alpha_masks):
        options = {"half_from": 0.0, "full_from": 1.0, "densify_until": 0.0, "spans": ()}
        trainer, _ = make_trainer(30, scene=scene, alpha_masks=given, mask_weight=3.0, **options)
        trainer.targets.masks = alpha_masks  # colours count on the left alone
        for _ in range(30):
            trainer.step()
        target, frame = trainer.targets.at(0, 0.5)
        assert (target.alpha_target is None) == (not len(given))
        with torch.no_grad():
            alphas.append(trainer.model.draw(trainer.model.camera(0, frame), 0).alpha)
    right = slice(3 * WIDTH // 8, WIDTH // 2 - 5)
    assert alphas[1][10:-10, right].mean() < 0.8 * alphas[0][10:-10, right].mean()
    assert alphas[1][10:-10, 10 : WIDTH // 8].mean() > 0.9 * alphas[0][10:-10, 10 : WIDTH // 8].mean()


def test_the_outline_is_what_lies_within_reach_of_it():
    mask = np.zeros((40, 60), bool)
    mask[:, 30:] = True
    found = outline(mask, 3)
    assert found[:, 27:33].all() and not found[:, :27].any() and not found[:, 33:].any()
    truth, test = np.full((40, 60, 3), 0.5), np.full((40, 60, 3), 0.5)
    test[:, 25:30] += 0.1  # a halo outside: 5 px wide, EDGE reaches 0.75 px
    compared = compare(test, truth, mask)
    near = outline(mask, 0.75)
    assert near.sum() == 2 * 40 and compared.edge == pytest.approx(psnr(test, truth, near))
    assert compared.inside == 100.0 and compared.mask is not None and compared.mask.psnr == 100.0
