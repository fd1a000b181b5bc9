"""Density control: what is drawn stays, the optimiser's state follows, and chance depends on the seed alone."""

import math

import pytest
import torch

from macrosplat.render import Pinhole, render
from macrosplat.scene import Gaussians
from macrosplat.train.adam import Adam
from macrosplat.train.density import DEAD, NOISE, confine_shapes, densify, remap, z_order
from macrosplat.train.noise_cpu import add_position_noise
from macrosplat.train.noise_reference import position_noise
from macrosplat.train.random import Purpose, key_of
from macrosplat.train.seen import views_in_frame, weakly_observed

PINHOLE = Pinhole(fx=60.0, fy=60.0, cx=32.5, cy=32.5, width=65, height=65)
VIEW = torch.eye(4)


def scene_of(opacity: list[float], spread: float = 0.5, seed: int = 0) -> Gaussians:
    """Gaussians 4 units away, of these opacities, the first on the axis."""
    g = torch.Generator().manual_seed(seed)
    n = len(opacity)
    means = spread * torch.randn(n, 3, generator=g) + torch.tensor([0.0, 0.0, 4.0])
    means[0] = torch.tensor([0.0, 0.0, 4.0])
    return Gaussians(
        means=means,
        log_scales=torch.log(torch.tensor([0.4, 0.3, 0.2])).repeat(n, 1) + 0.1 * torch.randn(n, 3, generator=g),
        quats=torch.randn(n, 4, generator=g),
        opacity_logits=torch.logit(torch.tensor(opacity)),
        sh0=torch.randn(n, 3, generator=g),
        sh_rest=torch.randn(n, 3, 3, generator=g),
    )


def adam_of(scene: Gaussians) -> Adam:
    """With moments that tell the rows apart: row i holds i + 1."""
    adam = Adam(scene.tensors(), dict.fromkeys(scene.tensors(), 0.1))
    for moments in (adam.first, adam.second):
        for name, value in moments.items():
            rows = torch.arange(1.0, len(value) + 1)
            moments[name] = rows.view(-1, *[1] * (value.ndim - 1)).expand_as(value).clone()
    return adam


@pytest.mark.parametrize("opacity, copies", [(0.3, 2), (0.6, 3), (0.9, 5), (0.95, 12)])
def test_copies_draw_what_the_one_drew(opacity, copies):
    one = scene_of([opacity])
    many = densify(one, adam_of(one), copies, seed=0, step=0)
    assert len(many) == copies and torch.equal(many.means, one.means.expand(copies, 3))
    # n layers of alpha a let (1 - a)^n through: at the centre that is what the one lets through.
    remaining = (1 - torch.sigmoid(many.opacity_logits.double())).prod()
    assert remaining.item() == pytest.approx(1 - opacity, abs=1e-5)
    # Eq. 9 of the paper asks for the same light along a line through the centre. 1 - (1 - a g)^n over that line,
    # g = exp(-x^2 / 2 s^2), against opacity exp(-x^2 / 2): integrated numerically.
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    ratio = (many.log_scales - one.log_scales).double().exp()
    assert (ratio - ratio[0, 0]).abs().max() < 1e-5  # one factor for all copies and axes
    a = torch.sigmoid(many.opacity_logits.double())[0]
    several = 1 - (1 - a * torch.exp(-0.5 * (x / ratio[0, 0]) ** 2)) ** copies
    assert several.sum().item() == pytest.approx((opacity * torch.exp(-0.5 * x**2)).sum().item(), rel=1e-4)


@pytest.mark.parametrize("opacity", [0.3, 0.6])
def test_picture_stays_about_the_same(opacity):
    one = scene_of([opacity])
    many = densify(one, adam_of(one), 3, seed=0, step=0)
    before, after = (render(scene, PINHOLE.at(VIEW)).alpha.detach() for scene in (one, many))
    assert before[32, 32].item() == pytest.approx(after[32, 32].item(), abs=0.01)
    # The paper's copies have another profile than the one; a copy of the same size and opacity would be 3 times as far.
    doubled = one.map(lambda t: t.repeat(3, *[1] * (t.ndim - 1)))
    assert (after - before).abs().max() < 0.5 * (render(doubled, PINHOLE.at(VIEW)).alpha - before).abs().max()


def test_dead_ones_move_to_live_ones():
    scene = scene_of([0.8, 0.001, 0.5, 0.002, 0.7, 0.004])
    before = scene.means.clone()
    moved = densify(scene, adam_of(scene), 0, seed=0, step=7)
    assert len(moved) == 6 and (torch.sigmoid(moved.opacity_logits) > DEAD).all()
    live = before[[0, 2, 4]]
    place = (moved.means[:, None] == live).all(-1)
    assert (place.sum(1) == 1).all() and (place.sum(0) >= 1).all()  # at live places only, and none of them lost


def test_the_weakly_observed_move_as_the_dead_do():
    scene = scene_of([0.8, 0.9, 0.5])
    before = scene.means.clone()
    moved = densify(scene, adam_of(scene), 0, seed=0, step=7, weak=torch.tensor([False, True, False]))
    place = (moved.means[:, None] == before[[0, 2]]).all(-1)
    assert (place.sum(1) == 1).all() and place.sum(0).tolist() in ([1, 2], [2, 1])
    assert densify(scene, adam_of(scene), 0, seed=0, step=7, weak=torch.ones(3, dtype=torch.bool)) is scene


def test_views_hold_what_projects_into_their_frame():
    wide = Pinhole(fx=50.0, fy=40.0, cx=30.0, cy=10.0, width=64, height=48, near=0.5)
    px = torch.tensor([[0.5, 0.5], [63.5, 47.5], [-0.5, 10.0], [64.5, 10.0], [10.0, -0.5], [10.0, 48.5]])
    z = torch.tensor([2.0, 9.0, 2.0, 2.0, 3.0, 3.0])
    seen = torch.stack([(px[:, 0] - wide.cx) / wide.fx * z, (px[:, 1] - wide.cy) / wide.fy * z, z], 1)
    nearer = torch.tensor([[0.0, 0.0, 0.4], [0.0, 0.0, -2.0]])  # than what is drawn, and behind the camera
    means = torch.cat([seen, nearer])
    assert views_in_frame(means, [wide.at(VIEW)])[0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    back = torch.diag(
        torch.tensor([1.0, -1.0, -1.0, 1.0])
    )  # turned about x, from 6 units away: what was below is above
    back[2, 3] = 6.0
    cameras = [wide.at(VIEW), wide.at(back)]
    count, farther = views_in_frame(means, cameras)
    assert count.tolist() == [2, 1, 1, 1, 1, 0, 1, 1]
    # The middle has z = 2, and 4 from behind: 2 of 2 and 4 of 4, 9 of 2, 4 of 4, 3 of 4, 5.6 of 4, 8 of 4.
    expected = torch.tensor([0.0, 3.5, 0.0, 0.0, -0.25, 0.0, 0.4, 1.0])
    torch.testing.assert_close(farther, expected)
    lost = [weakly_observed(means, cameras, *least).tolist() for least in ((0, 0), (2, 0), (1, 2))]
    assert lost == [[False] * 8, [False] + [True] * 7, [False, False, False, False, True, True, False, False]]


def test_moments_follow_and_those_of_copies_start_empty():
    scene = scene_of([0.8, 0.001, 0.5, 0.6])
    before, adam = scene.means.clone(), adam_of(scene)
    moved = densify(scene, adam, 5, seed=0, step=3)
    assert len(moved) == 5
    came_from = (moved.means[:, None] == before).all(-1).double().argmax(1)
    copied = torch.bincount(came_from, minlength=4)[came_from] > 1
    assert copied.any() and not copied.all()  # else this test says nothing
    for moments in (adam.first, adam.second):
        for name, value in moments.items():
            assert value.shape == moved.tensors()[name].shape
            wanted = torch.where(copied, 0.0, came_from + 1.0)
            assert torch.equal(value.reshape(5, -1), wanted[:, None].expand(5, value[0].numel())), name
    for name, value in moved.tensors().items():
        assert adam.parameters[name] is value and value.requires_grad


def test_remap_is_a_permutation_of_everything():
    scene = scene_of([0.8, 0.3, 0.5, 0.6])
    adam, order = adam_of(scene), torch.tensor([2, 0, 3, 1])
    moved = remap(scene, adam, order, torch.zeros(4, dtype=torch.bool))
    for name, value in moved.tensors().items():
        assert torch.equal(value, scene.tensors()[name][order]), name
        assert torch.equal(adam.first[name].reshape(4, -1)[:, 0], order + 1.0), name


def test_nothing_to_do():
    scene = scene_of([0.8, 0.3])
    assert densify(scene, adam_of(scene), 2, seed=0, step=0) is scene
    gone = scene_of([0.001, 0.002])  # nobody to move to
    assert densify(gone, adam_of(gone), 10, seed=0, step=0) is gone


def test_chance_depends_on_seed_and_step_alone():
    scene = scene_of([0.8, 0.001, 0.5, 0.002, 0.7, 0.004] * 10)

    def run(seed, step):
        torch.manual_seed(torch.seed() % 1000)  # the global generator must not matter
        return densify(scene, adam_of(scene), 90, seed, step).means

    assert torch.equal(run(1, 2), run(1, 2))
    assert not torch.equal(run(1, 2), run(2, 2))
    assert not torch.equal(run(1, 2), run(1, 3))


def test_noise_moves_the_faint_along_their_shape():
    n = 4000
    faint = Gaussians(
        means=torch.zeros(n, 3),
        log_scales=torch.log(torch.tensor([1.0, 0.1, 0.01])).repeat(n, 1),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(n, 1),
        opacity_logits=torch.full((n,), math.log(0.001 / 0.999)),
        sh0=torch.zeros(n, 3),
        sh_rest=torch.zeros(n, 0, 3),
    )
    moved = position_noise(faint, NOISE / 10, key=5)
    # Eq. 8 moves by the covariance (not its root) times a normal draw.
    spread = moved.std(0)
    # 4000 draws know a deviation to 1.1 %; 5 of those.
    assert (spread[1] / spread[0]).item() == pytest.approx(1e-2, rel=0.08)
    assert (spread[2] / spread[0]).item() == pytest.approx(1e-4, rel=0.08)
    assert torch.equal(moved, position_noise(faint, NOISE / 10, key=5))
    assert torch.allclose(position_noise(faint, NOISE / 20, key=5), 0.5 * moved)
    opaque = faint.with_(opacity_logits=torch.zeros(n))
    assert position_noise(opaque, NOISE / 10, key=5).abs().max() == 0


def test_z_order_is_a_permutation_that_keeps_neighbours_together():
    g = torch.Generator().manual_seed(0)
    means = torch.rand(5000, 3, generator=g)
    order = z_order(means)
    assert torch.equal(order.sort().values, torch.arange(5000))
    assert torch.equal(order, z_order(means))

    def step(m):
        return (m[1:] - m[:-1]).norm(dim=1).mean()

    assert step(means[order]) < 0.2 * step(means)
    # The eight corners of a cube, in the order of Morton's curve: x changes first.
    corners = torch.tensor([[x, y, z] for z in (0.0, 1.0) for y in (0.0, 1.0) for x in (0.0, 1.0)])
    shuffled = torch.randperm(8, generator=g)
    assert torch.equal(corners[shuffled][z_order(corners[shuffled])], corners)


def test_no_gaussian_is_a_needle():
    sizes = torch.tensor([[1.0, 30.0, 2.0], [9.0, 8.0, 0.01], [0.01, 0.02, 7.0]])
    log_scales = sizes.log()
    confine_shapes(log_scales, math.log(0.1), math.log(6.0))
    wanted = torch.tensor([[1.0, 12.0, 2.0], [9.0, 8.0, 0.1], [0.1, 0.1, 0.6]])
    torch.testing.assert_close(log_scales.exp(), wanted)


def test_the_noise_of_a_step_is_the_reference_s():
    random = torch.Generator().manual_seed(3)
    scene = Gaussians(
        means=torch.zeros(500, 3),
        log_scales=2 * torch.randn(500, 3, generator=random),
        quats=torch.randn(500, 4, generator=random),
        opacity_logits=3 * torch.randn(500, generator=random) - 5,
        sh0=torch.zeros(500, 3),
        sh_rest=torch.zeros(500, 0, 3),
    )
    key = key_of(11, 3, Purpose.NOISE)
    wanted = position_noise(scene, 0.7, key)
    add_position_noise(scene.means, scene.log_scales, scene.quats, scene.opacity_logits, 0.7, key)
    size = scene.log_scales.exp().square().amax(1, keepdim=True)  # its covariance moves a Gaussian
    assert float(((scene.means - wanted) / size).abs().max()) < 2e-6 and float(wanted.abs().max()) > 0.1
