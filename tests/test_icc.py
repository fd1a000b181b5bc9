"""Colour profiles against LittleCMS (through Pillow), which is another implementation of the same standard."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from macrosplat.photos.decode import decode
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


COLOURS = np.random.default_rng(1).uniform(0.05, 0.9, (8, 8, 3))  # linear light, sRGB's primaries
SRGB_XYZ = [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]]


def of_grey(gamma: float) -> bytes:
    """A profile of grey: the curve alone counts."""
    rgb = icc_profile(gamma, SRGB_XYZ)
    return rgb[:16] + b"GRAY" + rgb[20:].replace(b"rTRC", b"kTRC")


FORMS = ("grey 8", "grey 16", "grey tiff", "grey and alpha", "grey in rgb", "float", "float grey", "png gamma")


@pytest.mark.parametrize("gamma", [1.0, 1.8])
@pytest.mark.parametrize("form", FORMS)
def test_values_are_what_the_profile_says(tmp_path: Path, form: str, gamma: float) -> None:
    """Whatever the depth and the number of channels: grey, alpha, floats, and PNGs that have but a gamma."""
    light = COLOURS if form in ("float", "png gamma") else COLOURS[..., :1].repeat(3, 2)
    values = light ** (1 / gamma)
    eight, sixteen = (np.rint(values * top).astype(kind) for top, kind in ((255, np.uint8), (65535, np.uint16)))
    path, grey = tmp_path / "a.png", of_grey(gamma)
    if form == "grey 8":
        Image.fromarray(eight[..., 0]).save(path, icc_profile=grey)
    elif form == "grey 16":
        Image.fromarray(sixteen[..., 0]).save(path, icc_profile=grey)
    elif form == "grey and alpha":
        Image.fromarray(eight[..., 0]).convert("LA").save(path, icc_profile=grey)
    elif form == "grey in rgb":
        Image.fromarray(eight[..., 0]).save(path, icc_profile=icc_profile(gamma, ADOBE_RGB))
    elif form == "png gamma":
        chunk = PngImagePlugin.PngInfo()
        chunk.add(b"gAMA", struct.pack(">I", round(1e5 / gamma)))
        Image.fromarray(eight).save(path, pnginfo=chunk)
    else:
        path = tmp_path / "a.tif"
        icc = icc_profile(gamma, SRGB_XYZ) if form == "float" else grey
        pixels = sixteen[..., 0] if form == "grey tiff" else values.astype(np.float32)
        pixels = pixels[..., 0] if form == "float grey" else pixels
        kind = "rgb" if form == "float" else "minisblack"
        tifffile.imwrite(path, pixels, photometric=kind, iccprofile=icc)
    read = decode(path)
    assert read.dtype == np.float32
    depth = 16 if "16" in form or path.suffix == ".tif" else 8
    np.testing.assert_allclose(read, light, atol=2e-4 if depth == 16 else gamma / 255)
