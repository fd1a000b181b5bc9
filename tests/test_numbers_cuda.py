"""What a step knows of its photo alone, in launches of a few numbers, against the same in torch: on a GPU if there is
one, and in Triton's interpreter otherwise."""

import pytest
import torch

from macrosplat.lens import aperture
from macrosplat.lens.model import LensStart, Sampling
from macrosplat.lens.thin import ThinLens
from macrosplat.model.exposure import Exposure
from macrosplat.model.light_cuda import Expose, Own
from macrosplat.model.rig import Rig
from macrosplat.render import Frame, Pinhole

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RANDOM = torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=RANDOM).to(DEVICE)


def leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone().requires_grad_()


def assert_same(got, wanted, leaves, which=None) -> None:
    """Values, and the gradients of some of them by the leaves."""
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    which = range(len(got)) if which is None else which
    weights = [normal(*got[k].shape) for k in which]
    pair = [
        torch.autograd.grad([out[k] for k in which], leaves, weights, allow_unused=True, retain_graph=True)
        for out in (got, wanted)
    ]
    for a, b in zip(*pair, strict=True):
        assert (a is None) == (b is None)
        if a is None:
            continue
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("photos", "photo", "leader"), [(1, 0, 0), (5, 4, 1), (300, 299, 299)])
@pytest.mark.parametrize("which", [(0, 1), (0,), (1,)])
def test_gains_and_backdrops(photos, photo, leader, which):
    log_gains, grids = leaf(0.3 * normal(photos, 3)), leaf(normal(photos, 3, 4, 3))
    numbers = [torch.tensor([k], device=DEVICE) for k in (photo, leader)]
    exposure = Exposure(log_gains)
    wanted = exposure.gain(photo), grids[leader] / exposure.gain(leader)
    assert_same(Own.apply(log_gains, grids, *numbers), wanted, [log_gains, grids], which)


@pytest.mark.parametrize("channels", [3, 4])
def test_light_is_exposed(channels):
    light, gain = leaf(normal(37, 50, channels)), leaf(normal(3).exp())
    wanted = light * torch.cat([gain, gain.new_ones(channels - 3)])
    assert_same([Expose.apply(light, gain)], [wanted], [light, gain])


@pytest.mark.parametrize("focal", [(), (1.1, 1.2, 1.3)])
@pytest.mark.parametrize("sigma0", [0.4, 9.0])
def test_a_lens_of_a_photo(monkeypatch, focal, sigma0):
    lens = ThinLens(LensStart(0.3, (4.0, 5.0, 6.0), (1.0, 0.5, 0.7), width=64, focal=focal, sigma0=sigma0))
    lens.to(torch.device(DEVICE))
    lens.parameters["lens.focus"] += 0.1 * normal(3)
    leaves = [lens.parameters[name].requires_grad_() for name in ("lens.pupil", "lens.focus", "lens.sigma0")]
    camera = Pinhole(70.0, 70.0, 16.0, 12.0, 32, 24).at(torch.eye(4, device=DEVICE))
    camera.intrinsics.requires_grad_()
    photo = torch.tensor([1], device=DEVICE)
    result = []
    for on_gpu in (True, False):
        monkeypatch.setattr("macrosplat.lens.thin.on_gpu", lambda _, on_gpu=on_gpu: on_gpu)
        result.append(lens._numbers(photo, camera))
    assert type(result[0][0].grad_fn) is not type(result[1][0].grad_fn)
    for which in ((0, 1, 2), (0,), (1, 2)):
        assert_same(*result, [*leaves, camera.intrinsics], which)


@pytest.mark.parametrize(
    ("samples", "rows", "blades"),
    [(4, range(4), None), (8, range(8), (5, 0.3, 1.0)), (8, (0, 1, 3, 5), None), (8, (0, 1, 3, 5), (8, -0.1, 0.6))],
)
def test_aperture_samples(monkeypatch, samples, rows, blades):
    view, angle = torch.eye(4, device=DEVICE), torch.tensor(0.4, device=DEVICE)
    view[:3] += 0.3 * normal(3, 4)
    leaves = [leaf(t) for t in (view, *torch.tensor([0.7, 3.1], device=DEVICE))]
    shape = None if blades is None else torch.tensor(blades, device=DEVICE)
    result = []
    for on_gpu in (True, False):
        monkeypatch.setattr(aperture, "on_gpu", lambda _, on_gpu=on_gpu: on_gpu)
        result.append(aperture.apertures(Sampling(samples, angle=angle), *leaves, rows, shape))
    for which in ((0, 1, 2), (2,), (1,)):
        assert_same(*result, leaves, which)


@pytest.mark.parametrize("turned", [0.0, 0.01, 1.3])
@pytest.mark.parametrize(("leaders", "moving"), [(None, 0.0), (None, 1.0), ((0, 1, 1), 1.0)])
def test_a_camera_that_is_learned(monkeypatch, turned, leaders, moving):
    views = torch.eye(4, device=DEVICE).repeat(3, 1, 1)
    views[:, :3] += 0.3 * normal(3, 3, 4)
    start, moves = 50 + 5 * normal(3, 4), None if leaders else torch.tensor([0.0, 1.0, moving], device=DEVICE)
    rig = Rig(views, start, [Frame(64, 48)] * 3, 4 + normal(3), 0.02, leaders, moves)
    rig.parameters["pose.turn"] += turned * normal(3, 3)
    rig.parameters["pose.shift"] += normal(3, 3)
    rig.parameters["pose.focal"] += 0.1
    rig.parameters["pose.breathing"] += 0.05
    leaves = [parameter.requires_grad_() for parameter in rig.parameters.values()]
    relative, photo, result = normal(3), torch.tensor([2], device=DEVICE), []
    for on_gpu in (True, False):
        monkeypatch.setattr("macrosplat.model.rig.on_gpu", lambda _, on_gpu=on_gpu: on_gpu)
        camera = rig.camera(photo, Frame(32, 24), relative)
        result.append((camera.view, camera.intrinsics))
    for which in ((0, 1), (0,), (1,)):
        assert_same(*result, leaves, which)
