"""A render over its backdrop: the kernels against plain torch, which is compared with what light does."""

from __future__ import annotations

import pytest
import torch

from macrosplat.render.over import over

SIZE = (7, 9)


def drawn(frames: tuple[int, ...]) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    alpha = torch.rand(*frames, *SIZE, generator=random)
    alpha[..., 0, :3] = torch.tensor([0.0, 1e-7, 1.0])  # nothing, next to nothing, all
    colour, depth = (
        torch.rand(*frames, *SIZE, 3, generator=random),
        alpha * (5 + torch.rand(alpha.shape, generator=random)),
    )
    return [colour, alpha, depth, torch.rand(*SIZE, 3, generator=random)]


@pytest.mark.parametrize("frames", [(), (3,)])
def test_the_kernels_and_their_gradients_are_plain_torch(frames: tuple[int, ...]) -> None:
    given = [t.requires_grad_() for t in drawn(frames)]
    exact = [t.detach().double().requires_grad_() for t in given]
    found, wanted = over(*given), over(*exact)
    random = torch.Generator().manual_seed(4)
    incoming = [torch.randn(t.shape, generator=random) for t in found]
    grads = torch.autograd.grad(found, given, incoming)
    truth = torch.autograd.grad(wanted, exact, [t.double() for t in incoming])
    for got, expected in zip((*found, *grads), (*wanted, *truth), strict=True):
        torch.testing.assert_close(got.double(), expected, rtol=2e-5, atol=2e-6)


def test_what_is_opaque_hides_the_backdrop_and_what_is_not_there_shows_it() -> None:
    colour, alpha, depth, backdrop = drawn(())
    shown, expected = over(colour, alpha, depth, backdrop)
    torch.testing.assert_close(shown[0, 0], colour[0, 0] + backdrop[0, 0])
    torch.testing.assert_close(shown[0, 2], colour[0, 2])
    torch.testing.assert_close(expected[0, 2], depth[0, 2])
