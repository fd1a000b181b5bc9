"""Deblurred photos on disk: names, rounding, two sizes; EXIF and profiles as other readers have them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from macrosplat.output.sharp import write_sharp
from macrosplat.photos.decode import decode
from macrosplat.photos.exif import exif_of
from macrosplat.photos.inspected import inspect
from macrosplat.run import Run
from macrosplat.support.colour import to_srgb
from making_photos import ADOBE_RGB, CANON, exif, icc_profile, save, texture


def test_values_are_rounded_and_clipped(tmp_path: Path) -> None:
    srgb = np.zeros((2, 3, 3))
    srgb[0] = 100.4 / 255
    srgb[1, 0], srgb[1, 1], srgb[1, 2] = -1.0, 2.0, 100.6 / 255
    write_sharp(Run(tmp_path), "rows/a.b.jpg", srgb)
    got = np.asarray(Image.open(tmp_path / "sharp" / "rows" / "a.b.png"))
    assert got.dtype == np.uint8 and got.shape == (2, 3, 3)
    assert (got[0] == 100).all() and (got[1, 0] == 0).all() and (got[1, 1] == 255).all() and (got[1, 2] == 101).all()


# Display P3 (D65 adapted to D50), as Apple's profile stores it.
DISPLAY_P3 = [[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]]


def photo_with_everything(path: Path, colorants: list[list[float]], orientation: int = 6) -> Path:
    """24 x 16 px as stored, 16 x 24 upright."""
    tags = exif(orientation, "EOS 1100D", **CANON, ExifImageHeight=2848)
    tags[0x0132], tags[0x8298] = "2026:03:04 05:06:07", "somebody"
    tags.get_ifd(0x8825)[1] = "N"
    # As bytes: of the record itself Pillow leaves the inner directories out of a TIFF.
    Image.fromarray(texture(24, 16)).save(path, exif=tags.tobytes(), icc_profile=icc_profile(563 / 256, colorants))
    return path


def as_srgb(picture: Image.Image) -> np.ndarray:
    """By LittleCMS."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
    return np.asarray(ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"))).astype(float)


@pytest.mark.parametrize("colorants", [ADOBE_RGB, DISPLAY_P3], ids=["Adobe RGB", "Display P3"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_exif_and_profile_come_along(tmp_path: Path, colorants: list[list[float]], suffix: str) -> None:
    source = photo_with_everything(tmp_path / f"photo{suffix}", colorants)
    # Upright, twice as large as the photo, and not so vivid that one level of one colour moves another by more.
    srgb = 0.5 + 0.3 * (texture(32, 48) / 255.0 - 0.5)
    write_sharp(Run(tmp_path), "photo", srgb, source)
    with Image.open(Run(tmp_path).sharp("photo")) as written:
        written.load()
        tags = written.getexif()
        inner = tags.get_ifd(0x8769)
        assert tags[0x0112] == 1 and tags[0x0110] == "EOS 1100D" and tags[0x8298] == "somebody"
        assert float(inner[0x829D]) == 18 and float(inner[0x920A]) == 55 and tags.get_ifd(0x8825)[1] == "N"
        assert (inner[0xA002], inner[0xA003]) == (32, 48)
        # The sensor that it tells of stays 23 mm wide.
        assert exif_of(tags, 32, 48).sensor_width_mm == pytest.approx(22.99, abs=0.01)
        assert np.abs(as_srgb(written) - srgb * 255).max() < 1.6  # two roundings to 8 bits
    # And as this program reads it.
    back = to_srgb(decode(Run(tmp_path).sharp("photo")))
    assert np.abs(back - srgb).max() < 1.6 / 255


@pytest.mark.parametrize("icc", [None, icc_profile(563 / 256, ADOBE_RGB)], ids=["sRGB", "Adobe RGB"])
def test_tiff_keeps_16_bits(tmp_path: Path, icc: bytes | None) -> None:
    tags = exif(8, "EOS 1100D", **CANON, ExifImageHeight=2848)
    source = save(tmp_path / "photo.jpg", texture(24, 16), tags, **({"icc_profile": icc} if icc else {}))
    srgb = np.linspace(0.2, 0.8, 150 * 70 * 3).reshape(150, 70, 3)  # steps of 1 in 52,500; more than one strip
    write_sharp(Run(tmp_path), "photo.jpg", srgb, source, "tiff")
    path = tmp_path / "sharp" / "photo.tif"
    assert Run(tmp_path).sharp("photo.jpg") == path
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        levels = page.asarray()
        assert levels.dtype == np.uint16 and levels.shape == (150, 70, 3)
        assert page.tags["Orientation"].value == 1 and page.tags["Model"].value == "EOS 1100D"
        assert page.tags["ExifTag"].value["FNumber"] in (18, (18, 1))
        assert (34675 in page.tags) == (icc is not None)
        if icc is None:
            assert np.array_equal(levels, np.rint(srgb * 65535))
        else:
            assert page.tags[34675].value == icc
    back = to_srgb(decode(path))
    assert np.abs(back - srgb).max() < 3e-5
    assert inspect(path)[2].f_number == 18


def test_another_format_replaces_the_first(tmp_path: Path) -> None:
    write_sharp(Run(tmp_path), "rows/a.jpg", np.full((2, 3, 3), 0.5))
    write_sharp(Run(tmp_path), "rows/a.jpg", np.full((2, 3, 3), 0.5), format="tiff")
    assert sorted(p.name for p in (tmp_path / "sharp").rglob("a.*")) == ["a.tif"]


@pytest.mark.parametrize("content", [b"", b"II*\0\x08\0\0\0", b"\xff\xd8\xff\xe1\0\x10Exif\0\0II*\0\xff\xff\0\0"])
def test_a_photo_without_readable_metadata_does_no_harm(tmp_path: Path, content: bytes) -> None:
    for suffix in (".jpg", ".tif", ".dng"):
        (tmp_path / f"a{suffix}").write_bytes(content)
        write_sharp(Run(tmp_path), "a.jpg", np.full((2, 3, 3), 0.5), tmp_path / f"a{suffix}")
        assert Image.open(Run(tmp_path).sharp("a.jpg")).size == (3, 2)
