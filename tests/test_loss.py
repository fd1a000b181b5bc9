"""L1 + D-SSIM: kernels against the reference, SSIM against scikit-image."""

import threading

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from macrosplat.train import loss_reference
from macrosplat.train.loss import make_target, photo_loss


def case(height, width, masked, seed=0):
    generator = torch.Generator().manual_seed(seed)
    photo = (torch.rand(height, width, 3, generator=generator) * 256).clamp(max=255).byte()
    photo[: height // 3, ::2] = 252  # burnt out
    mask = (torch.rand(height, width, generator=generator) * 256).clamp(max=255).byte() if masked else None
    # From below 0 to above 1, in linear light, and close to the photo in part of the frame.
    blurred = torch.rand(height, width, 3, generator=generator) ** 2 * 1.5 - 0.02
    near = ((photo.float() / 255 + 0.055) / 1.055) ** 2.4 + 0.002
    blurred[:, width // 2 :] = near[:, width // 2 :]
    return blurred, photo, mask


@pytest.mark.parametrize("size", [(37, 53), (230, 20), (11, 11), (4, 7), (1, 6)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_kernel_against_reference(size, masked, share):
    blurred, photo, mask = case(*size, masked)
    target = make_target(photo, mask)
    results = []
    for dtype in (torch.float32, torch.float64):
        x = blurred.to(dtype).requires_grad_()
        loss = photo_loss(x, target, share)
        results.append((loss, *torch.autograd.grad(2.0 * loss, x)))
    (loss, gradient), (wanted, wanted_gradient) = results
    assert abs(float(loss.detach()) - float(wanted.detach())) <= 2e-6
    torch.testing.assert_close(gradient.double(), wanted_gradient, atol=1e-5 * wanted_gradient.abs().max(), rtol=1e-5)


def test_reference_against_differences():
    blurred, photo, mask = case(9, 8, True)
    target = make_target(photo, mask)
    x = blurred.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: photo_loss(x, target, 0.4), (x,), eps=1e-7, atol=1e-7)


def test_forward_alone_gives_the_same_number():
    blurred, photo, mask = case(120, 40, True)
    target = make_target(photo, mask)
    with torch.no_grad():
        alone = photo_loss(blurred, target)
    assert torch.equal(alone, photo_loss(blurred.requires_grad_(), target).detach())


def test_ssim_is_that_of_scikit_image():
    blurred, photo, _ = case(40, 50, False)
    y = photo.double() / 255
    x, y = loss_reference.as_shown(loss_reference.srgb_curve(blurred.double()), y).numpy(), y.numpy()
    _, wanted = structural_similarity(
        x, y, data_range=1.0, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    # Away from the borders by one pixel's window at a time: the loss of a mask of that one pixel.
    for row, column in ((5, 5), (20, 30), (34, 44)):
        mask = torch.zeros(40, 50, dtype=torch.uint8)
        mask[row, column] = 255
        loss = photo_loss(blurred, make_target(photo, mask), 1.0)
        assert float(loss) == pytest.approx(1.0 - wanted[row, column].mean(), abs=2e-5)


def test_a_burnt_out_photo_says_at_least_so_much():
    """L1 alone: light beyond white counts for an eighth of what is lacking; beyond grey, whole."""
    far = 0.2  # sRGB
    for white, share in ((255, 0.125), (249, 1.0)):
        photo = torch.full((12, 12, 3), white, dtype=torch.uint8)
        for away, counts in ((far, share), (-far, 1.0)):
            blurred = ((white / 255 + away + 0.055) / 1.055) ** 2.4 * torch.ones(12, 12, 3, dtype=torch.float64)
            assert float(photo_loss(blurred, make_target(photo), 0.0)) == pytest.approx(counts * far, abs=1e-9)


def test_curve():
    x = torch.linspace(-0.1, 1.5, 4001, dtype=torch.float64)
    curve = loss_reference.srgb_curve(x).numpy()
    exact = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.abs(x.numpy()) ** (1 / 2.4) - 0.055)
    assert np.abs(curve - exact).max() <= 1e-12


@pytest.mark.parametrize("value", [-0.5, 0.0, 0.002, 0.0031, 0.0032, 0.01, 0.2, 1.0, 3.0, 15.9, 16.1, 100.0])
def test_curve_of_the_kernel(value):
    """L1 alone, against a black photo: the mean is the curve itself, the gradient its slope."""
    target = make_target(torch.zeros(1, 1, 3, dtype=torch.uint8))
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        x = torch.full((1, 1, 3), value, dtype=dtype, requires_grad=True)
        loss = photo_loss(x, target, 0.0)
        (slope,) = torch.autograd.grad(loss, x)
        wide = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        curve = loss_reference.srgb_curve(wide).abs()
        (wanted,) = torch.autograd.grad(curve, wide)
        assert abs(float(loss.detach()) - float(curve.detach())) <= tolerance * max(1.0, abs(value))
        assert float(slope.sum()) == pytest.approx(float(wanted), rel=1e-5)


def test_perfect_render_has_no_loss():
    _, photo, mask = case(30, 40, True)
    y = photo.double() / 255
    linear = torch.where(y <= 0.04045, y / 12.92, ((y + 0.055) / 1.055) ** 2.4)
    assert abs(float(photo_loss(linear.float(), make_target(photo, mask)))) <= 1e-5


def test_what_the_mask_leaves_out_does_not_count():
    blurred, photo, _ = case(40, 60, False)
    mask = torch.zeros(40, 60, dtype=torch.uint8)
    mask[:, :20] = 255
    target = make_target(photo, mask)
    x = blurred.clone().requires_grad_()
    loss = photo_loss(x, target)
    (gradient,) = torch.autograd.grad(loss, x)
    assert gradient[:, :20].any() and not gradient[:, 26:].any()  # windows reach 5 px
    x = blurred.clone()
    x[:, 26:] += 1.0
    assert torch.equal(loss.detach(), photo_loss(x, target))
    with pytest.raises(AssertionError, match="no pixel"):
        make_target(photo, torch.zeros_like(mask))


def test_same_bits_again_and_from_two_threads():
    blurred, photo, mask = case(130, 90, True)
    target = make_target(photo, mask)

    def run():
        x = blurred.clone().requires_grad_()
        loss = photo_loss(x, target)
        return loss.detach(), *torch.autograd.grad(loss, x)

    alone, results = run(), []
    threads = [threading.Thread(target=lambda: results.extend(run() for _ in range(5))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 10
    for result in results:
        assert all(torch.equal(a, b) for a, b in zip(alone, result, strict=True))


def test_not_a_number_is_not_hidden():
    blurred, photo, mask = case(20, 30, False)
    blurred[4, 5, 1] = float("nan")
    assert photo_loss(blurred, make_target(photo, mask)).isnan()


def test_wrong_shapes_are_named():
    _, photo, mask = case(20, 30, True)
    with pytest.raises(AssertionError, match=r"\(30, 20, 3\)"):
        photo_loss(torch.zeros(30, 20, 3), make_target(photo, mask))
    with pytest.raises(AssertionError, match="uint8"):
        make_target(photo.float(), mask)
