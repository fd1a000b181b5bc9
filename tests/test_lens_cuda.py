"""The Triton kernels of blur, defocus, loss and Adam against the CPU's, on a GPU or in Triton's interpreter."""

from dataclasses import replace

import pytest
import torch

from macrosplat.lens import blur_cpu, blur_cuda, coc_cpu, coc_cuda, shift_cpu, shift_cuda
from macrosplat.train import adam_cpu, adam_cuda, loss_cpu, loss_cuda
from macrosplat.train.loss import make_target
from test_coc import lens, scene

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def close(ours, theirs, tolerance):
    """Within a share of the largest value."""
    ours = ours.cpu()
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= tolerance * max(float(theirs.abs().max()), 1e-12)


@pytest.mark.parametrize(
    ("size", "frames", "channels", "largest", "apart"),
    [
        ((19, 50), 1, 3, 2.4, ""),
        ((6, 9), 2, 4, 9.5, "by one"),
        ((3, 130), 1, 1, 9.5, ""),
        ((5, 8), 3, 3, 3.0, "apart"),
        ((4, 7), 2, 3, 3.0, ""),
    ],
)
def test_blur(monkeypatch, size, frames, channels, largest, apart):
    monkeypatch.setattr(blur_cuda, "CHUNKS", 2)  # so that several programs walk down the larger frames
    if frames > 2:  # one frame after the other
        monkeypatch.setattr(blur_cuda, "TOGETHER", 1)
    torch.manual_seed(0)
    sharp, sigma = torch.rand(frames, *size, channels), largest * torch.rand(frames, *size) + 0.1
    pivot = 1 if apart == "by one" else None
    if apart:
        sigma = sigma[..., None] + torch.linspace(0.1, 0.4, channels)
    upstream = torch.randn(*size, channels)
    blurred, saved = blur_cpu.forward(sharp, sigma, True, pivot)
    ours, ours_saved = blur_cuda.forward(sharp.to(DEVICE), sigma.to(DEVICE), True, pivot)
    close(ours, blurred, 1e-5)
    expected = blur_cpu.backward(upstream, saved, True, True)
    for got, want in zip(blur_cuda.backward(upstream.to(DEVICE), ours_saved, True, True), expected, strict=True):
        close(got, want, 1e-5)
    if pivot is None:  # every frame on its own
        close(blur_cuda.each(sharp.to(DEVICE), sigma.to(DEVICE)), blur_cpu.each(sharp, sigma), 1e-5)


@pytest.mark.parametrize("size", [(37, 54), (4, 3), (1, 9), (64, 64)])
@pytest.mark.parametrize("solid", [True, False])
@pytest.mark.parametrize("colours", [None, torch.tensor([2e-4, 0.0, -3e-4])])
def test_defocus(size, solid, colours):
    depth, weight = (torch.stack([t, t.flip(0)]) for t in scene(*size))
    weight = weight if solid else torch.zeros_like(weight)
    sigma, saved = coc_cpu.forward(depth, weight, *lens(), colours)
    here = [t.to(DEVICE) for t in (depth, weight)]
    parameters = [None if t is None else t.to(DEVICE) for t in (*lens(), colours)]
    ours, ours_saved = coc_cuda.forward(*here, *parameters)
    close(ours, sigma, 1e-5)
    upstream = torch.cos(torch.arange(sigma.numel(), dtype=torch.float32)).reshape(sigma.shape)
    grad_depth, grad_lens, grad_colour = coc_cpu.backward(upstream, weight, *lens(), colours, sigma, *saved)
    got, got_lens, got_colour = coc_cuda.backward(upstream.to(DEVICE), here[1], *parameters, ours, *ours_saved)
    close(got, grad_depth, 1e-4)
    close(torch.stack(list(got_lens)), torch.stack(list(grad_lens)), 1e-4)
    assert (got_colour is None) == (colours is None)
    if grad_colour is not None:
        close(got_colour, grad_colour, 1e-4)


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize(("size", "channels"), [((9, 31), 3), ((3, 5), 4), ((2, 3), 1)])
def test_shift(size, channels, bent):
    torch.manual_seed(0)
    frames, upstream = torch.randn(2, 2, *size, channels).unbind(0)
    offsets = 3 * torch.randn(2, channels, 2)
    offsets[0, 0] = 0.0
    curved = 0.04 * (size[0] ** 2 + size[1] ** 2) ** 0.5 / 2  # neighbours move alike within 0.1 px
    bends = torch.randn(2, channels, 4) * torch.tensor([curved, curved, 0.03, 0.02]) if bent else None
    how, there = (offsets, bends), (offsets.to(DEVICE), bends.to(DEVICE) if bends is not None else None)
    (moved, kept), (ours, ours_kept) = shift_cpu.forward(frames, *how), shift_cuda.forward(frames.to(DEVICE), *there)
    close(ours, moved, 1e-5)
    expected = shift_cpu.backward(upstream, kept, *how, True, range(channels))
    got = shift_cuda.backward(upstream.to(DEVICE), ours_kept, *there, True, range(channels))
    assert (got[2] is None) == (bends is None) and len(got) == len(expected)
    for ours, theirs in zip(got[: 3 if bent else 2], expected, strict=False):
        close(ours, theirs, 1e-4)
    if not bent:
        still = shift_cuda.backward(upstream.to(DEVICE), ours_kept, *there, True, ())
        assert still[1] is None
        close(still[0], expected[0], 1e-4)


@pytest.mark.parametrize(("size", "masked"), [((24, 25), True), ((5, 140), False), ((4, 7), True), ((1, 6), False)])
def test_loss(monkeypatch, size, masked):
    monkeypatch.setattr(loss_cuda, "ROWS", 12)  # so that several programs walk down the larger frames
    torch.manual_seed(0)
    photo, blurred = (torch.rand(*size, 3) * 255).to(torch.uint8), 1.5 * torch.rand(*size, 3)
    photo[:, ::3] = 252  # burnt out
    mask = (torch.rand(size) * 255).to(torch.uint8) if masked else None
    loss, saved = loss_cpu.forward(blurred, make_target(photo, mask), 0.2, True)
    gradient = loss_cpu.backward(torch.tensor(3.0), saved)
    target = make_target(photo.to(DEVICE), None if mask is None else mask.to(DEVICE))
    if masked:  # as the second of a stack
        planes = {name: getattr(target, name) for name in ("photo", "weight", "mean", "variance")}
        stacked = {name: torch.stack([plane * 0, plane]) for name, plane in planes.items()}
        target = replace(target, **stacked, slot=torch.ones(1, dtype=torch.int64, device=DEVICE))
    ours, ours_saved = loss_cuda.forward(blurred.to(DEVICE), target, 0.2, True)
    close(ours, loss, 1e-6)
    close(loss_cuda.backward(torch.tensor(3.0, device=DEVICE), ours_saved), gradient, 1e-5)
    if size[0] == 4:
        close(loss_cuda.forward(blurred.to(DEVICE), target, 0.2, False)[0], loss, 1e-6)


@pytest.mark.parametrize("shape", [(1000, 15, 3), (7,), ()])
def test_adam(shape):
    torch.manual_seed(0)
    theirs = [torch.randn(shape), torch.zeros(shape), torch.zeros(shape)]
    ours = [t.clone().to(DEVICE) for t in theirs]
    for count in range(1, 6):
        gradient, rate = 1e-4 * torch.randn(shape), 0.01 * count
        adam_cpu.step(theirs[0], gradient, *theirs[1:], rate, count, 0.9, 0.999, 1e-15)
        adam_cuda.step(ours[0], gradient.to(DEVICE), *ours[1:], rate, count, 0.9, 0.999, 1e-15)
    for got, want in zip(ours, theirs, strict=True):
        close(got, want, 1e-5)
