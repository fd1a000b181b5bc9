"""A camera, its centre and a lens's numbers, each by one call on a CPU: against the same in torch, in float64."""

import pytest
import torch

from macrosplat.lens import LensStart, colour
from macrosplat.lens.thin import ThinLens
from macrosplat.model.exposure import Exposure
from macrosplat.model.light_cpu import Own
from macrosplat.model.rig import Rig
from macrosplat.render import Frame, Pinhole
from macrosplat.render.centre import camera_centre


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_same(found, wanted, leaves, double_leaves, tolerance=2e-6):
    """Values, and gradients of a weighted sum of them."""
    sums = [
        sum((one * normal(*one.shape, seed=7 + n).to(one)).sum() for n, one in enumerate(ones))
        for ones in (found, wanted)
    ]
    grads = torch.autograd.grad(sums[0], leaves), torch.autograd.grad(sums[1], double_leaves)
    for one, other in zip((*found, *grads[0]), (*wanted, *grads[1]), strict=True):
        scale = float(other.detach().abs().max()) or 1.0
        assert one.dtype == torch.float32 and one.shape == other.shape
        assert float((one.double() - other).detach().abs().max()) <= tolerance * scale


@pytest.mark.parametrize("turned", [0.0, 0.02, 0.4])
@pytest.mark.parametrize(("leaders", "breathes"), [(None, True), (None, False), ((0, 1, 1), False)])
def test_a_camera_that_is_learned(turned, leaders, breathes):
    views = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1)
    views[:, :3] += 0.3 * normal(3, 3, 4)
    start, moves = 50 + 5 * normal(3, 4, seed=1), None if leaders else torch.tensor([0.0, 1.0, 1.0])
    numbers = [turned * normal(3, 3, seed=2), normal(3, 3, seed=3), torch.tensor(0.1), torch.tensor(0.05)]
    found, leaves = [], []
    for dtype in (torch.float32, torch.float64):
        known = [t.float().to(dtype) for t in (views, start, 4 + normal(3, seed=4))]
        own = None if moves is None else moves.to(dtype)
        rig = Rig(*known[:2], [Frame(64, 48)] * 3, known[2], 0.02, leaders, own)
        for name, number in zip(tuple(rig.parameters), numbers, strict=True):
            rig.parameters[name] = number.float().to(dtype).requires_grad_()
        relative = normal(3, seed=5).float().to(dtype) if breathes else None
        camera = rig.camera(2, Frame(32, 24), relative)
        found.append((camera.view, camera.intrinsics))
        leaves.append([p for name, p in rig.parameters.items() if breathes or name != "pose.breathing"])
    assert found[0][0].grad_fn is not None and "Learned" in type(found[0][0].grad_fn).__name__
    assert_same(*found, *leaves)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_where_a_camera_stands(shape):
    view = torch.eye(4, dtype=torch.float64) + torch.zeros(*shape, 4, 4)
    view[..., :3, :] += 0.3 * normal(*shape, 3, 4)
    view = view.float().double().requires_grad_()
    single = view.detach().float().requires_grad_()
    assert_same([camera_centre(single)], [camera_centre(view)], [single], [view])


@pytest.mark.parametrize("focal", [(), (1.1, 1.2, 1.3)])
@pytest.mark.parametrize("sigma0", [0.4, 9.0])
def test_a_lens_of_a_photo(focal, sigma0):
    lens = ThinLens(LensStart(0.3, (4.0, 5.0, 6.0), (1.0, 0.5, 0.7), width=64, focal=focal, sigma0=sigma0))
    lens.parameters["lens.focus"] += 0.1 * normal(3).float()
    camera, results, leaves = Pinhole(70.0, 70.0, 16.0, 12.0, 32, 24).at(torch.eye(4)), [], []
    for dtype in (torch.float32, torch.float64):
        for name in ("reference", "aperture", "focal"):
            setattr(lens, name, getattr(lens, name).to(dtype))
        lens.parameters = {name: p.detach().to(dtype).requires_grad_() for name, p in lens.parameters.items()}
        seen = camera.at(camera.view)
        object.__setattr__(seen, "intrinsics", camera.intrinsics.to(dtype).requires_grad_())
        results.append(lens._numbers(1, seen))
        own = [lens.parameters[name] for name in ("lens.pupil", "lens.focus", "lens.sigma0")]
        leaves.append([*own, seen.intrinsics] if focal else own)
    assert "Numbers" in type(results[0][0].grad_fn).__name__
    assert_same(*results, *leaves)


@pytest.mark.parametrize("photo", [0, 2])
@pytest.mark.parametrize("channels", [3, 4])
def test_the_light_of_a_photo(photo, channels):
    results, leaves = [], []
    for dtype in (torch.float32, torch.float64):
        gains, grids = (0.3 * normal(3, 3)).float().to(dtype), normal(3, 3, 4, 3, seed=1).float().to(dtype)
        light = normal(7, 50, channels, seed=2).float().to(dtype)
        own = [t.requires_grad_() for t in (gains, grids, light)]
        gain = [(gains[n] - gains.mean(0)).exp() for n in (photo, 1)]
        wanted = gain[0], grids[1] / gain[1]
        if dtype == torch.float32:
            wanted = Own.apply(gains, grids, photo, 1)
        exposed = Exposure(gains).expose(light, photo, wanted[0])
        results.append((*wanted, exposed))
        leaves.append(own)
    assert "Expose" in type(results[0][2].grad_fn).__name__
    assert_same(*results, *leaves)


def test_colours_of_a_photo():
    radii = torch.tensor([0.4, -0.3], dtype=torch.float64)
    pupil, fx = torch.tensor(0.3), torch.tensor(70.0)
    leaves = [radii.float().requires_grad_(), radii.float().double().requires_grad_()]
    found = [[colour.inverse_offsets(r, pupil.to(r), fx.to(r))] for r in leaves]
    assert_same(*found, *[[r] for r in leaves])
