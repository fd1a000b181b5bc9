"""Coded targets: drawn, blurred and read; the scale that they give; the points that photos share by them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.sfm.features import Features
from macrosplat.cameras.sfm.ties import with_ties
from macrosplat.cameras.squares import focal_by_squares
from macrosplat.cameras.targets import Sizes, corner_points, read_sizes, scale_by
from macrosplat.capture.read_targets import read_kept
from macrosplat.options import Options
from macrosplat.photos.records import Exif, Photo
from macrosplat.photos.target_sheet import write_sheet
from macrosplat.photos.targets import Family, Target, disc, homography, read_targets
from macrosplat.placing import keep_sizes, sizes_of
from macrosplat.run import Run
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.errors import MacrosplatError

cv2 = pytest.importorskip("cv2")
FINE = 4  # samples per px that a picture is drawn with


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("APRILTAG_36h11")


def picture(family: Family, quads: dict[int, np.ndarray], blur: float, size=(200, 150)) -> np.ndarray:
    """[h, w, 3] sRGB: targets on grey, each with white about it, blurred by a disc in linear light, with noise."""
    light = np.full((size[1] * FINE, size[0] * FINE), 0.3)
    y, x = np.mgrid[0 : size[1] * FINE, 0 : size[0] * FINE]
    x, y = (x + 0.5) / FINE, (y + 0.5) / FINE
    for number, quad in quads.items():
        cells = np.pad(family.drawing(number) / 255.0, 1, constant_values=1.0)
        side = float(family.cells)
        back = np.linalg.inv(homography(np.array([[0, 0], [side, 0], [side, side], [0, side]]), quad))
        w = back[2, 0] * x + back[2, 1] * y + back[2, 2]
        u, v = ((back[k, 0] * x + back[k, 1] * y + back[k, 2]) / w for k in (0, 1))
        inside = (u >= -1) & (v >= -1) & (u < side + 1) & (v < side + 1)
        light[inside] = 0.05 + 0.7 * cells[np.floor(v[inside]).astype(int) + 1, np.floor(u[inside]).astype(int) + 1]
    light = cv2.filter2D(light, -1, disc(blur * FINE), borderType=cv2.BORDER_REPLICATE)
    light = light.reshape(size[1], FINE, size[0], FINE).mean((1, 3))
    grey = to_bytes(to_srgb(light) + np.random.default_rng(0).normal(0, 0.006, light.shape))
    return np.repeat(grey[..., None], 3, 2)


SKEW = np.array([[60.0, 30.0], [138.0, 44.0], [126.0, 116.0], [52.0, 104.0]])


@pytest.mark.parametrize("blur", [0.5, 8.0])
def test_a_target_is_read_through_blur(family: Family, blur: float) -> None:
    (found,) = read_targets(picture(family, {123: SKEW}, blur), family)
    assert found.number == 123 and found.blur == pytest.approx(blur, abs=0.5)
    assert np.abs(found.corners - SKEW).max() < 0.15


def test_what_is_no_target_or_there_twice_is_not_read(family: Family) -> None:
    other = picture(family, {123: SKEW}, 1.0)
    assert read_targets(other[:, :, :1].repeat(3, 2)[:, ::-1], family) == []  # a mirror image has no number
    small = np.array([[10.0, 10], [80, 12], [82, 80], [12, 82]])
    assert (
        read_targets(picture(family, {5: small + np.array([0, 30]), 9: small + np.array([100, 30])}, 2.0), family)[
            1
        ].number
        == 9
    )
    twice = picture(family, {5: small + np.array([0, 30])}, 2.0)
    twice = np.concatenate([twice[:, :100], twice[:, :100]], 1)
    assert read_targets(twice, family) == []


def looking(count: int = 6) -> Cameras:
    """Cameras of 4 scene units away about the origin; one unit is 2.5 mm."""
    views = []
    for n in range(count):
        turn = 0.3 * n
        eye = 4 * np.array([np.sin(turn), -0.4, -np.cos(turn)])
        z = -eye / np.linalg.norm(eye)
        x = np.cross([0, 1.0, 0], z)
        x /= np.linalg.norm(x)
        view = np.eye(4)
        view[:3, :3] = np.stack([x, np.cross(z, x), z])
        view[:3, 3] = -view[:3, :3] @ eye
        views.append(view)
    k = np.tile([2000.0, 2000, 320, 240], (count, 1))
    return Cameras(tuple(f"{n}.jpg" for n in range(count)), np.stack(views), k, np.tile([640, 480], (count, 1)), "sfm")


def readings(cameras: Cameras, sides: dict[int, float], noise: float) -> dict[str, list[Target]]:
    random, found = np.random.default_rng(1), {}
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    for name, view, k in zip(cameras.names, cameras.views, cameras.intrinsics, strict=True):
        found[name] = []
        for number, side in sides.items():
            points = square * side / 2.5 + [0.3 * number - 0.5, 0.1 * number, 0.05 * number]
            local = points @ view[:3, :3].T + view[:3, 3]
            px = local[:, :2] / local[:, 2:] * k[:2] + k[2:] + random.normal(0, noise, (4, 2))
            found[name].append(Target(number, px, max(noise, 0.02), 1.0, 1.0))
    return found


def test_targets_tell_how_long_a_unit_is_and_how_surely() -> None:
    cameras = looking()
    seen = readings(cameras, {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.3}, 0.05)
    told = scale_by(seen, cameras, Sizes(side=1.0))
    assert told.mm_per_unit is not None and told.uncertainty is not None
    assert abs(told.mm_per_unit / 2.5 - 1) < 4 * told.uncertainty < 0.01
    assert told.targets == (0, 1, 2) and told.photos == 6 and "target 3 has another size" in told.notes[0]
    moved = {name: [*some] for name, some in seen.items()}
    for name in ("0.jpg", "1.jpg", "2.jpg"):  # half of the photos show it elsewhere
        one = moved[name][0]
        moved[name][0] = Target(0, one.corners + np.array([120, 0]), one.sigma, 1.0, 1.0)
    assert 0 not in scale_by(moved, cameras, Sizes(side=1.0)).targets
    assert scale_by(seen, cameras, Sizes()).mm_per_unit is None


def test_squares_tell_the_focal_length() -> None:
    cameras = looking()
    seen = readings(cameras, {n: 1.0 for n in range(6)}, 0.03)
    wrong = replace(cameras, intrinsics=cameras.intrinsics * [1.02, 1.02, 1, 1])
    found = focal_by_squares(seen, wrong, corner_points(seen, wrong)[0])
    assert found is not None and abs(found.factor * 1.02 - 1) < 3 * found.uncertainty < 0.02
    doubted = scale_by(seen, wrong, Sizes(side=1.0)).uncertainty
    assert doubted is not None and doubted == pytest.approx(np.hypot(0.02, found.uncertainty), rel=0.4)
    few = {name: some[:1] for name, some in list(seen.items())[:3]}
    assert focal_by_squares(few, cameras, corner_points(few, cameras)[0]) is None
    assert scale_by(few, cameras, Sizes(side=1.0)).uncertainty == pytest.approx(0.02, rel=0.1)


def test_a_board_counts_as_one_piece() -> None:
    cameras = looking()
    seen = readings(cameras, {0: 1.0, 1: 1.0, 2: 1.0}, 0.05)
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    board = {n: square + np.array([0.3 * n, 0.1 * n, 0.05 * n]) * 2.5 for n in range(3)}
    one, apart = (scale_by(seen, cameras, sizes) for sizes in (Sizes(board=board), Sizes(side=1.0)))
    assert one.mm_per_unit == pytest.approx(2.5, rel=2e-3)
    assert one.uncertainty is not None and apart.uncertainty is not None and one.uncertainty < apart.uncertainty


def test_sizes_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "tags.json"
    path.write_text(json.dumps({"7": 5, "8": 4.5}))
    assert read_sizes(str(path)).sides == {7: 5.0, 8: 4.5}
    path.write_text(json.dumps({"family": "4X4_50", "side_mm": 3, "board": {"1": [[0, 0], [3, 0], [3, 3], [0, 3]]}}))
    sizes = read_sizes(str(path))
    assert sizes.side == 3 and sizes.board[1].shape == (4, 3) and sizes.corners(5) is not None
    for wrong in ({"tags": {"a": 5}}, {"tags": {"1": -5}}, {"board": {"1": [[0, 0]]}}, {"side": 3}, {}, [1]):
        path.write_text(json.dumps(wrong))
        with pytest.raises(MacrosplatError, match=r"tags\.json"):
            read_sizes(str(path))
    with pytest.raises(MacrosplatError, match="--targets"):
        read_sizes("0.0")
    with pytest.raises(MacrosplatError, match="no family"):
        Family("36h12")


def test_sizes_are_kept_where_the_file_is_gone_when_a_run_ends(tmp_path: Path) -> None:
    board = {"7": [[0, 0], [5, 0], [5, 5], [0, 5]]}
    file = tmp_path / "sizes.json"
    file.write_text(json.dumps({"family": "4X4_50", "side_mm": 3, "tags": {"2": 4.5}, "board": board}))
    options, run = Options(targets=str(file)), Run(tmp_path / "run")
    sizes = sizes_of(options)
    assert sizes is not None
    keep_sizes(run, sizes)
    file.unlink()
    kept = sizes_of(options, run)
    assert kept is not None and (kept.family, kept.side, kept.sides) == ("4X4_50", 3, {2: 4.5})
    np.testing.assert_array_equal(kept.board[7], sizes.board[7])
    with pytest.raises(MacrosplatError, match="another --out"):  # targets of that family were read in the photos
        keep_sizes(run, Sizes("5X5_100", 3))


@pytest.mark.parametrize(
    "content",
    [{"9" * 5000: 5}, {"board": {"1": [[0, 0], [1e300, 0], [1, 1], [0, 1]]}}, {"board": {"1": [[], [], [], []]}}],
)
def test_sizes_beyond_all_bounds_are_one_sentence(tmp_path: Path, content: dict) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(MacrosplatError, match=r"a\.json"):
        read_sizes(str(tmp_path / "a.json"))


@pytest.mark.parametrize("change", [{"corners": [[1, 2]] * 3}, {"sigma": 0}, {"sigma": -1}])
def test_damaged_readings_are_one_sentence(tmp_path: Path, change: dict) -> None:
    one = {"number": 1, "corners": [[1, 2], [5, 2], [5, 6], [1, 6]], "sigma": 0.1, "blur": 1.0, "fit": 0.9}
    (tmp_path / "targets.json").write_text(json.dumps({"a.jpg": [one]}))
    assert read_kept(tmp_path / "targets.json")["a.jpg"][0].number == 1
    (tmp_path / "targets.json").write_text(json.dumps({"a.jpg": [one | change]}))
    with pytest.raises(MacrosplatError, match="read again"):
        read_kept(tmp_path / "targets.json")


def test_corners_are_points_that_photos_share(tmp_path: Path) -> None:
    cameras = looking(3)
    seen = readings(cameras, {4: 1.0, 6: 1.0}, 0.0)
    seen["1.jpg"] = seen["1.jpg"][1:]
    photos = [Photo(name, tmp_path / name, 640, 480, Exif()) for name in cameras.names]
    none = Features(
        np.zeros((2, 6), np.float32), np.zeros((2, 128), np.float32), np.zeros((2, 3), np.uint8), (320, 240)
    )
    features, matches = with_ties([none] * 3, photos, seen)
    assert {pair: len(rows) for pair, rows in matches.items()} == {(0, 1): 4, (0, 2): 8, (1, 2): 4}
    for (i, j), rows in matches.items():
        for photo, column in ((i, 0), (j, 1)):
            px = features[photo].photo_px(640, 480)[rows[:, column]]
            number = 6 if len(rows) == 4 else 4
            mine = next(one for one in seen[cameras.names[photo]] if one.number == number)
            assert px[:4] == pytest.approx(mine.corners, abs=1e-3)
    assert len(features[0].first()) == 2 and len(features[0].with_more(none).first()) == 2


def test_a_sheet_is_drawn_to_size(tmp_path: Path, family: Family) -> None:
    sheet = write_sheet(tmp_path / "a.pdf", 40.0, 99, 3, "APRILTAG_36h11", "a4")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF") and sheet.side_mm == pytest.approx(40, abs=0.1)
    sides = read_sizes(str(sheet.sizes))
    assert len(sides.sides) == sheet.count and min(sides.sides) == 3 and sides.family == family.name
    for wrong in ({"side_mm": 0.1}, {"first": 580}, {"out": tmp_path / "a.png"}):
        values = {"out": tmp_path / "b.pdf", "side_mm": 5.0, "count": 20, "first": 0} | wrong
        with pytest.raises(MacrosplatError):
            write_sheet(**values, family="APRILTAG_36h11", paper="a4")


def test_a_sheet_does_not_replace_cameras(tmp_path: Path) -> None:
    (tmp_path / "transforms.json").write_text("{}")
    with pytest.raises(MacrosplatError, match=r"transforms\.json"):
        write_sheet(tmp_path / "transforms.pdf", 5.0, 3, 0, "APRILTAG_36h11", "a4")


def test_a_drawing_is_what_opencv_reads(family: Family) -> None:
    page = np.pad(family.drawing(42, 9), 20, constant_values=255)
    _, numbers, _ = cv2.aruco.ArucoDetector(family.dictionary).detectMarkers(page)
    assert numbers.ravel().tolist() == [42]
    assert np.asarray(Image.fromarray(page)).shape == (112, 112)
