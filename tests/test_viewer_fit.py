"""The scene for viewers: exact where it can be, better than the start where it cannot, the same bits every time."""

from __future__ import annotations

import math

import pytest
import torch

from macrosplat.output.viewer_fit import fit_for_viewers, start_for_viewers
from macrosplat.render import Camera, Pinhole, render
from macrosplat.scene.gaussians import SH_C0, Gaussians
from macrosplat.support.colour import to_srgb

PINHOLE = Pinhole(150.0, 150.0, 32.0, 24.0, 64, 48)
GREY = torch.tensor([0.5, 0.5, 0.55])


def cameras(count: int = 6) -> list[Camera]:
    out = torch.eye(4).repeat(count, 1, 1)
    for i, view in enumerate(out):
        c, s = math.cos(0.5 * i), math.sin(0.5 * i)
        view[:3, :3] = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        view[2, 3] = 20.0
    return [PINHOLE.at(view) for view in out]


@pytest.fixture(scope="module")
def ball() -> Gaussians:
    """600 half-transparent Gaussians on a sphere, colours by place with a little shine."""
    make = torch.Generator().manual_seed(2)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=make)

    means = 2.5 * torch.nn.functional.normalize(normal(600, 3), dim=1)
    colours = (0.25 + 0.25 * torch.sin(2 * means) + 0.15 * normal(600, 3)).clamp_min(0.01)
    return Gaussians(
        means,
        math.log(0.2) + 0.3 * normal(600, 3),
        normal(600, 4),
        1.0 + normal(600),
        (colours - 0.5) / SH_C0,
        0.05 * normal(600, 3, 3),
    )


def test_start_takes_the_curve_and_its_slope() -> None:
    """Against the curve itself: a small change of direction changes the converted colour as it changes sRGB."""
    linear = torch.tensor([[0.05, 0.3, 0.9]], dtype=torch.float64)
    one = torch.zeros(1, 3, dtype=torch.float64)
    rest = 1e-4 * torch.ones(1, 3, 3, dtype=torch.float64)
    g = Gaussians(one, one, torch.ones(1, 4).double(), torch.zeros(1).double(), (linear - 0.5) / SH_C0, rest)
    got = start_for_viewers(g)
    torch.testing.assert_close(0.5 + SH_C0 * got.sh0, to_srgb(linear))
    torch.testing.assert_close(got.sh_rest[:, 0], to_srgb(linear + rest[:, 0]) - to_srgb(linear), rtol=1e-3, atol=0)


def test_one_opaque_colour_needs_no_fit() -> None:
    """Gaussians of one colour over a backdrop of that colour: any mixing gives that colour."""
    n = 50
    make = torch.Generator().manual_seed(1)
    flat = Gaussians(
        torch.randn(n, 3, generator=make),
        torch.full((n, 3), -1.0),
        torch.randn(n, 4, generator=make),
        torch.zeros(n),
        (GREY.expand(n, 3) - 0.5) / SH_C0,
        torch.zeros(n, 0, 3),
    )
    fitted, quality = fit_for_viewers(flat, cameras(2), [GREY] * 2, steps=3)
    assert quality > 55  # half precision of the targets
    torch.testing.assert_close(fitted.opacity_logits, flat.opacity_logits)


def test_fit_reaches_what_was_asked_and_reports_it_truly(ball: Gaussians) -> None:
    at, backdrops = cameras(), [GREY] * 6
    _, start = fit_for_viewers(ball, at, backdrops, steps=0, wanted=0)
    fitted, quality = fit_for_viewers(ball, at, backdrops, steps=240, wanted=41.0)
    assert start < 34 and quality >= 40, (start, quality)
    for name in ("means", "log_scales", "quats"):
        assert getattr(fitted, name) is getattr(ball, name) or torch.equal(getattr(fitted, name), getattr(ball, name))
    measured = []
    for camera in at:
        ours = to_srgb(render(ball, camera).over(GREY)[0]).clamp(0, 1)
        theirs = render(fitted, camera).over(to_srgb(GREY))[0].clamp(0, 1)
        measured.append(-10 * math.log10(float((ours - theirs).square().mean())))
    assert quality == pytest.approx(sum(measured) / 6, abs=0.1)


def test_the_same_seed_gives_the_same_bits(ball: Gaussians) -> None:
    results = [fit_for_viewers(ball, cameras(), [GREY] * 6, 12, 5, wanted=99)[0] for _ in range(2)]
    for name, value in results[0].tensors().items():
        assert torch.equal(value, getattr(results[1], name)), name
    assert not any(t.requires_grad for t in results[0].tensors().values())
    assert not torch.equal(results[0].opacity_logits, ball.opacity_logits)
