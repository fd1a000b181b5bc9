"""The sRGB curve against the standard's figures and scikit-image."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2xyz

from macrosplat.support.colour import to_bytes, to_linear, to_srgb


def test_known_values():
    """Figures that can be looked up: the ends, both sides of the join, and middle grey (sRGB 188 is half the light)."""
    srgb = np.array([0.0, 0.04045, 0.5, 188 / 255, 1.0])
    expected = [0.0, 0.04045 / 12.92, 0.21404114, 0.50288646, 1.0]
    np.testing.assert_allclose(to_linear(srgb), expected, rtol=1e-7)


def test_against_scikit_image():
    """A grey's luminance is its linear value."""
    grey = np.linspace(0, 1, 1001)
    luminance = rgb2xyz(np.repeat(grey[:, None], 3, axis=1)[None])[0, :, 1]
    np.testing.assert_allclose(to_linear(grey), luminance, atol=2e-6)  # its matrix sums to 1.000000 in six digits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back_and_dtype(dtype):
    srgb = np.linspace(-0.1, 1.5, 4097).astype(dtype)
    back = to_srgb(to_linear(srgb))
    assert back.dtype == dtype
    # At the join the standard's two branches differ by 3e-8 of linear light, 4e-7 of sRGB.
    np.testing.assert_allclose(back, srgb, atol=1e-6 if dtype == np.float32 else 5e-7)


def test_bytes_survive_float32():
    levels = np.arange(256, dtype=np.uint8)
    assert (to_bytes(to_srgb(to_linear(levels.astype(np.float32) / 255))) == levels).all()
    assert to_bytes(np.array([-1.0, 2.0])).tolist() == [0, 255]


def test_torch_is_numpy():
    x = np.linspace(-0.2, 1.2, 501)
    for function in (to_linear, to_srgb):
        np.testing.assert_allclose(function(torch.from_numpy(x)).numpy(), function(x), rtol=1e-12)


def test_torch_gradient():
    """Finite differences on both branches; at and below zero the gradient is that of the straight part, not NaN."""
    x = torch.tensor([-0.1, 0.0, 0.001, 0.02, 0.3, 1.0, 1.3], dtype=torch.float64, requires_grad=True)
    for function in (to_linear, to_srgb):
        assert torch.autograd.gradcheck(function, (x,), eps=1e-7)
