"""Pictures of a page: the best size that fits, and no more in memory than that takes."""

import string
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from macrosplat.photos.decode import decode, plain_picture
from macrosplat.photos.icc import ADOBE_RGB
from macrosplat.web import pictures
from macrosplat.web.gallery import gallery, linked
from macrosplat.web.pictures import fitting, read_picture

SIZES, SAMPLE, COUNT = ((64, 80), (48, 78), (32, 66), (16, 50)), 8, 24


@pytest.mark.parametrize("budget, widest", [(10**9, 64), (COUNT * 900, 48), (1000, 16)])
def test_some_pictures_tell_which_size_may_fit(monkeypatch, budget, widest):
    monkeypatch.setattr(pictures, "SIZES", SIZES)
    monkeypatch.setattr(pictures, "SAMPLE", SAMPLE)
    kept = []
    opened = pictures._opened
    monkeypatch.setattr(pictures, "_opened", lambda open_, width: (kept.append(width), opened(open_, width))[1])
    rng = np.random.default_rng(0)
    taken = [Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)) for _ in range(COUNT)]
    asked = [None if n % 7 == 0 else (lambda n=n: taken[n]) for n in range(COUNT)]
    found, width = fitting(asked, budget)
    # Those that told were opened at the largest size; then the others, at one that may fit.
    assert kept == [SIZES[0][0]] * SAMPLE + [widest] * (COUNT - SAMPLE) and width <= widest
    monkeypatch.setattr(pictures, "SAMPLE", 10**9)
    assert fitting(asked, budget)[1] == width and [one is None for one in found] == [n % 7 == 0 for n in range(COUNT)]


def test_addresses_beside_a_page_are_those_that_a_browser_takes(tmp_path):
    """Each is found again below its own name, as a server sees it, whatever a photo is called."""
    names = ["a#1.jpg", "100%.jpg", "left/what?.jpg", "b 2.jpg", "ü&'.jpg"]
    for name in names:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48)).save(tmp_path / "photos" / name)
    files = [tmp_path / "photos" / name for name in names]
    sides = (files, [None] * len(names), [None] * len(names))
    found = gallery(names, [(6400, 4800)] * len(names), *sides, 10**6, tmp_path, True)
    there = linked(tmp_path)
    for (address, _), name in zip(found.full, names, strict=True):
        assert address is not None and set(address) <= set(string.ascii_letters + string.digits + "%/._-~")
        assert there[unquote(urlsplit(address).path)] == tmp_path / "page" / "taken" / name


@pytest.mark.parametrize(
    "name, mode, options, plain",
    [
        ("a.jpg", "RGB", {"exif": Image.Exif(), "comment": b"mine"}, True),
        ("a.png", "RGB", {"pnginfo": None}, True),
        ("a.jpg", "RGB", {"icc_profile": ADOBE_RGB}, False),
        ("a.jpg", "L", {}, False),
        ("a.png", "RGBA", {}, False),
        ("a.png", "P", {}, False),
        ("a.tif", "RGB", {}, False),
    ],
)
def test_a_plain_picture_is_what_is_decoded_without_what_a_file_tells_of_it(tmp_path, name, mode, options, plain):
    noise = np.random.default_rng(1).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    if "exif" in options:
        options["exif"][0x0112] = 6  # on its side
    Image.fromarray(noise).convert(mode).save(tmp_path / name, **options)
    picture = plain_picture(tmp_path / name)
    assert (picture is not None) == plain
    shown = read_picture(tmp_path / name)
    assert shown.mode == "RGB" and not shown.info
    pixels = decode(tmp_path / name)
    if pixels.dtype == np.uint8:
        np.testing.assert_array_equal(np.asarray(shown), pixels)
