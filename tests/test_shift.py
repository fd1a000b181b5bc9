"""The shift by parts of a pixel: closed forms, the reference's gradients, the kernels against it."""

import pytest
import torch

from macrosplat.lens.shift import shifted


def test_whole_pixels_and_constants_are_exact():
    frames = torch.rand(1, 7, 9, 2, generator=torch.Generator().manual_seed(0))
    moved = shifted(frames, torch.tensor([[[2.0, -1.0], [0.0, 0.0]]]))
    assert torch.equal(moved[..., 1], frames[..., 1])
    assert torch.equal(moved[0, :6, 3:-1, 0], frames[0, 1:, 1:-3, 0])  # right by 2, up by 1
    plain = torch.full((1, 7, 9, 1), 0.7)
    torch.testing.assert_close(shifted(plain, torch.tensor([[[0.4, -1.3]]])), plain)


def test_a_parabola_moves_exactly():
    """Cubic interpolation reproduces second degree: x^2 - 3 x y moved by (a, b), away from the borders."""
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(15.0), indexing="ij")

    def field(x, y):
        return (x * x - 3 * x * y).double()[None, ..., None]

    moved = shifted(field(x, y), torch.tensor([[[0.3, -0.6]]], dtype=torch.float64))
    inner = (slice(None), slice(3, -3), slice(3, -3))
    torch.testing.assert_close(moved[inner], field(x.double() - 0.3, y.double() + 0.6)[inner], atol=1e-9, rtol=0)


def test_gradients_against_differences():
    generator = torch.Generator().manual_seed(1)
    frames = torch.randn(2, 5, 6, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    offsets = (1.5 * torch.randn(2, 2, 2, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(shifted, (frames, offsets))


@pytest.mark.parametrize("size", [(9, 31), (3, 4), (1, 1)])
def test_kernel_against_reference(size):
    results = []
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        frames = torch.randn(2, *size, 3).to(dtype).requires_grad_()
        offsets = (2 * torch.randn(2, 3, 2)).to(dtype).requires_grad_()
        moved = shifted(frames, offsets)
        upstream = torch.cos(torch.arange(moved.numel(), dtype=dtype)).reshape(moved.shape)
        results.append((moved, *torch.autograd.grad(moved, (frames, offsets), upstream)))
    for fast, wanted in zip(*results, strict=True):
        torch.testing.assert_close(fast.double(), wanted, atol=1e-5, rtol=1e-4)
