"""Masks where programs put them, and frames that show nothing."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from macrosplat.capture.open import open_capture
from macrosplat.photos.find import find_photos
from macrosplat.photos.masks import read_mask
from macrosplat.photos.usable import all_blurred, detail, emptiness
from macrosplat.support.errors import MacrosplatError
from making_captures import make_cameras
from making_photos import CANON, exif, make_photos, save, texture

HALF = np.repeat([[255] * 24 + [0] * 24], 32, 0).astype(np.uint8)


@pytest.mark.parametrize(
    "name",
    [
        "masks/{0}.png",
        "masks/{0}.jpg.png",
        "masks/{0}.jpg",
        "masks/{0}_mask.png",
        "masks/{0}-mask.tif",
        "masks/mask_{0}.png",
        "masks/{0}.jpg.mask.png",
        "Masks/{0}.PNG",
        "mask/{0}.png",
        "photos/masks/{0}.png",
        "photos/{0}_mask.png",
        "photos/{0}.jpg.mask.png",
        "masks/other/{0}.png",
    ],
)
def test_masks_are_found(tmp_path, name):
    make_photos(tmp_path / "photos", 3)
    for n in range(1, 4):
        save(tmp_path / name.format(n), HALF)
    capture = open_capture(tmp_path, brackets=False)
    assert [photo.name for photo in capture.photos] == ["1.jpg", "2.jpg", "3.jpg"]
    for photo in capture.photos:
        assert photo.mask is not None
        assert np.abs(read_mask(photo).astype(int) - HALF).max() <= 3
    assert not open_capture(tmp_path, masks=False, brackets=False).photos[0].mask


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("masks/{0}.npy", "Not read as masks: 1.npy, 2.npy, 3.npy; save masks as PNG."),
        ("photos_mask/{0}.png", "Left alone, though it may hold masks: photos_mask; "),
        ("segmentation/{0}.png", "Left alone, though it may hold masks: segmentation; "),
        ("Alpha/{0}_mask.png", "Left alone, though it may hold masks: Alpha; "),
    ],
)
def test_what_may_be_masks_is_said(tmp_path, name, said):
    make_photos(tmp_path / "photos", 3)
    for n in range(1, 4):
        path = tmp_path / name.format(n)
        path.parent.mkdir(exist_ok=True)
        save(path, HALF) if path.suffix == ".png" else path.write_bytes(b"x")
    capture = open_capture(tmp_path, brackets=False)
    assert len(capture.photos) == 3 and all(photo.mask is None for photo in capture.photos)
    assert any(note.startswith(said) for note in capture.notes)


def test_masks_of_photos_in_folders_are_not_exchanged(tmp_path):
    for n, side in enumerate(("left", "right")):
        for k in (1, 2):
            save(tmp_path / "photos" / side / f"{k}.jpg", texture(48, 32, 2 * n + k), exif(**CANON))
            save(tmp_path / "masks" / side / f"{k}.png", HALF if n else 255 - HALF)
    capture = open_capture(tmp_path, brackets=False)
    assert [int(read_mask(photo)[0, 0]) for photo in capture.photos] == [0, 0, 255, 255]


def test_named_masks_count_first(tmp_path):
    make_photos(tmp_path / "images", 3)
    frames = []
    for n, view in enumerate(make_cameras(3).views, 1):
        save(tmp_path / "segmentation" / f"seg{n}.png", HALF)
        save(tmp_path / "masks" / f"{n}.png", 255 - HALF)
        pose = np.linalg.inv(view) @ np.diag([1.0, -1, -1, 1])
        frames.append({"file_path": f"images/{n}.jpg", "transform_matrix": pose.tolist()})
        frames[-1]["mask_path"] = f"segmentation/seg{n}.png"
    frames[2]["mask_path"] = "segmentation/none.png"
    (tmp_path / "transforms.json").write_text(json.dumps({"fl_x": 100.0, "frames": frames}))
    capture = open_capture(tmp_path)
    assert [int(read_mask(photo)[0, 0]) for photo in capture.photos] == [255, 255, 0]
    assert any("named for 3.jpg is missing" in note for note in capture.notes)
    for n, path in enumerate(["masks\\1.png", "/home/me/cap/masks/2.png", "masks/3.jpg"]):  # of other machines
        frames[n]["mask_path"] = path
    (tmp_path / "transforms.json").write_text(json.dumps({"fl_x": 100.0, "frames": frames}))
    capture = open_capture(tmp_path)
    assert [int(read_mask(photo)[0, 0]) for photo in capture.photos] == [0, 0, 0]
    assert not any("missing" in note for note in capture.notes)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_an_alpha_channel_that_cuts_out_is_a_mask(tmp_path, suffix):
    for n in range(3):
        pixels = np.dstack([texture(48, 32, n), HALF])
        if suffix == ".tif":
            deep = pixels.astype(np.uint16) * 257
            tifffile.imwrite(tmp_path / f"{n}.tif", deep, photometric="rgb", extrasamples=["unassalpha"])
        else:
            save(tmp_path / f"{n}.png", pixels)
    capture = open_capture(tmp_path)
    assert all((read_mask(photo) == HALF).all() for photo in capture.photos)
    assert any("alpha channel" in note for note in capture.notes)
    for n in range(3):
        save(tmp_path / "masks" / f"{n}.png", 255 - HALF)
    assert all((read_mask(photo) == 255 - HALF).all() for photo in open_capture(tmp_path).photos)


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_an_even_alpha_channel_says_nothing(tmp_path, alpha):
    for n in range(3):
        save(tmp_path / f"{n}.png", np.dstack([texture(48, 32, n), np.full((32, 48), alpha, np.uint8)]))
    assert all(photo.mask is None for photo in open_capture(tmp_path).photos)


def test_masks_that_fit_nothing_are_named(tmp_path):
    make_photos(tmp_path / "photos", 3)
    for n in range(3):
        save(tmp_path / "masks" / f"segment{n}.png", HALF)
    (note,) = [note for note in find_photos(tmp_path).notes if "mask" in note]
    assert "None of the 3 pictures" in note and "1.png" in note
    save(tmp_path / "masks" / "1.png", HALF)
    notes = find_photos(tmp_path).notes
    assert any("fit no photo" in note and "segment0.png" in note for note in notes)
    assert any("No mask was found for 2.jpg, 3.jpg" in note for note in notes)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (30, 30)])
def test_a_mask_of_another_shape_is_refused(tmp_path, size):
    make_photos(tmp_path / "photos", 3)
    save(tmp_path / "masks" / "1.png", np.full(size[::-1], 255, np.uint8))
    with pytest.raises(MacrosplatError, match=rf"1\.png is {size[0]} x {size[1]} px"):
        open_capture(tmp_path)


def test_frames_that_show_nothing():
    grain = np.random.default_rng(0).normal(4, 2, (300, 400, 3)).clip(0, 255).astype(np.uint8)
    assert emptiness(grain) == "black"
    grain[10, 10] = 255  # a hot pixel
    assert emptiness(grain) == "black"
    assert emptiness(255 - grain // 3) == "burnt out"
    assert emptiness(np.full((40, 60, 3), 1.0, np.float32)) == "burnt out"
    assert emptiness(np.zeros((40, 60, 3), np.float32)) == "black"
    insect = np.full((300, 400, 3), 3, np.uint8)  # a small bright thing on velvet, a small dark one on a white sweep
    insect[100:115, 100:120] = 150
    assert emptiness(insect) is None and emptiness(255 - insect) is None
    assert emptiness(texture(48, 32)) is None


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_black_and_tiny_photos_are_named_and_left_out(tmp_path, suffix):
    for n in range(4):
        save(tmp_path / f"{n}.{suffix}", texture(48, 32, n), exif(**CANON))
    save(tmp_path / f"4.{suffix}", np.zeros((32, 48, 3), np.uint8), exif(**CANON))
    save(tmp_path / f"5.{suffix}", np.full((32, 48, 3), 254, np.uint8), exif(**CANON))
    save(tmp_path / f"6.{suffix}", texture(4, 3), exif(**CANON))
    capture = open_capture(tmp_path)
    assert [photo.name for photo in capture.photos] == [f"{n}.{suffix}" for n in range(4)]
    (note,) = [note for note in capture.notes if "show nothing" in note]
    assert f"4.{suffix} (black), 5.{suffix} (burnt out), 6.{suffix} (4 x 3 px)" in note


def adobe(pixels, index=None, space=65535):
    """An Adobe RGB photo as DCF has it: pixels in Adobe RGB, no profile."""
    tags = exif(**CANON)
    tags.get_ifd(0x8769)[0xA001] = space
    if index:
        tags.get_ifd(0x8769)[0xA005] = {1: index, 2: b"0100"}
    return tags


def test_adobe_rgb_told_by_the_camera_is_converted(tmp_path):
    """A colour of sRGB as Adobe RGB's own numbers (closed form: matrices of both, gamma 563/256)."""
    from macrosplat.photos.icc import ADOBE_RGB, into_profile, read_profile
    from macrosplat.photos.metadata import read_metadata
    from macrosplat.photos.read import read_photo
    from macrosplat.support.colour import to_bytes, to_linear

    profile = read_profile(ADOBE_RGB)
    assert profile is not None and not profile.is_srgb
    colour = np.array([241, 92, 64])
    stored = to_bytes(into_profile(to_linear(colour[None, None] / 255.0), profile))
    assert np.abs(stored[0, 0].astype(int) - [212, 92, 68]).max() <= 1  # as another program has it
    pixels = np.tile(stored, (32, 48, 1))
    named = {
        "a.jpg": adobe(pixels, "R03"),
        "_b.jpg": adobe(pixels),
        "c.jpg": adobe(pixels, space=2),
        "d.jpg": adobe(pixels, "R98", 1),
        "e.jpg": adobe(pixels),
    }
    for name, tags in named.items():
        save(tmp_path / name, pixels, tags, quality=100, subsampling=0)
    for photo in find_photos(tmp_path).photos:
        is_adobe = photo.name in ("a.jpg", "_b.jpg", "c.jpg")
        off = np.abs(read_photo(photo)[5, 5].astype(int) - (colour if is_adobe else stored[0, 0])).max()
        assert off <= 3, photo.name
        assert (read_metadata(photo.path).profile() is not None) is is_adobe
    with Image.open(tmp_path / "a.jpg") as opened:
        assert opened.getexif().get_ifd(0xA005)[1] == "R03"


def test_a_photo_without_anything_in_focus_is_told_from_those_that_have_something():
    random = np.random.default_rng(0)
    tiles = np.kron(random.integers(0, 2, (30, 40)) * 200.0, np.ones((16, 16)))
    sharp = [np.roll(tiles, 7 * n, 1) for n in range(5)]
    part = np.where(np.arange(640) < 500, gaussian_filter(tiles, 6.0), tiles)  # a fifth is in focus
    photos = [*sharp, part, gaussian_filter(tiles, 8.0)]
    pictures = [
        np.repeat((one + random.normal(0, 2, one.shape)).clip(0, 255).astype(np.uint8)[..., None], 3, 2)
        for one in photos
    ]
    details = np.array([detail(one) for one in pictures])
    assert all_blurred(details).tolist() == [False] * 6 + [True]
    assert not all_blurred(np.full(7, details[-1])).any()  # of a capture that is blurred throughout another note tells
