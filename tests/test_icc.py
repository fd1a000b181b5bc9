"""Colour profiles against LittleCMS (through Pillow), which is another implementation of the same standard."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from macrosplat.photos.icc import apply_profile, read_profile
from macrosplat.support.colour import to_srgb
from making_photos import ADOBE_RGB, icc_profile

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_srgb_is_recognised():
    profile = read_profile(SRGB)
    assert profile is not None and profile.is_srgb
    adobe = read_profile(icc_profile(563 / 256, ADOBE_RGB))
    assert adobe is not None and not adobe.is_srgb


@pytest.mark.parametrize("gamma", [1.0, 1.8, 563 / 256])
def test_adobe_rgb_as_littlecms_does_it(gamma):
    icc = icc_profile(gamma, ADOBE_RGB)
    colours = np.random.default_rng(0).integers(40, 200, (16, 16, 3), dtype=np.uint8)
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    converted = ImageCms.profileToProfile(Image.fromarray(colours), source, ImageCms.createProfile("sRGB"))
    profile = read_profile(icc)
    assert converted is not None and profile is not None
    ours = to_srgb(apply_profile(colours, profile)) * 255
    theirs = np.asarray(converted).astype(float)
    inside = (theirs > 0) & (theirs < 255)
    assert np.abs(ours - theirs)[inside].max() < 1.1  # LittleCMS rounds to 8 bits, and keeps 16 in between


def test_sixteen_bits_are_kept():
    """Two neighbouring 16 bit levels stay apart, where 8 bits would merge them."""
    profile = read_profile(icc_profile(1.8, ADOBE_RGB))
    assert profile is not None
    levels = np.array([[[30000, 30000, 30000], [30001, 30001, 30001]]], dtype=np.uint16)
    linear = apply_profile(levels, profile)[0, :, 1]
    step = 1.8 * (30000 / 65535) ** 0.8 / 65535
    assert linear[1] - linear[0] == pytest.approx(step, rel=0.05)
    np.testing.assert_allclose(linear[0], (30000 / 65535) ** (461 / 256), rtol=1e-3)  # grey stays grey


@pytest.mark.parametrize(
    "damage", [b"", SRGB[:100], SRGB[:200], b"x" * 400], ids=["empty", "cut at 100", "cut at 200", "no profile"]
)
def test_damaged_profile_is_none(damage):
    assert read_profile(damage) is None
