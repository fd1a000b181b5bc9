"""What lies beside the slices of stacks, or looks like them: results of other programs, copies, exposures, edits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macrosplat.brackets.recognise import poses_of
from macrosplat.capture.open import open_capture
from macrosplat.support.colour import to_bytes, to_srgb
from making_photos import CANON, exif, save
from test_brackets import grouped, halves, speckle, write


def notes_of(folder: Path) -> str:
    return " ".join(open_capture(folder).notes)


@pytest.mark.parametrize(
    "name", ["2024-05-01-12.33.1{} ZS PMax.png", "p{}/2024-05-01 (B,Radius8,Smoothing4).png", "stacked/stack{}.png"]
)
def test_pictures_stacked_by_other_programs_are_no_views(tmp_path: Path, name: str) -> None:
    for p in range(2):
        sharp, slices = halves(p)
        at = "p{p}/DSC{i:05d}.png" if name.startswith("p") else "DSC{i:05d}.png"
        write(tmp_path / "photos", slices, [at.format(p=p, i=3 * p + s) for s in range(3)])
        write(tmp_path / "photos", [sharp], [name.format(p)])
    capture = open_capture(tmp_path)
    assert [len(group) for group in poses_of(capture.photos)] == [3, 3]
    assert any(name.format(0).split("/")[-1] in note for note in capture.notes)


def test_a_stack_and_the_same_once_more_are_one_pose(tmp_path: Path) -> None:
    """Two poses at one place would be a scene without parallax."""
    slices = halves(0)[1]
    names = [f"DSC{n:05d}.png" for n in range(3)]
    write(tmp_path / "photos", slices, names)
    write(tmp_path / "photos" / "aligned", slices, names)
    capture = open_capture(tmp_path)
    assert [photo.name for photo in capture.photos] == names and len({photo.pose for photo in capture.photos}) == 1
    assert any("once more: aligned/DSC00000.png" in note for note in capture.notes)
    again = [one * 0.9 for one in slices]
    (tmp_path / "two").mkdir()
    write(tmp_path / "two", slices + again, [f"DSC{n:05d}.png" for n in range(6)])
    assert [len(group) for group in grouped(tmp_path / "two")] == [6]


def test_of_two_formats_the_deeper_one_counts(tmp_path: Path) -> None:
    slices = halves(0, 3)[1]
    names = [f"IMG_{n}.png" for n in range(3)]
    write(tmp_path / "jpg", slices, names)
    (tmp_path / "tif").mkdir()
    for name in names:
        Image.open(tmp_path / "jpg" / name).save(tmp_path / "tif" / f"{name[:-4]}.tif")
    assert grouped(tmp_path) == [[f"tif/IMG_{n}.tif" for n in range(3)]]


def test_slices_in_any_order_are_one_stack(tmp_path: Path) -> None:
    slices = halves(0, 4)[1]
    write(tmp_path, [slices[n] for n in (3, 1, 0, 2)], [f"DSC{n:05d}.png" for n in range(4)])
    assert [len(group) for group in grouped(tmp_path)] == [4]


@pytest.mark.parametrize(("seconds", "said"), [(1 / 400, "as a bracket of exposures does"), (1 / 100, "taken twice")])
def test_exposures_of_one_view_are_said(tmp_path: Path, seconds: float, said: str) -> None:
    for view in range(4):
        for n, shutter in enumerate((1 / 100, seconds)):
            tags = exif(**CANON)
            tags.get_ifd(0x8769)[0x829A] = shutter
            light = speckle(view) * (0.6 if n else 1)
            save(tmp_path / f"IMG_{2 * view + n:04d}.jpg", to_bytes(to_srgb(light)), tags)
    capture = open_capture(tmp_path)
    assert len(capture.photos) == 8 and any(
        said in note and "IMG_0000.jpg, IMG_0001.jpg" in note for note in capture.notes
    )


@pytest.mark.parametrize(("ratio", "said"), [(4.0, True), (1.0, False)])
def test_three_exposures_of_each_view_are_said(tmp_path: Path, ratio: float, said: bool) -> None:
    for view in range(3):
        for n in range(3):
            tags = exif(**CANON)
            tags.get_ifd(0x8769)[0x829A] = ratio ** (n - 1) / 100
            light = speckle(view) * (0.5 + 0.2 * n)
            save(tmp_path / f"IMG_{3 * view + n:04d}.jpg", to_bytes(to_srgb(light)), tags)
    notes = notes_of(tmp_path)
    assert ("differ by up to 4.0 stops (IMG_0000.jpg, IMG_0001.jpg, IMG_0002.jpg, by EXIF)" in notes) == said


@pytest.mark.parametrize(("light", "said"), [((0.25, 0.5, 1.0), True), ((0.8, 0.9, 1.0), False)])
def test_exposures_without_exif_are_told_by_their_light(tmp_path: Path, light: tuple[float, ...], said: bool) -> None:
    for view in range(3):
        for n, gain in enumerate(light):
            save(tmp_path / f"{view}_{n}.png", to_bytes(to_srgb(speckle(view) * gain)))
    notes = notes_of(tmp_path)
    assert ("differ by up to 2.0 stops (" in notes and "_2.png, by their light)" in notes) == said


@pytest.mark.parametrize("edited", ["IMG_E0001.jpg", "IMG_0001-Edit.jpg", "IMG_0001 copy.jpg"])
def test_an_edit_of_a_photo_is_said(tmp_path: Path, edited: str) -> None:
    for view in range(5):
        save(tmp_path / f"IMG_{view:04d}.jpg", to_bytes(to_srgb(speckle(view))), exif(**CANON))
    assert "one thing from one place" not in notes_of(tmp_path)
    save(tmp_path / edited, to_bytes(to_srgb(np.clip(speckle(1) * 1.3, 0, 1))), exif(**CANON))
    said = notes_of(tmp_path)
    assert edited in said and "one thing from one place" in said


def test_a_slice_of_another_size_is_left_out(tmp_path: Path) -> None:
    """Slices are joined pixel by pixel, and thumbnails do not tell how large they are."""
    names = [f"DSC{n:05d}.png" for n in range(4)]
    write(tmp_path, halves(0, 4)[1], names)
    Image.open(tmp_path / names[2]).resize((100, 75)).save(tmp_path / names[2])
    capture = open_capture(tmp_path)
    assert [photo.name for photo in capture.photos] == ["DSC00000.png", "DSC00001.png", "DSC00003.png"]
    assert any("DSC00002.png (100 x 75 px)" in note for note in capture.notes)


def test_masks_of_a_lone_stack_are_said_to_be_unused(tmp_path: Path) -> None:
    write(tmp_path / "photos", halves(0)[1], ["1.png", "2.png", "3.png"])
    for n in (1, 2, 3):
        save(tmp_path / "masks" / f"{n}.png", np.full((90, 120), 255, np.uint8))
    assert "masks and alpha are not used" in notes_of(tmp_path)


@pytest.mark.parametrize("name", ["IMG_{round:04d}.png", "focus{s}/IMG_{p}.png"])
def test_a_round_at_each_focus_is_stacks_all_the_same(tmp_path: Path, name: str) -> None:
    """An automatic turntable goes round once for each focus: slices of a pose are a round apart."""
    stacks = [halves(p)[1] for p in range(3)]
    for s in range(3):
        write(tmp_path, [stack[s] for stack in stacks], [name.format(s=s, p=p, round=3 * s + p) for p in range(3)])
    poses = grouped(tmp_path)
    assert sorted(poses[0]) == [name.format(s=s, p=0, round=3 * s) for s in range(3)] and len(poses) == 3


def test_the_first_slice_may_be_the_odd_one(tmp_path: Path) -> None:
    slices = halves(0, 4)[1]
    slices[0] = np.ascontiguousarray(np.rot90(slices[0]))
    write(tmp_path, slices, [f"DSC{n:05d}.png" for n in range(4)])
    capture = open_capture(tmp_path)
    assert [photo.name for photo in capture.photos] == [f"DSC{n:05d}.png" for n in (1, 2, 3)]
    assert any("DSC00000.png" in note for note in capture.notes)
