"""Deblurred photos stay within what is plain about: no bright rims, no dark ones; and highlights are left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter

from macrosplat.output.detail import bounds_cpu, bounds_reference
from macrosplat.output.detail.bounds import bounded
from macrosplat.output.detail.bounds_reference import SLACK
from making_planes import natural, planes, through_disc

PLAIN = 0.9


def disc(radius: float, height: int = 160, width: int = 192) -> np.ndarray:
    """[H, W] 1 inside, 0 outside, its edge anti-aliased."""
    y, x = np.mgrid[:height, :width]
    return np.clip(radius + 0.5 - np.hypot(y - height / 2, x - width / 2), 0, 1)


def of(picture: np.ndarray) -> torch.Tensor:
    return planes(*[picture] * 3)


@pytest.mark.parametrize("kernels", [bounds_cpu, bounds_reference])
@pytest.mark.parametrize("size", [(3, 40, 61), (1, 3, 2), (2, 1, 1)])
@pytest.mark.parametrize("reach", [1, 2, 3])
def test_highest_is_a_maximum_filter(kernels, size: tuple[int, int, int], reach: int) -> None:
    plane = np.random.default_rng(5).standard_normal(size).astype(np.float32)
    wanted = maximum_filter(plane, (1, 2 * reach + 1, 2 * reach + 1), mode="nearest")
    np.testing.assert_array_equal(kernels.highest(torch.from_numpy(plane), reach).numpy(), wanted)


@pytest.mark.parametrize("kernels", [bounds_cpu, bounds_reference])
@pytest.mark.parametrize("size", [(9, 14), (8, 5), (1, 2), (1, 1)])
def test_doubled_is_linear_between_samples(kernels, size: tuple[int, int]) -> None:
    small = torch.rand(2, -(-size[0] // 2), -(-size[1] // 2), generator=torch.Generator().manual_seed(9))
    wanted = small.double().numpy()
    for axis in (1, 2):
        at = np.minimum(np.arange(size[axis - 1]) / 2, small.shape[axis] - 1)
        share = (at % 1)[:, None] if axis == 1 else at % 1
        below, above = (wanted.take(side(at).astype(int), axis) for side in (np.floor, np.ceil))
        wanted = (1 - share) * below + share * above
    np.testing.assert_allclose(kernels.doubled(small, torch.empty(2, *size)).numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("size", [(37, 53), (8, 5)])
def test_bounds_are_those_of_plain_torch(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(8)
    picture, photo, render = torch.rand(3, 3, *size, generator=generator)
    photo, render = 0.5 + 0.05 * photo, 0.5 + 0.1 * render
    radius = 6 * torch.rand(1, *size, generator=generator)
    wanted = bounded(picture.double(), photo.double(), render.double(), radius.double(), 3)
    assert (wanted < picture).any() and (wanted > picture).any() and (wanted == picture).any()
    torch.testing.assert_close(bounded(picture, photo, render, radius, 3).double(), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_rim_before_a_plain_backdrop_is_brought_back_to_it(sign: int) -> None:
    """A dark disc before white, out of focus; then a bright one before black."""

    def shown(picture: np.ndarray) -> np.ndarray:
        return picture if sign > 0 else 1 - picture

    inside = disc(30)
    sharp = PLAIN - 0.7 * inside
    rim = disc(36) - inside
    photo, render = through_disc(sharp, 8.0), sharp + 0.5 * SLACK * rim
    radius = torch.full((1, *sharp.shape), 8.0)
    picture = shown(render + 0.06 * rim)
    got = bounded(*map(of, (picture, shown(photo), shown(render))), radius, 4)[0].numpy()
    assert np.abs(picture - shown(sharp)).max() > 0.06
    np.testing.assert_allclose(got[inside == 0], shown(sharp)[inside == 0], atol=1e-5)
    np.testing.assert_allclose(got[inside == 1], picture[inside == 1], atol=SLACK / 2)


def test_the_photo_itself_is_within() -> None:
    photo, render = of(natural(96, 128, 6)), of(natural(96, 128, 7))
    for radius in (0.0, 3.0, 20.0):
        kept = bounded(photo.clone(), photo, render, torch.full((1, 96, 128), radius), 4)
        torch.testing.assert_close(kept, photo, atol=0, rtol=0)


def test_a_highlight_that_is_blurred_may_be_brighter_than_its_photo() -> None:
    sharp = 0.3 + 0.6 * disc(3)
    photo, render = through_disc(sharp, 6.0), sharp - 0.1 * disc(3)
    assert photo.max() < 0.5
    got = bounded(of(sharp), of(photo), of(render), torch.full((1, *sharp.shape), 6.0), 4)
    np.testing.assert_allclose(got[0].numpy()[disc(2) > 0], 0.9, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_bound_has_no_steps(dtype: torch.dtype) -> None:
    """A smooth ground whose radius grows from the left to the right, and a picture of it that is too dark."""
    ground = np.tile(np.linspace(0.45, 0.55, 192), (160, 1))
    radius = torch.linspace(0, 24, 192).expand(1, 160, 192).to(dtype)
    photo = of(ground).to(dtype)
    got = bounded(photo - 0.3, photo, photo.clone(), radius, 5)[0]
    assert (got > photo[0] - 0.2).all()
    steps = got[:, 1:] - got[:, :-1]
    assert steps.abs().max() < 6 * 0.1 / 191
