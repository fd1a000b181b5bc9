"""Defocus from depth: formula, gradients, and what the backdrop does."""

import threading

import pytest
import torch

from macrosplat.lens.coc import defocus
from macrosplat.lens.coc_reference import CELL

FX, PUPIL, FOCUS, SIGMA0 = 800.0, 12.0, 101.0, 0.6  # px, mm, mm, px: what `lens` gives


def scene(height=37, width=54, dtype=torch.float32):
    """A wavy surface in a disc, a nearer one in a corner, backdrop elsewhere."""
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    generator = torch.Generator().manual_seed(0)
    depth = (
        100 + 20 * torch.sin(5 * x + 1) + 15 * torch.cos(7 * y) + 0.1 * torch.rand(height, width, generator=generator)
    )
    solid = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.09) | ((x - 0.9) ** 2 + (y - 0.2) ** 2 < 0.01)
    weight = torch.where(solid, 0.9, 0.2)
    return depth.to(dtype), weight.to(dtype)


def lens(dtype=torch.float32, requires_grad=False):
    return [torch.tensor(v, dtype=dtype, requires_grad=requires_grad) for v in (FX, PUPIL, FOCUS, SIGMA0)]


@pytest.mark.parametrize("size", [(37, 54), (4, 3), (1, 9), (64, 64)])
def test_kernel_against_reference(size):
    results = []
    for dtype in (torch.float32, torch.float64):
        depth, weight = scene(*size, dtype=dtype)
        weight[0, 0] = 1.0
        depth.requires_grad_()
        parameters = lens(dtype, requires_grad=True)
        sigma = defocus(depth, weight, *parameters)
        upstream = torch.cos(torch.arange(sigma.numel(), dtype=dtype)).reshape(sigma.shape)
        results.append((sigma, *torch.autograd.grad(sigma, (depth, *parameters), upstream)))
    # 1/d0 - 1/d cancels in float32: 1e-9 of 0.01, times 2400 px, is 2.4e-6 px.
    for fast, wanted in zip(*results, strict=True):
        assert fast.dtype == torch.float32
        torch.testing.assert_close(fast.double(), wanted, atol=1e-5 * float(wanted.detach().abs().max()), rtol=1e-5)


def test_formula_where_there_is_geometry():
    depth = torch.tensor([[80.0, 101.0, 150.0]])
    sigma = defocus(depth, torch.ones(1, 3), *lens())
    s = PUPIL / 2 * FX * (1 / FOCUS - 1 / depth.double())
    torch.testing.assert_close(sigma.double(), (SIGMA0**2 + (s / 2) ** 2).sqrt(), atol=1e-5, rtol=0)
    assert sigma[0, 1] == pytest.approx(SIGMA0)


def test_gradients_against_differences():
    depth, _ = scene(8, 10, torch.float64)
    inputs = (depth.requires_grad_(), *lens(torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(lambda d, *p: defocus(d, torch.ones_like(d), *p), inputs)


def test_backdrop_passes_gradients_to_the_lens_but_not_to_depth():
    depth, weight = scene()
    depth.requires_grad_()
    parameters = lens(requires_grad=True)
    sigma = defocus(depth, weight, *parameters)
    backdrop = weight < 0.5
    grad_depth, *grad_lens = torch.autograd.grad(sigma[backdrop].sum(), (depth, *parameters))
    assert not grad_depth.any()
    assert all(g != 0 for g in grad_lens)
    (grad_depth,) = torch.autograd.grad(defocus(depth, weight, *parameters).sum(), depth)
    assert (grad_depth[~backdrop] != 0).all() and not grad_depth[backdrop].any()


def test_backdrop_takes_the_blur_of_the_object_that_reaches_it():
    """A sharp object on the left, a defocused one on the right: each has its surroundings."""
    depth, weight = torch.full((80, 160), 1e3), torch.zeros(80, 160)
    depth[:, 20:40], weight[:, 20:40] = FOCUS, 1.0
    depth[:, 120:140], weight[:, 120:140] = 80.0, 1.0
    sigma = defocus(depth, weight, *lens())
    blurred = float(sigma[40, 130])  # r = 2 sigma = 12.5 px
    assert blurred > 6.0
    reach = int(2 * blurred)
    assert torch.allclose(sigma[:, 120 - reach + CELL : 120], torch.tensor(blurred))
    assert torch.allclose(sigma[:, 140:], torch.tensor(blurred))  # goes on beyond the reach
    assert torch.allclose(sigma[:, :60], torch.tensor(SIGMA0))
    assert sigma.min() >= SIGMA0 * 0.999 and sigma.max() <= blurred * 1.001


def test_backdrop_between_near_and_far_is_not_in_focus():
    """Mixing depths on both sides of the focal plane must not make a sharp line."""
    depth, weight = torch.full((40, 120), 1e3), torch.zeros(40, 120)
    depth[:, 20:40], weight[:, 20:40] = 85.0, 1.0
    depth[:, 80:100], weight[:, 80:100] = 1 / (2 / FOCUS - 1 / 85.0), 1.0
    sigma = defocus(depth, weight, *lens())
    torch.testing.assert_close(sigma, torch.full_like(sigma, float(sigma[20, 30])), atol=1e-3, rtol=0)


def test_without_geometry_the_frame_is_in_focus():
    sigma = defocus(torch.zeros(20, 30), torch.zeros(20, 30), *lens())
    assert torch.allclose(sigma, torch.tensor(SIGMA0))


def test_depth_of_the_backdrop_is_never_read():
    depth, weight = scene()
    before = defocus(depth, weight, *lens())
    depth[weight < 0.5] = float("nan")
    assert torch.equal(before, defocus(depth, weight, *lens()))


def test_same_bits_again_and_from_two_threads():
    def run(_=None):
        depth, weight = scene(90, 120)
        depth.requires_grad_()
        parameters = lens(requires_grad=True)
        sigma = defocus(depth, weight, *parameters)
        return sigma.detach(), *torch.autograd.grad(sigma.sum(), (depth, *parameters))

    alone, results = run(), []
    threads = [threading.Thread(target=lambda: results.extend(run() for _ in range(5))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 10
    for result in results:
        assert all(torch.equal(a, b) for a, b in zip(alone, result, strict=True))


def test_wrong_shapes_are_named():
    with pytest.raises(AssertionError, match="weight"):
        defocus(torch.ones(4, 5), torch.ones(5, 4), *lens())
    with pytest.raises(AssertionError, match="pupil"):
        defocus(torch.ones(4, 5), torch.ones(4, 5), lens()[0], torch.ones(2), *lens()[2:])
