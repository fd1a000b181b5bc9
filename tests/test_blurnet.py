"""`blurnet`: the guided filter by its definition, gradients by finite differences, runs that go on to the same bits."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from macrosplat.lens import LensStart, Sampling, Sharp
from macrosplat.lens.blurnet import SIGMA_LEAST, BlurNet, filled
from macrosplat.lens.clarity import clarity_of, guided_filter
from macrosplat.lens.focus import FocusLens
from macrosplat.render import Pinhole
from macrosplat.support.colour import to_linear, to_srgb
from macrosplat.train import checkpoint
from macrosplat.train.trainer import Trainer
from making_training import PIXEL, made, make_trainer

CAMERA = Pinhole(fx=200.0, fy=200.0, cx=6.0, cy=5.0, width=12, height=10).at(torch.eye(4))


def by_definition(guide: np.ndarray, plane: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """He, Sun, Tang 2013, eq. 5 and 8: a ridge regression in every window, averaged over all windows of a pixel."""
    height, width = guide.shape
    total, count = np.zeros_like(guide), np.zeros_like(guide)
    a, b = np.zeros_like(guide), np.zeros_like(guide)
    windows = {}
    for y in range(height):
        for x in range(width):
            window = windows[y, x] = (
                slice(max(0, y - radius), y + radius + 1),
                slice(max(0, x - radius), x + radius + 1),
            )
            i, p = guide[window].ravel(), plane[window].ravel()
            # min over (a, b) of the sum of (a i + b - p)^2 + eps a^2, as a least squares problem with one more row.
            rows = np.concatenate([np.stack([i, np.ones_like(i)], 1), [[math.sqrt(eps * len(i)), 0.0]]])
            a[y, x], b[y, x] = np.linalg.lstsq(rows, np.append(p, 0.0), rcond=None)[0]
    for y in range(height):
        for x in range(width):
            total[windows[y, x]] += a[y, x]
            count[windows[y, x]] += 1
    mean_a = total / count
    total[:] = 0
    for at, window in windows.items():
        total[window] += b[at]
    return mean_a * guide + total / count


@pytest.mark.parametrize(("radius", "eps"), [(1, 1e-3), (3, 0.1)])
def test_the_guided_filter_is_its_definition(radius, eps):
    random = np.random.default_rng(0)
    guide, plane = random.uniform(size=(2, 11, 14))
    got = guided_filter(torch.from_numpy(guide), torch.from_numpy(plane), radius, eps)
    np.testing.assert_allclose(got.numpy(), by_definition(guide, plane, radius, eps), atol=1e-12)


def test_gradients_of_the_guided_filter_are_finite_differences():
    random = torch.Generator().manual_seed(0)
    guide, plane = (torch.rand(8, 9, generator=random, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(lambda g, p: guided_filter(g, p, 2, 0.01), (guide, plane), fast_mode=True)


def test_clarity_is_where_the_photo_is_sharp():
    """The same texture twice, the right half blurred: nearly all of the weight lies on the left."""
    texture = np.random.default_rng(1).uniform(60, 190, (60, 80))
    photo = np.concatenate([texture, gaussian_filter(texture, 2.5, mode="wrap")], 1)
    mask = clarity_of(np.repeat(photo[..., None], 3, 2).astype(np.uint8), 40, 0.1, 12, 1e-3)
    left, right = mask[:, :70].mean(), mask[:, 90:].mean()
    assert left > 3 * right and 0.9 < float(mask.kthvalue(round(0.99 * 160), 1).values.max()) < 2
    assert (mask**8)[:, 80:].sum() < 0.01 * (mask**8).sum()
    flat = clarity_of(np.full((20, 30, 3), 90, np.uint8), 40, 0.1, 12, 1e-3)
    assert flat.isfinite().all() and flat.max() < 1e-3


def small_lens(**settings) -> BlurNet:
    settings = {"channels": 3, "layers": 2, "clarity_power": 2.0, "sigma_start": 15.0, "blur_radius": 64.0, **settings}
    lens = BlurNet(LensStart(1.0, (5.0, 5.0), (1.0, 1.0), width=12, distance=5.0, spread=0.8, settings=settings))
    random = np.random.default_rng(2)
    lens.look([random.integers(0, 256, (10, 12, 3), dtype=np.uint8) for _ in range(2)], [None, None])
    return lens


def scene(dtype=torch.float64) -> Sharp:
    random = torch.Generator().manual_seed(3)
    depth = 4.5 + torch.rand(10, 12, generator=random, dtype=dtype)
    alpha = (torch.rand(10, 12, generator=random, dtype=dtype) + 0.3).clamp_max(1)
    return Sharp(torch.rand(10, 12, 3, generator=random, dtype=dtype), alpha, depth)


def test_gradients_of_the_variance_are_finite_differences():
    """By the depth and by every weight of both networks, through centring, filling and the product."""
    lens, sharp = small_lens(), scene()
    names = list(lens.parameters)

    def sigma(depth: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        lens.parameters = dict(zip(names, weights, strict=True))
        return lens.sigma(replace(sharp, depth=depth), CAMERA, 1)

    begin = [t.double().requires_grad_() for t in (sharp.depth, *lens.parameters.values())]
    assert torch.autograd.gradcheck(sigma, begin, atol=1e-6, fast_mode=True)


def test_gradients_of_the_photo_are_finite_differences():
    lens, sharp = small_lens(light="srgb"), scene()
    names = list(lens.parameters)

    def loss(colour: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        lens.parameters = dict(zip(names, weights, strict=True))
        # The network reads the render as evidence, through which no gradient goes: it is held here.
        held = lens.variance(sharp, CAMERA, 0)
        lens.variance = lambda *_: held  # type: ignore[method-assign]
        taken = lens.photograph(lambda *_: replace(sharp, colour=colour), CAMERA, 0, Sampling())
        del lens.variance
        return (taken**2).sum()

    begin = [t.double().requires_grad_() for t in (0.1 + 0.8 * sharp.colour, *lens.parameters.values())]
    assert torch.autograd.gradcheck(loss, begin, rtol=1e-3, atol=1e-5, fast_mode=True)


def test_relative_depth_is_nought_in_focus():
    """A ramp in depth, sharp in one column: its depth is the centre. Without clarity the centre is the mean."""
    ramp = torch.linspace(4.0, 6.0, 12, dtype=torch.float64).expand(10, 12)
    sharp = replace(scene(), depth=ramp, alpha=torch.ones(10, 12, dtype=torch.float64))
    lens = small_lens(clarity_power=8.0)
    mask = torch.full((10, 12), 0.3, dtype=torch.float64)
    mask[:, 3] = 1.0
    relative = lens.relative_depth(sharp, mask)
    assert float(relative[:, 3].abs().max()) < 0.01 and float(relative[:, 0].max()) < -0.5
    even = small_lens(clarity="none").relative_depth(sharp, torch.ones_like(mask))
    torch.testing.assert_close(even.mean(), torch.zeros((), dtype=torch.float64), atol=1e-9, rtol=0)
    raw = small_lens(depth="raw").relative_depth(sharp, mask)
    torch.testing.assert_close(raw, (ramp - 5.0) / 0.8)


def test_every_ablation_takes_a_photo_and_starts_where_it_was_told():
    for change in ({}, {"clarity": "none"}, {"depth": "raw"}, {"depth": "none"}, {"rgb": "off"}, {"light": "srgb"}):
        lens = small_lens(channels=32, **change)
        networks = {name.split(".")[1] for name in lens.parameters}
        assert networks == {"depth", "rgb"} - {"depth" if change.get("depth") == "none" else ""} - {
            "rgb" if change.get("rgb") == "off" else ""
        }
        sigma = lens.sigma(scene(torch.float32), CAMERA, 0)
        # 15 px of a frame 640 wide are 0.28 px of one 12 wide; the last layer is nearly silent at first.
        wanted = math.hypot(SIGMA_LEAST, 15 * 12 / 640)
        assert float(sigma.detach().median()) == pytest.approx(wanted, rel=0.05), change
    even, plain, one = (small_lens(**change) for change in ({}, {"first": "plain"}, {"stages": "one"}))
    assert even.blur_from == one.blur_from == one.learn_from == 0 < plain.blur_from == even.learn_from


def test_the_rgb_network_sees_means_of_squares():
    """Pixels that change places inside their square, the last ones cut off by the frame, change nothing; others do."""
    lens, sharp = small_lens(depth="none", clarity="none", rgb_cell=4), scene()
    before = lens.variance(sharp, CAMERA, 0)
    assert before.shape == (10, 12)
    seen = to_srgb(sharp.colour)  # the network reads sRGB, of which the mean is taken
    for rows, columns in ((slice(0, 4), slice(4, 8)), (slice(8, 10), slice(8, 12))):
        shown = seen.clone()
        shown[rows, columns] = shown[rows, columns].flip(0, 1)
        same = lens.variance(replace(sharp, colour=to_linear(shown)), CAMERA, 0)
        torch.testing.assert_close(same, before)
    other = lens.variance(replace(sharp, colour=to_linear(seen.flip(0))), CAMERA, 0)
    assert float((other - before).abs().max()) > 1e-6


def test_masks_of_every_size_stay_where_they_are():
    """A recorded step reads them at the address that it saw."""
    lens, like = small_lens(), torch.zeros(1)
    for size in ((10, 12), (5, 6), (10, 12)):
        assert lens.mask(0, size, like).shape == size
    kept = dict(lens._resized)
    lens.mask(1, (10, 12), like)
    assert len(kept) == 2 and all(lens._resized[key] is kept[key] for key in kept)


def test_backdrop_takes_the_depth_of_what_is_near():
    depth = torch.full((16, 16), 7.0, dtype=torch.float64)
    solid = torch.zeros(16, 16, dtype=torch.bool)
    solid[2:5, 2:5], solid[12:15, 12:15] = True, True
    depth[12:15, 12:15] = 3.0
    wide = filled(depth, solid)
    assert torch.equal(wide[solid], depth[solid]) and float(wide.min()) >= 3.0 and float(wide.max()) <= 7.0
    assert float(wide[0, 0]) > 6 and float(wide[15, 15]) < 4


def test_resumes_to_the_same_bits(tmp_path):
    # At this size the photos are nearly sharp, and so few steps would see no blur.
    schedule = {"half_from": 0.0, "full_from": 0.0, "blur_from": 0.0, "learn_from": 0.0, "joint_from": 0.1}

    def ready(steps: int) -> tuple[Trainer, LensStart]:
        trainer, start = make_trainer(40, lens="blurnet", **schedule)
        trainer.model.lens.look(trainer.targets.photos, trainer.targets.masks)
        for _ in range(steps):
            trainer.step()
        return trainer, start

    whole, _ = ready(8)
    half, start = ready(4)
    checkpoint.save(tmp_path / "checkpoint", half, tuple("abcdef"), start)
    state = checkpoint.load(tmp_path / "checkpoint")
    state.model.lens.look(made().photos, [None] * 6)
    for name in ("blur_from", "learn_from", "joint_from"):  # no options of a run, and so not in a checkpoint
        setattr(state.model.lens, name, schedule[name])
    again = Trainer(state.model, half.targets, half.schedule, PIXEL, 0)
    checkpoint.resume(again, state)
    for _ in range(4):
        again.step()
    got, wanted = again.model.parameters(), whole.model.parameters()
    assert sum(name.startswith("lens.") for name in wanted) == 16
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)
    begun = BlurNet(start).parameters
    assert not torch.equal(begun["lens.depth.0.weight"], wanted["lens.depth.0.weight"])


def test_focus_weighs_by_clarity_within_the_mask():
    lens = FocusLens(LensStart(1.0, (5.0,), (1.0,), settings={"least": 0.2, "power": 1.0}))
    photo = made().photos[0]
    weights = lens.weights(photo, None)
    clear = clarity_of(photo, 6.0, 3e-3, 6.0, 3e-3).clamp_max(1).numpy()
    np.testing.assert_allclose(weights / 255, 0.2 + 0.8 * clear, atol=0.5 / 255 + 1e-6)
    mask = np.zeros(photo.shape[:2], np.uint8)
    assert lens.look([photo], [mask])[0].max() == 0  # type: ignore[union-attr]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cpu_and_gpu_agree():
    """The photo, and its gradients by the scene and by every weight, where the lens is the same."""

    def taken(device: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        lens = BlurNet(LensStart(1.0, (5.0,), (1.0,), distance=5.0, spread=0.8, settings={"channels": 32}))
        lens.look(made().photos, [None] * 6)
        lens.to(torch.device(device))
        size = made().photos[0].shape[:2]
        camera = Pinhole(200.0, 200.0, size[1] / 2, size[0] / 2, size[1], size[0]).at(torch.eye(4, device=device))
        leaves = [torch.rand(*size, 3), 4.5 + torch.rand(size), *(t.cpu() for t in lens.parameters.values())]
        leaves = [t.to(device).requires_grad_() for t in leaves]
        lens.parameters = dict(zip(lens.parameters, leaves[2:], strict=True))
        sharp = Sharp(leaves[0], torch.ones(size, device=device), leaves[1])
        photo = lens.photograph(lambda *_: sharp, camera, 0, Sampling())
        # Any blur lowers the contrast: the terms of the last biases' gradients mostly have one sign and cancel little.
        gradients = torch.autograd.grad((photo - 0.5).square().sum(), leaves)
        names = ("photo", "colour", "depth", *lens.parameters)
        return {name: t.detach().cpu() for name, t in zip(names, (photo, *gradients), strict=True)}

    with torch.backends.cudnn.flags(allow_tf32=False):  # training takes the ten bits of TF32
        found = taken("cuda")
    expected = taken("cpu")
    off = {name: float((found[name] - here).abs().max() / here.abs().max()) for name, here in expected.items()}
    assert max(off.values()) <= 2e-3, off
