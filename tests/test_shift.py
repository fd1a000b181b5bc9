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


def test_a_bend_moves_as_its_formula():
    """A plane of slope (2, -3) shows how far each pixel's content has moved, away from the borders."""
    height, width = 20, 30
    y, x = torch.meshgrid(torch.arange(20.0).double(), torch.arange(30.0).double(), indexing="ij")
    right, below = x - 14.5, y - 9.5
    rho = (right**2 + below**2) / (15**2 + 10**2)
    bends = torch.tensor([[[0.4, -0.3, 0.02, -0.05]]], dtype=torch.float64)
    along = 0.2 + 0.4 * rho + (0.02 - 0.05 * rho) * right
    down = -0.1 - 0.3 * rho + (0.02 - 0.05 * rho) * below
    wanted = 2 * (x - along) - 3 * (y - down)
    offsets = torch.tensor([[[0.2, -0.1]]], dtype=torch.float64)
    moved = shifted((2 * x - 3 * y)[None, ..., None], offsets, bends)[0, ..., 0]
    inner = (slice(3, height - 3), slice(3, width - 3))
    torch.testing.assert_close(moved[inner], wanted[inner], atol=1e-9, rtol=0)


def test_gradients_against_differences():
    generator = torch.Generator().manual_seed(1)
    frames = torch.randn(2, 5, 6, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    offsets = (1.5 * torch.randn(2, 2, 2, generator=generator, dtype=torch.float64)).requires_grad_()
    bends = (0.1 * torch.randn(2, 2, 4, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(shifted, (frames, offsets))
    assert torch.autograd.gradcheck(shifted, (frames, offsets, bends))


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize("size", [(9, 31), (3, 4), (1, 1)])
def test_kernel_against_reference(size, bent):
    results = []
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        frames = torch.randn(2, *size, 3).to(dtype).requires_grad_()
        offsets = (2 * torch.randn(2, 3, 2)).to(dtype).requires_grad_()
        bends = (0.1 * torch.randn(2, 3, 4)).to(dtype).requires_grad_() if bent else None
        moved = shifted(frames, offsets, bends)
        upstream = torch.cos(torch.arange(moved.numel(), dtype=dtype)).reshape(moved.shape)
        learned = [t for t in (frames, offsets, bends) if t is not None]
        results.append((moved, *torch.autograd.grad(moved, learned, upstream)))
    for fast, wanted in zip(*results, strict=True):
        torch.testing.assert_close(fast.double(), wanted, atol=1e-5, rtol=1e-4)
