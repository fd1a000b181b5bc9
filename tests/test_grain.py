"""The grain of a photo, against noise of a known deviation."""

import numpy as np
import pytest

from macrosplat.photos.grain import grain
from macrosplat.train.schedule import GRAINY, Schedule, dssim_share


def plain(deviation: float, texture: float = 0.0) -> np.ndarray:
    """A slope, half of it under a texture, with normal noise of so many 255ths."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :160]
    scene = 60 + 0.5 * x + 0.3 * y + texture * (x > 80) * np.sin(1.3 * x) * np.sin(1.7 * y)
    return (scene[..., None] + rng.normal(0, deviation, (120, 160, 3))).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("deviation", [2.0, 4.0, 8.0])
def test_the_deviation_of_white_noise_is_found(deviation):
    assert grain(plain(deviation)) * 255 == pytest.approx(np.hypot(deviation, 12**-0.5), rel=0.05)


def test_texture_in_half_of_a_photo_is_no_grain_to_speak_of():
    assert grain(plain(2.0, texture=60)) < 2 * grain(plain(2.0))
    assert grain(plain(0.0)) * 255 < 1


def test_grain_takes_weight_off_d_ssim():
    assert dssim_share([plain(0.1)]) == 1
    assert dssim_share([plain(4.0)]) == pytest.approx((GRAINY * 255 / 4) ** 2, rel=0.15)
    assert Schedule(10, 10, dssim_share=0.5).dssim_share == 0.5
