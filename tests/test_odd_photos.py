"""Photos that are not what they seem: fewer bits than their file, floats that do not end at 1, several pictures in one
file, another format than their name says, links to nothing, names that are one elsewhere. None of it without a word."""

import os
import unicodedata

import numpy as np
import pytest
import tifffile
from PIL import Image

from macrosplat.capture.open import open_capture
from macrosplat.photos.find import find_photos
from macrosplat.photos.inspected import SEVERAL, inspect
from macrosplat.photos.read import read_photo
from macrosplat.support.errors import MacrosplatError
from making_photos import CANON, exif, make_photos, save, texture

PHOTO = texture(60, 40)


@pytest.mark.parametrize("bits, empty", [(10, True), (12, True), (14, False), (15, False), (16, False)])
def test_fewer_bits_than_the_file_has_are_said(tmp_path, bits, empty):
    values = PHOTO.astype(np.uint16) * 257 >> (16 - bits)
    tifffile.imwrite(tmp_path / "a.tif", values)
    found = inspect(tmp_path / "a.tif")
    said = f"if the camera gave {bits}, multiply by {2 ** (16 - bits)}"
    assert (found.empty or "").startswith("black") == empty
    assert (said in f"{found.empty} {found.remark}") == (bits < 15)


def test_a_black_frame_of_many_bits_is_still_black(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((40, 60, 3), 200, np.uint16))
    assert (inspect(tmp_path / "a.tif").empty or "").startswith("black")


@pytest.mark.parametrize("white, empty", [(255.0, "burnt out"), (2.0, None), (1.0, None)])
def test_floats_above_one_are_said(tmp_path, white, empty):
    # A gradient that reaches from black to white, as a scene does, or whole numbers of 8 bits.
    tifffile.imwrite(tmp_path / "a.tif", np.clip(PHOTO.astype(np.float32), 20, 228) / 228 * white, photometric="rgb")
    found = inspect(tmp_path / "a.tif")
    assert (found.empty or "").startswith(empty or "") and (empty is not None) == (found.empty is not None)
    assert ("floats above 1" in f"{found.empty} {found.remark}") == (white > 1)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_films_in_one_file_are_said(tmp_path, suffix):
    photo, other = Image.fromarray(PHOTO), Image.fromarray(np.ascontiguousarray(PHOTO[::-1]))
    photo.save(tmp_path / f"film{suffix}", save_all=True, append_images=[other], lossless=True)
    photo.save(tmp_path / f"photo{suffix}")
    assert inspect(tmp_path / f"film{suffix}").remark == SEVERAL
    assert inspect(tmp_path / f"photo{suffix}").remark is None


def test_a_phones_photo_may_be_called_jpg(tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(PHOTO)).save(str(tmp_path / "1.heic"), quality=-1)
    (tmp_path / "1.heic").rename(tmp_path / "1.jpg")
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)  # as before any .heic was read
    (photo,) = find_photos(tmp_path, masks=False).photos
    assert (photo.width, photo.height) == (60, 40)
    assert np.abs(read_photo(photo).astype(int) - PHOTO).mean() < 3
    (tmp_path / "1.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    assert find_photos(tmp_path, masks=False).damaged == ("1.jpg",)


def test_what_is_no_file_and_films_beside_the_photos_are_said(tmp_path):
    make_photos(tmp_path / "photos", 3)
    (tmp_path / "photos" / "lost.jpg").symlink_to("/nowhere/lost.jpg")
    os.mkfifo(tmp_path / "photos" / "pipe.jpg")
    (tmp_path / "photos" / "folder.jpg").mkdir()
    (tmp_path / "photos" / "real.jpg").symlink_to(tmp_path / "photos" / "1.jpg")
    (tmp_path / "clip.mov").write_bytes(b"film")
    (tmp_path / "photos" / ".away.heic.icloud").write_bytes(b"bplist00")
    found = find_photos(tmp_path)
    assert [photo.name for photo in found.photos] == ["1.jpg", "2.jpg", "3.jpg", "real.jpg"]
    notes = " ".join(found.notes)
    assert "no files, or links to none: lost.jpg, pipe.jpg." in notes and "Not read: clip.mov" in notes
    assert "Not downloaded from iCloud, and not read: away.heic." in notes


def test_names_that_are_one_elsewhere_are_said(tmp_path):
    make_photos(tmp_path, 4)
    accented = [unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD")]
    for n, name in enumerate(["a.jpg", "A.jpg", *accented]):
        save(tmp_path / name, texture(48, 32, 20 + n), exif(**CANON))
    if len(list(tmp_path.iterdir())) < 8:
        pytest.skip("they are one on this disk")
    note = next(note for note in open_capture(tmp_path).notes if "Windows and macOS" in note)
    assert all(name in note for name in ["a.jpg", "A.jpg", *accented]) and "1.jpg" not in note


def test_photos_of_several_focal_lengths_are_said(tmp_path):
    make_photos(tmp_path, 3)
    save(tmp_path / "4.jpg", texture(48, 32, 9), exif(**{**CANON, "FocalLength": 70.0}))
    assert any("2 focal lengths (55 mm, 70 mm)" in note for note in open_capture(tmp_path).notes)


def test_a_mask_that_is_a_link_to_nothing_is_not_passed_over(tmp_path):
    make_photos(tmp_path / "photos", 3)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "2.png").symlink_to("/nowhere/2.png")
    assert any("links to nothing are left out: 2.png" in note for note in find_photos(tmp_path).notes)


@pytest.mark.parametrize(
    "where, run", [("photos", "photos/run"), ("day1", "run"), ("day1", "day1/runs/a"), (".", "run")]
)
def test_what_a_run_made_is_no_photo(tmp_path, where, run):
    """Wherever the run lies: else `--resume` finds other photos than it began with, and a new run takes them all."""
    make_photos(tmp_path / where, 3)
    before = find_photos(tmp_path)
    (tmp_path / run).mkdir(parents=True)
    (tmp_path / run / "config.json").write_text("{}")
    for n, folder in enumerate(("sharp", "maps/coc_colour", "sfm/composites", "page/sharp")):
        make_photos(tmp_path / run / folder, 3, seed=10 * n)
    found = find_photos(tmp_path)
    assert found.photos == before.photos
    assert not any("left alone" in note for note in found.notes)


def test_photos_beside_a_config_of_something_else_are_photos(tmp_path):
    make_photos(tmp_path / "photos" / "left", 3)
    (tmp_path / "photos" / "left" / "config.json").write_text("{}")
    assert len(find_photos(tmp_path).photos) == 3


def test_what_is_lost_of_a_16_bit_png_is_said(tmp_path):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "16.png"), PHOTO[..., ::-1].astype(np.uint16) * 257)
    Image.fromarray(PHOTO).save(tmp_path / "8.png")
    assert "8 of its 16 bits" in (inspect(tmp_path / "16.png").remark or "")
    assert inspect(tmp_path / "8.png").remark is None


@pytest.mark.parametrize("padding", [b"", bytes(2000)], ids=["cut", "zeros"])
def test_half_a_jpeg_is_damaged_though_it_ends_as_a_whole_one(tmp_path, padding):
    """As it comes from a damaged card, or from a copy that broke off: decoders fill the rest with one colour."""
    make_photos(tmp_path, 3, 320, 240)
    whole = (tmp_path / "2.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(whole[: len(whole) // 2] + padding + b"\xff\xd9")
    found = find_photos(tmp_path)
    assert found.damaged == ("2.jpg",) and "2.jpg (its lower" in found.notes[0]


def test_pictures_on_an_even_ground_are_whole(tmp_path):
    for n in range(4):
        pixels = texture(320, 240, n)
        pixels[150:] = 128
        save(tmp_path / f"{n}.png", pixels)
    assert not find_photos(tmp_path).damaged
    save(tmp_path / "framed.png", np.pad(texture(280, 200, 9), ((20, 20), (20, 20), (0, 0)), constant_values=90))
    for n in range(4):
        save(tmp_path / f"{n}.png", texture(320, 240, n))
    assert not find_photos(tmp_path).damaged
    cut_out = np.full((240, 320, 3), 128, np.uint8)
    cut_out[:150, 100:220] = texture(120, 150, 9)  # reaches out of the photo above
    save(tmp_path / "cut_out.png", cut_out)
    assert not find_photos(tmp_path).damaged


def test_pictures_that_are_not_called_so_are_said(tmp_path):
    make_photos(tmp_path / "photos", 3)
    photo = (tmp_path / "photos" / "1.jpg").read_bytes()
    for name in ("IMG_0001", "a long name.jp", "1.jpg_original", "1.jpg~", "Cat.lrdata/2.jpg", "thumbs/x"):
        (tmp_path / "photos" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(photo)
    found = find_photos(tmp_path)
    assert len(found.photos) == 3
    assert found.notes == (
        "Not read, though pictures by what they hold: IMG_0001, a long name.jp; give them the suffix of a picture.",
    )


@pytest.mark.parametrize("place", ["photos", "."])
def test_links_to_folders_are_followed(tmp_path, place):
    make_photos(tmp_path / "elsewhere", 3)
    root = tmp_path / "capture"
    (root / place).mkdir(parents=True)
    (root / place / "day1").symlink_to(tmp_path / "elsewhere")
    (root / place / "again").symlink_to(tmp_path / "elsewhere")  # the same photos
    (root / place / "round").symlink_to(tmp_path)  # what holds the capture
    assert len(find_photos(root).photos) == 3


def test_folders_called_as_those_of_results_are_said(tmp_path):
    make_photos(tmp_path / "full", 3)
    with pytest.raises(MacrosplatError, match="what lies in full"):
        find_photos(tmp_path)
    make_photos(tmp_path / "close", 3, seed=5)
    found = find_photos(tmp_path)
    assert len(found.photos) == 3 and any("what lies in full" in note for note in found.notes)


def test_raw_files_in_a_folder_of_their_own_are_the_same_photos(tmp_path):
    make_photos(tmp_path / "JPG", 3)
    (tmp_path / "RAW").mkdir()
    for n in (1, 2, 3):
        (tmp_path / "RAW" / f"{n}.CR2").write_bytes(b"II*\0")
    found = find_photos(tmp_path)
    assert len(found.photos) == 3 and not found.damaged
    assert any("of the same name is there: RAW/1.CR2" in note for note in found.notes)
