"""Steps as a GPU takes them: on one if there is one (as CUDA graphs), otherwise one by one in Triton's interpreter."""

import importlib
import math

import numpy as np
import pytest
import torch

from macrosplat.lens import aperture, blur, blur_cuda, coc, thin
from macrosplat.live.draw import Look, picture, pinhole_of
from macrosplat.model import backdrop_cuda, exposure, model, rig
from macrosplat.model.backdrop import Backdrop
from macrosplat.model.constants import GRID
from macrosplat.model.rig import Rig
from macrosplat.render import bins_cuda, capacity, centre_cuda, over, over_cuda, project, rasterize, rasterize_cuda
from macrosplat.render.centre import camera_centre
from macrosplat.scene import Gaussians
from macrosplat.train import adam, graphs, loss, loss_cuda, noise_cuda
from macrosplat.train.density import confine_shapes, densify
from macrosplat.train.fit import Fit
from macrosplat.train.graphs import Graphs
from macrosplat.train.noise_reference import position_noise
from macrosplat.train.random import Purpose, key_of
from macrosplat.train.ranks import Ranks
from macrosplat.train.step import Kind
from macrosplat.train.targets import Targets
from macrosplat.train.trainer import Trainer
from making_captures import PUPIL
from making_training import PIXEL, made, make_trainer

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MOVES = (True, True, True, False, True, True)  # the first photo is taken first, and then the fourth, whose camera stays
STEPS = 40  # at the first tenth: a quarter of the resolution


def use_triton(monkeypatch) -> None:
    """float32 goes to the Triton kernels, also from the CPU tensors of the interpreter."""

    def kernels_for(stage: str, tensor: torch.Tensor):
        return importlib.import_module(f"{stage}_{'reference' if tensor.dtype == torch.float64 else 'cuda'}")

    made()  # the capture itself is no matter for the interpreter
    for module in (project, rasterize, coc, blur, loss, adam):
        monkeypatch.setattr(module, "kernels_for", kernels_for)
    for module in (exposure, model, rig, thin, aperture):
        monkeypatch.setattr(module, "on_gpu", lambda tensor: tensor.dtype == torch.float32)
    if DEVICE.type == "cpu":  # the interpreter's time goes by programs, not by pixels or pairs
        monkeypatch.setitem(blur_cuda.STRIP, "COLUMNS", 1024)
        monkeypatch.setattr(blur_cuda, "CHUNKS", 10)
        monkeypatch.setattr(loss_cuda, "ROWS", 64)
        monkeypatch.setitem(bins_cuda.COUNTING, "BLOCK", 128)
        monkeypatch.setitem(bins_cuda.WRITING, "BLOCK", 128)
        monkeypatch.setitem(bins_cuda.WRITING, "LANES", 8)
        monkeypatch.setattr(bins_cuda, "BLOCK", 1024)
        monkeypatch.setitem(rasterize_cuda.SUMS, "BLOCK", 128)
        monkeypatch.setattr(graphs, "STEP", 512)
        monkeypatch.setattr(capacity, "STEP", 512)


@pytest.fixture
def triton_kernels(monkeypatch):
    use_triton(monkeypatch)


def few() -> Gaussians:
    """Every tenth Gaussian, larger: the interpreter is slow."""
    trainer, _ = make_trainer(STEPS)
    scene = trainer.model.gaussians.map(lambda t: t.detach()[::10].contiguous())
    return scene.with_(log_scales=scene.log_scales + 0.8)


def make(lens: str = "thin", **schedule) -> Trainer:
    """A trainer on the device whose steps are the GPU's: few Gaussians, a quarter of the resolution."""
    schedule = {"half_from": 0.9, "full_from": 0.95, **schedule}
    trainer, _ = make_trainer(STEPS, lens=lens, scene=few(), **schedule)
    trainer.targets.device = DEVICE
    trainer = Trainer(trainer.model.to(DEVICE), trainer.targets, trainer.schedule, PIXEL, seed=0)
    trainer._steps = Graphs(trainer)
    return trainer


def take(trainer: Trainer, steps: int) -> list[float]:
    losses = [float(trainer.step()) for _ in range(steps)]
    trainer.settle()
    return losses


def values(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: t.detach().cpu() for name, t in trainer.model.parameters().items()}


def zoom(trainer: Trainer) -> None:
    """Every photo with another focal length, as lenses have that breathe."""
    rig = trainer.model.rig
    factors = 1 + 0.01 * torch.arange(len(rig), device=rig.start.device)[:, None]
    rig.start = rig.start * torch.cat([factors, factors, torch.ones_like(factors), torch.ones_like(factors)], 1)


def kinds_of_steps(photos: int, cameras: int, monkeypatch, steps: int = 160) -> tuple[int, int]:
    """Of a whole schedule: kinds of step, and steps after the first two of their kind, which are replays."""

    def nothing(model, kind, photo, target, angle, key, weights):
        return torch.zeros((), device=DEVICE), {}

    monkeypatch.setattr(graphs, "gradients", nothing)
    monkeypatch.setattr(noise_cuda, "add_position_noise", lambda *_: None)
    trainer, _ = make_trainer(steps, scene=few(), densify_every=10**6)
    targets, rig = trainer.targets, trainer.model.rig
    of = [photo % len(rig) for photo in range(photos)]
    wider = Rig(rig.views[of], rig.start[of], [rig.frames[v] for v in of], rig.pivot_depth[of], rig.pixel)
    wider.start[:, :2] *= 1 + 0.001 * (torch.arange(photos) % cameras)[:, None]
    trainer.model.rig = wider
    targets = Targets([targets.photos[v] for v in of], wider.frames, [None] * photos, DEVICE)
    trainer = Trainer(trainer.model.to(DEVICE), targets, trainer.schedule, PIXEL, seed=0)
    trainer._steps = Graphs(trainer)
    seen: dict[Kind, int] = {}
    send = trainer._steps._send

    def counting(plan, turn, slot):
        kind = plan.kind(targets.bank(trainer.photo(turn), plan.scale)[0].frame)
        seen[kind] = seen.get(kind, 0) + 1
        send(plan, turn, slot)

    trainer._steps._send = counting
    take(trainer, steps)
    assert trainer._steps._changed.keys() == seen.keys()
    return len(seen), sum(max(0, count - 2) for count in seen.values())


def test_a_graph_is_recorded_for_all_cameras_of_a_size(monkeypatch):
    kinds, replays = kinds_of_steps(200, 200, monkeypatch)
    # Of a run of 4,000 steps 99 % are replays: each kind is taken once as it comes and once to record it.
    assert kinds == kinds_of_steps(6, 1, monkeypatch)[0]
    assert replays == 160 - 2 * kinds and kinds <= 12


@pytest.mark.parametrize(("points", "masked"), [(1, False), (2, True)])
def test_the_same_steps_as_one_by_one(monkeypatch, points, masked):
    options = {"spans": ((0.0, 1.0, points, points - 1),) if points > 1 else (), "densify_until": 0.0}
    options |= {"refine_poses": True, "poses_from": 0.0, "learn_from": 0.0, "half_from": 0.9, "full_from": 0.95}
    options["moves"] = MOVES
    if masked:
        photos = make_trainer(STEPS)[0].targets.photos
        options["alpha_masks"] = [np.full(photo.shape[:2], 255, np.uint8) for photo in photos]
        options |= {"drop": 0.1}  # as a standard run has it
    other, _ = make_trainer(STEPS, scene=few(), **options)
    zoom(other)
    steps = 3 - points  # what two points cost twice
    expected = [float(other.step()) for _ in range(steps)]
    use_triton(monkeypatch)
    trainer = make(**options)
    zoom(trainer)
    losses = take(trainer, steps)
    assert trainer.done == steps
    assert losses == pytest.approx(expected, rel=2e-3)
    assert trainer.adam.counts == other.adam.counts
    got, wanted = values(trainer), values(other)
    for name, value in wanted.items():
        moved = (value - got[name]).norm() / value.norm().clamp_min(1e-3)
        assert moved < 0.02, (name, float(moved))
    assert got["pose.turn"][list(MOVES)].any() and not got["pose.turn"][[not one for one in MOVES]].any()


def test_a_batch_is_the_same_step_as_one_by_one(monkeypatch):
    """Two photos a step, in two parts with their sum between, against the CPU's."""
    options = {"densify_until": 0.0, "spans": (), "learn_from": 0.0, "half_from": 0.9, "full_from": 0.95}
    other, _ = make_trainer(STEPS, scene=few(), **options)
    other.share(Ranks(), 2)
    expected = float(other.step())
    use_triton(monkeypatch)
    trainer = make(**options)
    trainer.share(Ranks(), 2)
    assert take(trainer, 1) == pytest.approx([expected], rel=2e-3)
    assert (trainer.done, trainer.adam.counts) == (2, other.adam.counts)
    got, wanted = values(trainer), values(other)
    for name, value in wanted.items():
        assert (value - got[name]).norm() < 0.02 * value.norm().clamp_min(1e-3), name


def test_an_overflow_is_taken_back(triton_kernels, monkeypatch):
    """Too little room at first: the steps that wanted more are taken again, and end where much room ends."""
    ample = make(spans=())
    take(ample, 2)
    monkeypatch.setattr(graphs, "PAIRS", 0.001)
    monkeypatch.setattr(graphs, "STEP", 64)
    tight = make(spans=())
    taken = 0
    while tight.done < 2:
        tight.step()
        tight.settle()
        taken += 1
        assert taken < 20
    assert taken > 2  # some were refused
    assert tight.adam.counts == ample.adam.counts
    got, wanted = values(tight), values(ample)
    assert all(torch.equal(got[name], value) for name, value in wanted.items())


def test_what_was_refused_changed_nothing(triton_kernels, monkeypatch):
    monkeypatch.setattr(graphs, "PAIRS", 0.001)
    monkeypatch.setattr(graphs, "STEP", 64)
    trainer = make(spans=())
    before = {name: t.clone() for name, t in values(trainer).items()}
    trainer.step()
    trainer.step()
    assert trainer.done == 2
    trainer.settle()
    assert trainer.done == 0 and set(trainer.adam.counts.values()) == {0}
    after = values(trainer)
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("lens", ["plain", "covariance", "blurnet"])
def test_other_lenses_are_recorded(triton_kernels, lens):
    trainer = make(lens)
    trainer.model.lens.look(trainer.targets.photos, trainer.targets.masks)
    steps = 1 if DEVICE.type == "cpu" else 3
    losses = take(trainer, steps)
    assert all(math.isfinite(x) for x in losses) and trainer.done == steps


def test_a_scene_of_as_many_gaussians_stays_where_it_was(triton_kernels):
    """What was recorded reads and writes the old tensors: they hold what the new ones do."""
    trainer = make("plain")
    adam, scene = trainer.adam, trainer.model.gaussians
    assert trainer._steps
    trainer._steps._renew()
    with torch.no_grad():
        scene.opacity_logits[::3] = -10
    adam.first["means"].copy_(torch.randn(len(scene), 3, generator=torch.Generator().manual_seed(0)))
    tensors, first = scene.tensors(), dict(adam.first)
    moved = densify(scene, adam, len(scene), seed=0, step=1)
    assert len(moved) == len(scene) and not torch.equal(moved.means, scene.means)
    wanted, moments = moved.map(lambda t: t.detach().clone()), {n: t.clone() for n, t in adam.first.items()}
    trainer.model.gaussians = moved
    trainer._steps._renew()
    for name, tensor in trainer.model.gaussians.tensors().items():
        assert tensor is tensors[name] and adam.parameters[name] is tensor and adam.first[name] is first[name]
        assert torch.equal(tensor, getattr(wanted, name)) and torch.equal(adam.first[name], moments[name])


def test_the_noise_is_the_reference_s():
    """With the draws read off unit Gaussians, any others move by their covariance times gate and draw."""
    random = torch.Generator().manual_seed(3)
    n = 300
    scene = Gaussians(
        means=torch.zeros(n, 3),
        log_scales=torch.zeros(n, 3),
        quats=torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1),
        opacity_logits=torch.full((n,), -50.0),
        sh0=torch.zeros(n, 3),
        sh_rest=torch.zeros(n, 0, 3),
    ).map(lambda t: t.to(DEVICE))
    number = key_of(11, 3, Purpose.NOISE)
    noise, seed, go = (
        torch.tensor([v], dtype=d, device=DEVICE)
        for v, d in ((0.7, torch.float64), (number, torch.float64), (0, torch.int64))
    )
    gate = 1 / (1 + math.exp(-100 * 0.005))
    noise_cuda.add_position_noise(scene, math.log(0.5), math.log(6.0), noise, seed, go)
    draws = scene.means / (0.7 * gate)
    assert abs(float(draws.mean())) < 0.1 and abs(float(draws.std()) - 1) < 0.1
    other = Gaussians(
        means=torch.zeros(n, 3),
        log_scales=2 * torch.randn(n, 3, generator=random),
        quats=torch.randn(n, 4, generator=random),
        opacity_logits=torch.randn(n, generator=random) - 5,
        sh0=torch.zeros(n, 3),
        sh_rest=torch.zeros(n, 0, 3),
    ).map(lambda t: t.to(DEVICE))
    raw = other.log_scales.cpu().clone()  # the rule of the CPU
    noise_cuda.add_position_noise(other, math.log(0.5), math.log(6.0), noise, seed, go)
    confine_shapes(raw, math.log(0.5), math.log(6.0))
    torch.testing.assert_close(other.log_scales.cpu(), raw)
    from macrosplat.render.project_reference import rotations

    axes = rotations(other.quats) * other.log_scales.exp()[:, None, :]
    gates = torch.sigmoid(100 * (0.005 - torch.sigmoid(other.opacity_logits)))
    wanted = torch.einsum("nij,nkj,nk->ni", axes, axes, draws) * (0.7 * gates)[:, None]
    torch.testing.assert_close(other.means, wanted, rtol=2e-4, atol=1e-5)
    # The CPU draws the same numbers; its Gaussians are those before they moved.
    before = other.with_(means=torch.zeros(n, 3), log_scales=raw.cpu())
    before = before.map(lambda t: t.cpu())
    torch.testing.assert_close(other.means.cpu(), position_noise(before, 0.7, number), rtol=1e-3, atol=1e-4)
    still = other.map(lambda t: t.clone())
    noise_cuda.add_position_noise(still, 0.0, math.log(6.0), noise, seed, go + 1)
    assert all(torch.equal(a, b) for a, b in zip(still.tensors().values(), other.tensors().values(), strict=True))


def test_the_regulariser_is_the_reference_s():
    scene = few().map(lambda t: t.to(DEVICE))
    grad_logits, grad_log_scales = torch.randn(len(scene), device=DEVICE), torch.randn(len(scene), 3, device=DEVICE)
    leaves = [scene.opacity_logits.clone().requires_grad_(), scene.log_scales.clone().requires_grad_()]
    total = 0.3 * torch.sigmoid(leaves[0]).sum() + 0.7 * leaves[1].exp().sum()
    wanted = [a + b for a, b in zip(torch.autograd.grad(total, leaves), (grad_logits, grad_log_scales), strict=True)]
    noise_cuda.add_regulariser_gradient(scene, grad_logits, grad_log_scales, 0.3, 0.7)
    torch.testing.assert_close([grad_logits, grad_log_scales], wanted)


def test_where_a_camera_stands_and_its_gradient():
    random = torch.Generator().manual_seed(5)
    view = torch.eye(4, dtype=torch.float64)
    view[:3] += 0.3 * torch.randn(3, 4, generator=random, dtype=torch.float64)
    weight = torch.randn(3, generator=random, dtype=torch.float64)
    view.requires_grad_()
    centre = camera_centre(view)
    (wanted,) = torch.autograd.grad(centre, view, weight)
    fast = view.detach().float().to(DEVICE)
    torch.testing.assert_close(centre_cuda.forward(fast).cpu().double(), centre.detach(), rtol=1e-5, atol=1e-5)
    got = centre_cuda.backward(fast, weight.float().to(DEVICE)).cpu().double()
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_a_backdrop_and_its_gradient():
    random = torch.Generator().manual_seed(8)
    grid = torch.randn(*GRID, 3, generator=random, dtype=torch.float64).requires_grad_()
    weight = torch.randn(23, 61, 3, generator=random, dtype=torch.float64)
    behind = Backdrop(grid[None]).at(0, 61, 23)
    (wanted,) = torch.autograd.grad(behind, grid, weight)
    fast = grid.detach().float().to(DEVICE)
    torch.testing.assert_close(backdrop_cuda.forward(fast, 61, 23).cpu().double(), behind, rtol=1e-5, atol=1e-5)
    got = backdrop_cuda.backward(fast, weight.float().to(DEVICE)).cpu().double()
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frames", [(), (3,)])
def test_over_a_backdrop_and_its_gradients(frames):
    random = torch.Generator().manual_seed(6)
    shapes = ((*frames, 9, 7, 3), (*frames, 9, 7), (*frames, 9, 7), (9, 7, 3))
    inputs = [torch.rand(*shape, generator=random, dtype=torch.float64).requires_grad_() for shape in shapes]
    drawn = over.over(*inputs)
    weights = [torch.randn(*t.shape, generator=random, dtype=torch.float64) for t in drawn]
    wanted = torch.autograd.grad(drawn, inputs, weights)
    fast = [t.detach().float().to(DEVICE) for t in inputs]
    for got, expected in zip(over_cuda.forward(*fast), drawn, strict=True):
        torch.testing.assert_close(got.cpu().double(), expected.detach(), rtol=1e-5, atol=1e-5)
    incoming = [w.float().to(DEVICE) for w in weights]
    for got, expected in zip(over_cuda.backward(*fast[1:], *incoming), wanted[1:], strict=True):
        torch.testing.assert_close(got.cpu().double(), expected, rtol=1e-4, atol=1e-4)


def test_looking_between_two_steps_changes_nothing(triton_kernels):
    """The live view's pictures and the PSNR of the log. (Blurred ones add what test_lens_cuda.py looks at.)"""
    trainer = make("plain")
    take(trainer, 1)
    before = {name: t.clone() for name, t in values(trainer).items()}
    room = {key: (buffer.capacity, int(buffer.needed)) for key, buffer in trainer._steps._buffers.items()}
    look = Look((0.0, 0.0, -6.0), (1.0, 0.0, 0.0, 0.0), 0.3, 1.5, "sharp", 1.0, 6.0)
    seen = picture(trainer.model, look, pinhole_of(look, 24 * 16, 0.25), PUPIL, 0.3)
    assert seen.shape == (16, 24, 3) and seen.std() > 1
    assert 5 < Fit().psnr(trainer) < 60
    assert trainer.done == 1
    assert room == {key: (buffer.capacity, int(buffer.needed)) for key, buffer in trainer._steps._buffers.items()}
    assert [name for name, value in values(trainer).items() if not torch.equal(before[name], value)] == []
