"""Finding and reading photos: every format against the pixels that were saved."""

import io
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from macrosplat.cameras.records import Distortion
from macrosplat.cameras.undistort import read_undistorted, read_undistorted_linear, read_undistorted_mask
from macrosplat.photos import decode as decode_module
from macrosplat.photos.find import find_photos
from macrosplat.photos.masks import read_mask
from macrosplat.photos.names import natural_key
from macrosplat.photos.read import read_linear, read_photo
from macrosplat.photos.records import Photo
from macrosplat.photos.resample import area_average
from macrosplat.support.colour import to_bytes, to_linear, to_srgb
from macrosplat.support.errors import MacrosplatError
from making_photos import ADOBE_RGB, exif, icc_profile, make_photos, save, texture


def only(folder) -> Photo:
    (photo,) = find_photos(folder).photos
    return photo


def test_finds_folders_in_order(tmp_path):
    """Numbers sort by value; hidden files, masks and other pictures of the capture are none of its photos."""
    for name in ["10.jpg", "2.JPG", "sub/1.png", "._2.jpg", "masks/2.png", "notes.txt"]:
        pixels = texture(8, 6) if "masks" not in name else texture(8, 6)[..., 0]
        save(tmp_path / "photos" / name, pixels, format="PNG" if name.endswith("txt") else None)
    save(tmp_path / "sharp" / "2.jpg", texture(8, 6))
    assert [p.name for p in find_photos(tmp_path).photos] == ["2.JPG", "10.jpg", "sub/1.png"]
    assert [p.name for p in find_photos(tmp_path / "photos").photos] == ["2.JPG", "10.jpg"]
    (tmp_path / "photos").rename(tmp_path / "images")
    assert len(find_photos(tmp_path).photos) == 3


def test_natural_order():
    names = ["b1", "a10.jpg", "a2.jpg", "a02.jpg", "1", "A3.jpg", "a.jpg"]
    assert sorted(names, key=natural_key) == ["1", "a02.jpg", "a2.jpg", "A3.jpg", "a10.jpg", "a.jpg", "b1"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_orientation(tmp_path, orientation, suffix):
    """Upright as Pillow turns it, size included; also where we turn it ourselves (16 bit TIFF)."""
    pixels = texture(24, 16)
    upright = np.asarray(ImageOps.exif_transpose(tagged(pixels, orientation)))
    path = tmp_path / f"photo{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(
            path, pixels.astype(np.uint16) * 257, photometric="rgb", extratags=[(274, "H", 1, orientation, True)]
        )
    else:
        save(path, pixels, exif(orientation), quality=100, subsampling=0)
    photo = only(tmp_path)
    assert (photo.height, photo.width) == upright.shape[:2]
    assert np.abs(read_photo(photo).astype(int) - upright).max() <= (3 if suffix == ".jpg" else 0)


def tagged(pixels, orientation):
    photo = Image.fromarray(pixels)
    photo.getexif()[0x0112] = orientation
    return photo


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_sixteen_bit_tiff_is_not_rounded(tmp_path, compression, planar):
    """A ramp finer than 8 bits: averaged exactly, where 8 bits would be off by up to 1/510."""
    deep = np.linspace(20000, 21000, 40 * 30 * 3).reshape(30, 40, 3).astype(np.uint16)
    stored = np.moveaxis(deep, -1, 0) if planar == "separate" else deep
    tifffile.imwrite(tmp_path / "a.tiff", stored, photometric="rgb", planarconfig=planar, compression=compression)
    photo = only(tmp_path)
    assert (photo.width, photo.height) == (40, 30)
    np.testing.assert_allclose(read_linear(photo), to_linear(deep / 65535), rtol=1e-6)
    expected = to_linear(deep / 65535).reshape(15, 2, 20, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(read_linear(photo, 20), expected, rtol=1e-5)
    eight = to_linear(np.rint(deep / 257) / 255)
    assert np.abs(eight - to_linear(deep / 65535)).max() > 1e-3


@pytest.mark.parametrize("deep", [False, True])
def test_the_largest_page_of_a_tiff_is_the_photo(tmp_path, deep):
    pixels = texture(48, 32)
    stored = pixels.astype(np.uint16) * 257 if deep else pixels
    with tifffile.TiffWriter(tmp_path / "1.tif") as file:
        file.write(stored[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(stored, photometric="rgb")
    with tifffile.TiffWriter(tmp_path / "2.tif") as file:
        for page in (stored, stored[::-1]):
            file.write(page, photometric="rgb")
    found = find_photos(tmp_path)
    assert [(photo.width, photo.height) for photo in found.photos] == [(48, 32)] * 2
    for photo in found.photos:
        np.testing.assert_array_equal(read_photo(photo), pixels)
    assert next(note for note in found.notes if "several pictures" in note).startswith("2.tif: ")


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PPM", "complex", "empty"])
def test_what_is_no_photo_under_a_photos_name_is_damaged(tmp_path, kind):
    make_photos(tmp_path, 2)
    content = io.BytesIO()
    if kind == "complex":
        tifffile.imwrite(content, np.zeros((32, 48), np.complex64))
    elif kind != "empty":
        Image.fromarray(texture(48, 32)).save(content, kind)
    (tmp_path / ("3.tif" if kind == "complex" else "3.jpg")).write_bytes(content.getvalue())
    found = find_photos(tmp_path)
    assert len(found.photos) == 2 and "Damaged and left out: 3." in found.notes[0]


@pytest.mark.parametrize("slices", [2, 3])  # tifffile takes three for planes of one picture
def test_a_volume_is_its_first_slice(tmp_path, slices):
    grey = (texture(48, 32)[..., 0].astype(np.uint16) * 257)[None]
    pages = np.concatenate([grey, *[grey // 2] * (slices - 1)])
    tifffile.imwrite(tmp_path / "1.tif", pages, volumetric=True, tile=(1, 16, 16), photometric="minisblack")
    (photo,) = find_photos(tmp_path).photos
    assert (read_photo(photo)[..., 0] == texture(48, 32)[..., 0]).all()


def test_large_photos_are_unpacked_in_bands(tmp_path, monkeypatch):
    monkeypatch.setattr(decode_module, "BAND", 48 * 5)
    make_photos(tmp_path, 1)
    (photo,) = find_photos(tmp_path).photos
    with Image.open(photo.path) as opened:
        np.testing.assert_array_equal(read_photo(photo), np.asarray(opened))


def test_what_lies_among_the_photos_and_is_not_read_is_said(tmp_path):
    make_photos(tmp_path / "photos", 3)
    for name in ("a.jxl", "clip.MP4", "more.zip", "._1.jpg", "Thumbs.db", "@eaDir/x.jxl", "notes.txt"):
        (tmp_path / "photos" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"x")
    for folder in ("thumbs", "@eaDir", "__MACOSX"):
        make_photos(tmp_path / "photos" / folder, 3, 24, 16)
    (tmp_path / "photos" / "4.jpg").write_bytes(b"")
    found = find_photos(tmp_path)
    assert len(found.photos) == 3
    assert found.notes == (
        "Damaged and left out: 4.jpg (an empty file).",
        "Not read: a.jxl; save as PNG or TIFF.",
        "Not read: clip.MP4; take photos out of the film, sharp ones that overlap.",
        "Not read: more.zip; unpack.",
        "Taken for reduced copies, not for photos: thumbs.",
    )
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "clip.mov").write_bytes(b"x")
    with pytest.raises(MacrosplatError, match=r"no photos in .*film: not read: clip\.mov; take photos out"):
        find_photos(tmp_path / "film")


def test_other_depths(tmp_path):
    """Grey of 16 bits, as PNG and TIFF; float TIFF is linear already."""
    grey = np.linspace(0, 65535, 20 * 16).reshape(16, 20).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "1.png")
    tifffile.imwrite(tmp_path / "2.tif", grey)
    tifffile.imwrite(tmp_path / "3.tif", (grey[..., None].repeat(3, 2) / 65535).astype(np.float32), photometric="rgb")
    photos = find_photos(tmp_path).photos
    for photo, expected in zip(photos, [to_linear(grey / 65535)] * 2 + [grey / 65535], strict=True):
        np.testing.assert_allclose(read_linear(photo), expected[..., None].repeat(3, 2), atol=1e-6)


def test_compression_that_only_pillow_reads(tmp_path, monkeypatch):
    """LZW without imagecodecs: 8 of the 16 bits, and a note that says so."""

    def asarray(page):
        raise KeyError("requires the 'imagecodecs' package")

    tifffile.imwrite(tmp_path / "1.tif", texture(20, 16).astype(np.uint16) * 257, photometric="rgb")
    monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)
    found = find_photos(tmp_path)
    assert (read_photo(found.photos[0]) == texture(20, 16)).all()
    assert "imagecodecs" in found.notes[0]


def test_alpha_palette_and_grey(tmp_path):
    rgb = texture(20, 16)
    save(tmp_path / "1.png", np.dstack([rgb, np.full((16, 20), 128, np.uint8)]))
    Image.fromarray(rgb).quantize(64).save(tmp_path / "2.png")
    save(tmp_path / "3.png", rgb[..., 0])
    a, b, c = (read_photo(p) for p in find_photos(tmp_path).photos)
    assert (a == rgb).all() and b.shape == rgb.shape and (c == rgb[..., :1]).all()


def test_profile(tmp_path):
    """A photo in Adobe RGB with gamma 1: its grey values are linear light."""
    grey = np.full((8, 8, 3), 51, np.uint8)
    save(tmp_path / "1.jpg", grey, quality=100, icc_profile=icc_profile(1.0, ADOBE_RGB))
    deep = grey.astype(np.uint16) * 257 + 100
    tifffile.imwrite(
        tmp_path / "2.tif",
        deep,
        photometric="rgb",
        extratags=[(34675, 7, None, icc_profile(1.0, ADOBE_RGB), True)],
    )
    first, second = find_photos(tmp_path).photos
    np.testing.assert_allclose(read_linear(first), 0.2, atol=1e-3)
    np.testing.assert_allclose(read_linear(second), deep[0, 0, 0] / 65535, atol=2e-4)
    assert (read_photo(first) == to_bytes(to_srgb(np.array([0.2])))[0]).all()


def test_width_averages_light(tmp_path):
    """Black and white stripes make half the light, which is sRGB 188, not 128; the height is rounded."""
    stripes = np.zeros((31, 40, 3), np.uint8)
    stripes[:, ::2] = 255
    save(tmp_path / "1.png", stripes)
    photo = only(tmp_path)
    assert read_photo(photo, 20).shape == (16, 20, 3)
    assert (read_photo(photo, 20) == 188).all()
    np.testing.assert_allclose(read_linear(photo, 20), 0.5, rtol=1e-6)
    assert (read_photo(photo, 999) == stripes).all(), "a photo is never enlarged"


def test_masks(tmp_path):
    """By name or stem; sized like the photo, in other sizes and depths too; whole where there is none."""
    make_photos(tmp_path / "photos", 3)
    half = np.zeros((32, 48), np.uint8)
    half[:, :24] = 255
    save(tmp_path / "masks/1.png", half)
    save(tmp_path / "masks/2.jpg.png", (half[::2, ::2] // 255))  # half the size, and zeros and ones
    found = find_photos(tmp_path)
    first, second, third = found.photos
    assert any("3.jpg" in note for note in found.notes)
    assert (read_mask(first) == half).all()
    assert (read_mask(second) == half).all()
    assert (read_mask(third, 24) == 255).all() and read_mask(third, 24).shape == (16, 24)
    assert read_mask(first, 3).tolist() == [[255, 128, 0]] * 2
    assert all(p.mask is None for p in find_photos(tmp_path, masks=False).photos)


def test_mask_of_a_turned_photo(tmp_path):
    """Drawn on the stored pixels or on the upright ones: both are the same mask."""
    pixels = texture(24, 16)
    mask = np.zeros((16, 24), np.uint8)
    mask[:4, :6] = 255
    upright = np.asarray(ImageOps.exif_transpose(tagged(mask, 6)))
    for drawn in (mask, upright):
        save(tmp_path / "photos/1.jpg", pixels, exif(6))
        save(tmp_path / "masks/1.png", drawn)
        assert (read_mask(only(tmp_path)) == upright).all()


def test_undistorted_then_averaged(tmp_path):
    """A distortion of another size is rescaled; photo and mask go the same way."""
    ramp = np.broadcast_to(np.linspace(30, 220, 80)[None, :, None], (60, 80, 3)).astype(np.uint8)
    save(tmp_path / "photos/1.png", ramp)
    save(tmp_path / "masks/1.png", ramp[..., 0])
    plain = only(tmp_path)
    lens = Distortion("SIMPLE_RADIAL", (200.0, 80.0, 60.0, 0.5), 160, 120)
    whole = read_undistorted_linear(plain, lens)
    np.testing.assert_allclose(read_undistorted_linear(plain, lens, 20), area_average(whole, (20, 15)), rtol=1e-5)
    assert np.abs(whole - read_linear(plain)).max() > 0.01
    mask = read_undistorted_mask(plain, lens).astype(int)
    photo = read_undistorted(plain, lens)[..., 0].astype(int)
    assert np.abs(mask - photo)[:, 2:-2].max() <= 3, "alike, but for interpolating in linear light"


def test_damaged_photo_is_left_out(tmp_path):
    make_photos(tmp_path, 4, 200, 150)
    data = (tmp_path / "2.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "3.jpg").write_bytes(b"not a photo")
    tifffile.imwrite(tmp_path / "5.tif", np.zeros((50, 50, 3), np.uint16), photometric="rgb")
    (tmp_path / "5.tif").write_bytes((tmp_path / "5.tif").read_bytes()[:5000])
    found = find_photos(tmp_path)
    assert [p.name for p in found.photos] == ["1.jpg", "4.jpg"]
    assert found.damaged == ("2.jpg", "3.jpg", "5.tif")
    assert all(name in found.notes[0] for name in found.damaged) and len(found.notes) == 1


@pytest.mark.parametrize(
    ("arrange", "word"),
    [
        (lambda root: root.rmdir(), "not a folder"),
        (lambda root: None, "no photos"),
        (lambda root: (make_photos(root, 1), save(root / "masks/1.png", texture(30, 30))), "mask"),
        (lambda root: (make_photos(root, 1), (root / "masks").mkdir(), (root / "masks/1.png").touch()), "mask"),
    ],
)
def test_bad_folder(tmp_path, arrange, word):
    arrange(tmp_path)
    with pytest.raises(MacrosplatError, match=word):
        find_photos(tmp_path)


def test_photo_that_went_away(tmp_path):
    make_photos(tmp_path, 1)
    photo = only(tmp_path)
    save(photo.path, texture(10, 10))
    with pytest.raises(MacrosplatError, match="10 x 10"):
        read_photo(photo)
    photo.path.unlink()
    with pytest.raises(MacrosplatError, match="missing"):
        read_linear(photo)


@pytest.mark.parametrize(("suffix", "module", "extra"), [("nef", "rawpy", "raw"), ("heic", "pillow_heif", "heif")])
def test_missing_reader(tmp_path, monkeypatch, suffix, module, extra):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    (tmp_path / f"1.{suffix}").write_bytes(b"x")
    with pytest.raises(MacrosplatError, match=rf"1\.{suffix}.*macrosplat\[{extra}\]"):
        find_photos(tmp_path)


def test_raw_beside_its_jpeg(tmp_path):
    make_photos(tmp_path, 2)
    (tmp_path / "2.cr2").write_bytes(b"x")
    found = find_photos(tmp_path)
    assert [p.name for p in found.photos] == ["1.jpg", "2.jpg"]
    assert "2.cr2" in found.notes[0]


def test_a_raw_file_that_is_none_is_no_fault_of_the_disk(tmp_path):
    pytest.importorskip("rawpy")
    make_photos(tmp_path, 3)
    (tmp_path / "9.cr2").write_bytes(b"abc")
    assert find_photos(tmp_path).notes[0] == "Damaged and left out: 9.cr2 (cut, or no photo of a camera)."


def test_raw_is_linear(tmp_path):
    """A synthetic DNG, grey under its own white balance: double the light, double the value, at 16 bits."""
    pytest.importorskip("rawpy")
    mosaic = np.full((64, 96), 6000, np.uint16)
    mosaic[:, 48:] = 12000
    tags = [
        (50706, "B", 4, (1, 4, 0, 0), True),  # DNGVersion
        (50708, "s", 0, "Test camera", True),
        (33421, "H", 2, (2, 2), True),  # CFA: 2 x 2, RGGB
        (33422, "B", 4, (0, 1, 1, 2), True),
        (50717, "H", 1, 60000, True),  # WhiteLevel
        (50721, "2i", 9, (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1), True),  # ColorMatrix1
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # D65
    ]
    tifffile.imwrite(tmp_path / "1.dng", mosaic, photometric=32803, extratags=tags)
    photo = only(tmp_path)
    assert (photo.width, photo.height) == (96, 64)
    linear = read_linear(photo)
    dark, bright = linear[10:-10, 10:38], linear[10:-10, 58:-10]
    np.testing.assert_allclose(dark.mean(axis=(0, 1)), 0.1, rtol=0.02)
    np.testing.assert_allclose(bright.mean() / dark.mean(), 2, rtol=1e-3)


def test_heic(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    save(tmp_path / "1.heic", texture(64, 48), quality=95)
    photo = only(tmp_path)
    assert (photo.width, photo.height) == (64, 48)
    assert np.abs(read_photo(photo).astype(int) - texture(64, 48)).mean() < 4
