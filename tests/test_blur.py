"""The variable blur: ladder against exact gather, kernels against the ladder, closed forms."""

import threading

import pytest
import torch

from macrosplat.lens.blur import each_blurred, mean_blur, variable_blur
from macrosplat.lens.blur_reference import gather_blur, ladder_blur
from macrosplat.lens.ladder import ladder


def texture(height, width, channels=3, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(height, width, channels, generator=generator, dtype=torch.float64).to(dtype)


def edge(height, width, seed=0):
    """Black and white halves, split along a slant."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (x + 0.3 * y > 0.6 * width).float()[..., None].expand(-1, -1, 3).contiguous()


def sigma_map(kind, height, width, largest):
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    if kind == "smooth":
        return largest * (0.5 + 0.5 * torch.sin(6 * x + 4 * y))
    if kind == "abrupt":
        return torch.where((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.09, 0.1 * largest, 0.9 * largest)
    generator = torch.Generator().manual_seed(7)
    return largest * torch.rand(height, width, generator=generator)


@pytest.mark.parametrize("kind", ["smooth", "abrupt", "random"])
@pytest.mark.parametrize("largest", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("pattern", [texture, edge])
def test_ladder_stays_within_half_a_percent_of_the_exact_gather(pattern, kind, largest):
    sharp = pattern(45, 70)
    sigma = sigma_map(kind, 45, 70, largest)
    error = variable_blur(sharp, sigma) - gather_blur(sharp.double(), sigma.double())
    assert error.std() <= 0.005 * sharp.std()
    if pattern is edge:  # also at the worst pixel
        assert error.abs().max() <= 0.005


def test_every_level_is_the_exact_gather():
    sharp = texture(40, 40).double()
    for sigma in ladder().sigmas[1:10]:  # to 8 px
        level = torch.full((40, 40), float(sigma), dtype=torch.float64)
        error = ladder_blur(sharp, level) - gather_blur(sharp, level)
        assert error.std() <= 0.001 * sharp.std()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_kernel_computes_the_ladder(channels):
    # Narrower than the filters reach, not a multiple of a run of pixels, and with all sigmas at once.
    sharp = texture(37, 71, channels).requires_grad_()
    sigma = sigma_map("random", 37, 71, 20.0).requires_grad_()
    upstream = texture(37, 71, channels, seed=1) - 0.5
    blurred = variable_blur(sharp, sigma)
    grad_sharp, grad_sigma = torch.autograd.grad(blurred, (sharp, sigma), upstream)
    sharp64, sigma64 = (t.detach().double().requires_grad_() for t in (sharp, sigma))
    wanted = ladder_blur(sharp64, sigma64)
    wanted_grad_sharp, wanted_grad_sigma = torch.autograd.grad(wanted, (sharp64, sigma64), upstream.double())
    torch.testing.assert_close(blurred.double(), wanted, atol=2e-6, rtol=0)
    torch.testing.assert_close(grad_sharp.double(), wanted_grad_sharp, atol=2e-6, rtol=0)
    # A knot of the table lies between the float32 and the float64 coordinate of some pixel: its slope may jump.
    difference = (grad_sigma.double() - wanted_grad_sigma).abs() / wanted_grad_sigma.abs().max()
    assert difference.max() <= 2e-3 and difference.median() <= 1e-5


@pytest.mark.parametrize("pivot", [None, 1])
def test_channels_apart(pivot):
    """Kernel and exact gather against the ladder, where each channel has its own sigma."""
    sharp = texture(20, 71)
    sigma = (sigma_map("random", 20, 71, 4.0) + 0.5)[..., None] * torch.tensor([0.9, 1.0, 1.15])
    upstream = texture(20, 71, seed=1) - 0.5
    results = []
    for dtype, in_planes in ((torch.float32, False), (torch.float32, True), (torch.float64, False)):
        inputs = [t.to(dtype)[None].requires_grad_() for t in (sharp, sigma)]
        given = [t.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1) if in_planes else t for t in inputs]
        exact = dtype == torch.float64
        blurred = ladder_blur(*(t[0] for t in given), pivot) if exact else mean_blur(*given, pivot)
        results.append((blurred, *torch.autograd.grad(blurred, inputs, upstream.to(dtype))))
    for one, other, wanted in zip(*results, strict=True):
        assert torch.equal(one, other)
        error = (one.double() - wanted).abs() / wanted.detach().abs().max()
        assert error.max() <= 2e-3 and error.median() <= 1e-5  # knots of the table, as above
    error = results[2][0] - gather_blur(sharp.double(), sigma.double(), pivot)
    assert error.std() <= 0.005 * sharp.std()
    if pivot is not None:
        error = results[2][0] - gather_blur(sharp.double(), sigma.double())
        assert error.std() <= 0.01 * sharp.std()  # by 10 and 15 % of sigma
        assert torch.equal(results[0][0][..., 1], variable_blur(sharp[..., 1:2], sigma[..., 1])[..., 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factors", [None, [0.9, 1.0, 1.15]])
def test_every_frame_on_its_own(dtype, factors):
    sharp = torch.stack([texture(12, 20, seed=n, dtype=dtype) for n in range(3)])
    sigma = torch.stack([sigma_map("random", 12, 20, 1.0 + n) for n in range(3)]).to(dtype)
    if factors is not None:
        sigma = sigma[..., None] * torch.tensor(factors, dtype=dtype)
    assert torch.equal(each_blurred(sharp, sigma), torch.stack(list(map(variable_blur, sharp, sigma))))


def test_gradient_of_sigma_is_that_of_the_exact_gather():
    sharp, sigma = edge(40, 56), sigma_map("smooth", 40, 56, 4.0)
    upstream = texture(40, 56, seed=1) - 0.5
    grad_sigma = []
    for blur, dtype in ((variable_blur, torch.float32), (gather_blur, torch.float64)):
        s = sigma.to(dtype).requires_grad_()
        grad_sigma += torch.autograd.grad(blur(sharp.to(dtype), s), s, upstream.to(dtype))
    error = grad_sigma[0].double() - grad_sigma[1]
    assert error.std() <= 0.05 * grad_sigma[1].std()


def test_sigma_gradient_against_differences_of_the_ladder():
    sharp = texture(24, 30).double()
    upstream = texture(24, 30, seed=1).double() - 0.5
    sigma = sigma_map("smooth", 24, 30, 6.0).double() + 0.1
    s = sigma.float().requires_grad_()
    (grad_sigma,) = torch.autograd.grad(variable_blur(sharp.float(), s), s, upstream.float())
    step = 1e-4 * sigma  # px; all pixels at once: a pixel's sigma touches that pixel alone
    change = (ladder_blur(sharp, sigma + step) - ladder_blur(sharp, sigma - step)) * upstream
    differences = change.sum(-1) / (2 * step)
    # A step that meets a knot of the table sees the mean of two slopes.
    error = (grad_sigma - differences).abs() / differences.abs().max()
    assert error.median() <= 1e-4 and error.max() <= 0.02


@pytest.mark.parametrize("size, largest", [((45, 90), 12.0), ((6, 9), 30.0), ((3, 130), 2.0)])
def test_adjoint(size, largest):
    x = (texture(*size) - 0.5).requires_grad_()
    g = texture(*size, seed=1) - 0.5
    sigma = sigma_map("random", *size, largest)
    blurred = variable_blur(x, sigma)
    (back,) = torch.autograd.grad(blurred, x, g)
    forth = (g.double() * blurred.double()).sum()
    assert abs(forth - (back.double() * x.double()).sum()) <= 1e-5 * g.norm() * blurred.norm()


def test_constant_stays_constant():
    sharp = torch.full((40, 70, 3), 0.7)
    sigma = sigma_map("random", 40, 70, 30.0).requires_grad_()
    blurred = variable_blur(sharp, sigma)
    torch.testing.assert_close(blurred, sharp, atol=2e-6, rtol=0)
    (grad_sigma,) = torch.autograd.grad(blurred.sum(), sigma)
    assert grad_sigma.abs().max() <= 1e-4


def test_no_blur_changes_no_bit():
    sharp = texture(20, 30)
    assert torch.equal(variable_blur(sharp, torch.zeros(20, 30)), sharp)


def test_beyond_the_ladder_sigma_is_held():
    sharp, sigma = texture(20, 30), torch.full((20, 30), 100.0, requires_grad=True)
    blurred = variable_blur(sharp, sigma)
    torch.testing.assert_close(blurred, variable_blur(sharp, torch.full((20, 30), 64.0)), atol=1e-6, rtol=0)
    (grad_sigma,) = torch.autograd.grad(blurred.sum(), sigma)
    assert not grad_sigma.any()


def test_gaussian_blurred_by_gaussian_adds_variances():
    y, x = torch.meshgrid(torch.arange(80.0) - 40, torch.arange(80.0) - 40, indexing="ij")

    def spot(variance):
        return (torch.exp(-0.5 * (x * x + y * y) / variance) / variance)[..., None]

    for sigma in (1.3, 3.0, 5.0):
        blurred = variable_blur(spot(4.0), torch.full((80, 80), sigma))
        error = blurred - spot(4.0 + sigma**2)
        assert error.abs().max() <= 0.005 * spot(4.0).max()


def test_mirrored_frame_gives_the_mirrored_result():
    sharp, sigma = texture(33, 50), sigma_map("random", 33, 50, 5.0)
    there = variable_blur(sharp, sigma)
    back = variable_blur(sharp.flip(0, 1), sigma.flip(0, 1)).flip(0, 1)
    torch.testing.assert_close(there, back, atol=1e-6, rtol=0)


def test_not_a_number_stays_where_it_is():
    sharp, sigma = texture(20, 30), torch.full((20, 30), 1.0)
    sigma[3, 4] = float("nan")
    blurred = variable_blur(sharp, sigma)
    assert blurred[3, 4].isnan().all() and blurred.isnan().sum() == 3


def test_same_bits_again_and_from_two_threads():
    def run(seed):
        size = (60 + 10 * seed, 90)
        sharp = texture(*size, seed=seed).requires_grad_()
        sigma = sigma_map("smooth", *size, 8.0).requires_grad_()
        blurred = variable_blur(sharp, sigma)
        return blurred.detach(), *torch.autograd.grad(blurred.square().sum(), (sharp, sigma))

    alone = {seed: run(seed) for seed in (0, 1)}
    results: dict[int, list] = {0: [], 1: []}
    threads = [threading.Thread(target=lambda s=s: results[s].extend(run(s) for _ in range(5))) for s in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (0, 1):
        assert len(results[seed]) == 5
        for result in results[seed]:
            assert all(torch.equal(a, b) for a, b in zip(alone[seed], result, strict=True))


def test_double_precision_takes_the_exact_gather():
    sharp, sigma = texture(12, 14).double(), sigma_map("smooth", 12, 14, 2.0).double() + 0.3
    assert torch.equal(variable_blur(sharp, sigma), gather_blur(sharp, sigma))
    inputs = sharp[:5, :6, :1].clone().requires_grad_(), sigma[:5, :6].clone().requires_grad_()
    assert torch.autograd.gradcheck(gather_blur, inputs)


def test_wrong_shapes_are_named():
    with pytest.raises(AssertionError, match=r"\(5, 4\)"):
        variable_blur(torch.zeros(4, 5, 3), torch.zeros(5, 4))
    with pytest.raises(AssertionError, match=r"\(4, 5, 7\)"):
        variable_blur(torch.zeros(4, 5, 7), torch.zeros(4, 5))
