"""Cameras of other programs: one capture written in every form, read back to the same values."""

import json
import warnings

import numpy as np
import pytest

from macrosplat.cameras.colmap import write_colmap
from macrosplat.cameras.orient import TURNS, turned, turned_px
from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.cameras.transforms import write_transforms
from macrosplat.cameras.undistort import colmap_camera
from macrosplat.capture.open import open_capture
from macrosplat.support.errors import MacrosplatError
from making_cameras import (
    COUNT,
    FORMS,
    HEIGHT,
    WIDTH,
    as_llff,
    as_reality,
    as_transforms,
    photos,
    truth,
)
from making_captures import make_cameras
from making_photos import CANON, exif, make_photos, save, texture


@pytest.mark.parametrize("brown", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_cameras(tmp_path, form, brown):
    if brown and form in ("llff", "blender"):
        pytest.skip("the form has no distortion")
    photos(tmp_path / "images")
    known = truth(brown)
    FORMS[form](tmp_path, known, brown)
    capture = open_capture(tmp_path)
    cameras = capture.cameras
    assert cameras is not None and cameras.names == known.names
    np.testing.assert_allclose(cameras.views, known.views, atol=1e-9)
    if form in ("llff", "blender"):  # the principal point is the middle
        known = Cameras(known.names, known.views, known.intrinsics * [1, 1, 0, 0] + [0, 0, 48, 36], known.sizes, "")
    if brown:
        rays = np.array([[0.1, 0.05, 1.0], [-0.12, 0.08, 1.0]])
        here, there = (colmap_camera(c.distortion[2]).img_from_cam(rays) for c in (cameras, known))
        np.testing.assert_allclose(here, there, atol=1e-9)
        assert np.abs(here - (rays[:, :2] * 280 + [50, 33])).max() > 0.05, "the lens has to distort"
    else:
        np.testing.assert_allclose(cameras.intrinsics, known.intrinsics, atol=1e-9)
        assert cameras.distortion == (None,) * COUNT
    assert capture.notes == (), capture.notes


@pytest.mark.parametrize("place", ["", "sparse/0", "sparse", "colmap/sparse/0", "distorted/sparse/0", "colmap"])
def test_models_are_found_where_programs_put_them(tmp_path, place):
    photos(tmp_path / "images")
    write_colmap(tmp_path / "model", truth())
    target = tmp_path / place
    target.mkdir(parents=True, exist_ok=True)
    for file in (tmp_path / "model").iterdir():
        file.rename(target / file.name)
    capture = open_capture(tmp_path)
    assert capture.cameras is not None and len(capture.cameras) == COUNT


def test_the_larger_model_counts_and_the_others_are_named(tmp_path):
    photos(tmp_path / "images")
    write_colmap(tmp_path / "sparse" / "0", truth().select(["1.jpg", "2.jpg", "3.jpg"]))
    write_colmap(tmp_path / "sparse" / "1", truth())
    write_transforms(tmp_path / "transforms_train.json", truth().select(["1.jpg"]), folder="images")
    capture = open_capture(tmp_path)
    assert len(capture.photos) == COUNT
    assert any("sparse/0, transforms_train.json" in note for note in capture.notes)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("form", ["transforms", "colmap", "metashape", "llff"])
def test_cameras_of_the_pixels_as_stored_are_turned_with_the_photo(tmp_path, orientation, form):
    """A point's place in the upright photo is its place in the stored one, turned as the pixels are."""
    photos(tmp_path / "images", exif(orientation, **CANON))
    known = truth(distorted=form == "colmap")
    FORMS[form](tmp_path, known, False)
    if form == "transforms":  # made by others, from the pixels as stored
        data = json.loads((tmp_path / "transforms.json").read_text())
        data.pop("exif_orientation")
        (tmp_path / "transforms.json").write_text(json.dumps(data))
    capture = open_capture(tmp_path)
    cameras, turn = capture.cameras, TURNS[orientation]
    assert cameras is not None and tuple(cameras.sizes[0]) == (capture.photos[0].width, capture.photos[0].height)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3))

    def seen(of, n):
        local = points @ of.views[n, :3, :3].T + of.views[n, :3, 3]
        if of.distortion[n] is not None:
            return colmap_camera(of.distortion[n]).img_from_cam(local)
        return local[:, :2] / local[:, 2:] * of.intrinsics[n, :2] + of.intrinsics[n, 2:]

    if form == "llff":
        known = Cameras(known.names, known.views, known.intrinsics * [1, 1, 0, 0] + [0, 0, 48, 36], known.sizes, "")
    for n in range(COUNT):
        np.testing.assert_allclose(seen(cameras, n), turned_px(seen(known, n), turn, (WIDTH, HEIGHT)), atol=1e-8)


def test_upright_pixels_are_told_by_the_points_colours(tmp_path):
    """Turned by 180 degrees a model fits both ways: its points have the colours of one of them."""
    from macrosplat.photos.find import find_photos
    from macrosplat.photos.read import read_photo
    from making_captures import make, observe

    made = make(3, points_of_pupil=1)
    for n, sharp in enumerate(made.sharp):
        save(tmp_path / "images" / f"{n}.png", np.ascontiguousarray(sharp[::-1, ::-1]), exif(3, **CANON))
    upright = read_photo(find_photos(tmp_path).photos[0])
    assert np.array_equal(upright, made.sharp[0])
    points = observe(made.scene.means.numpy(), made.cameras, made.sharp)
    write_colmap(tmp_path / "sparse" / "0", made.cameras, points)
    capture = open_capture(tmp_path, brackets=False)
    assert capture.cameras is not None
    np.testing.assert_allclose(capture.cameras.views, made.cameras.views, atol=1e-12)


def test_a_mirrored_photo_is_refused_with_its_reason(tmp_path):
    photos(tmp_path / "images", exif(2, **CANON))
    write_colmap(tmp_path / "sparse" / "0", truth())
    with pytest.raises(MacrosplatError, match="mirrors"):
        open_capture(tmp_path)


@pytest.mark.parametrize(
    "model", ["OPENCV", "FULL_OPENCV", "THIN_PRISM_FISHEYE", "FOV", "SIMPLE_RADIAL", "OPENCV_FISHEYE"]
)
def test_a_lens_turns_as_its_picture_does(model):
    size = (96, 72)
    params = {
        "OPENCV": (100.0, 110.0, 50.0, 33.0, 0.1, 0.02, 0.01, -0.02),
        "FULL_OPENCV": (100.0, 110.0, 50.0, 33.0, 0.1, 0.02, 0.01, -0.02, 0.01, 0.02, 0.03, 0.01),
        "THIN_PRISM_FISHEYE": (100.0, 110.0, 50.0, 33.0, 0.1, 0.02, 0.01, -0.02, 0.01, 0.02, 0.03, -0.01),
        "FOV": (100.0, 110.0, 50.0, 33.0, 0.3),
        "SIMPLE_RADIAL": (100.0, 50.0, 33.0, 0.1),
        "OPENCV_FISHEYE": (100.0, 110.0, 50.0, 33.0, 0.1, 0.02, 0.01, 0.03),
    }[model]
    rays = np.array([[0.3, 0.1, 1.0], [-0.2, 0.25, 1.0]])
    lens = Distortion(model, params, *size)
    for turn in TURNS.values():
        there = turned_px(colmap_camera(lens).img_from_cam(rays), turn, size)
        np.testing.assert_allclose(colmap_camera(turned(lens, turn)).img_from_cam(rays @ turn.T), there, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("cameras.xml", b"<document><chunk><cameras>", "cannot be read as Metashape"),
        ("cameras.xml", b"<document><chunk><cameras/></chunk></document>", "no cameras that were aligned"),
        ("c.csv", b"#name,x,y,alt,heading,pitch,roll,f\n1.jpg,1,2,3,4,5,6,nan", "f is 'nan'"),
        ("c.csv", b"#name,x,y,alt,heading,pitch,roll,f\n1.jpg,1,2", "alt is ''"),
        ("c.csv", b"#name,x,y,alt,heading,pitch,roll,f\n9.jpg,1,2,3,4,5,6,50", "knows none of the photos"),
        ("poses_bounds.npy", b"\x93NUMPY", "cannot be read as numpy"),
        ("poses_bounds.npy", b"", "cannot be read as numpy"),
        ("poses_bounds.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': ('<f8',\n", "cannot be read as numpy"),
        ("poses_bounds.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '\\V8'}\n", "cannot be read as numpy"),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path, name, content, word):
    photos(tmp_path / "images")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MacrosplatError, match=word) as caught, warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        open_capture(tmp_path)
    assert "\n" not in str(caught.value) and not heard


def test_rows_without_names_count_only_if_there_are_as_many(tmp_path):
    photos(tmp_path / "images")
    as_llff(tmp_path, truth().select(["1.jpg", "2.jpg", "3.jpg"]), False)
    capture = open_capture(tmp_path)
    assert capture.cameras is None and any("3 cameras and no names" in note for note in capture.notes)


def test_a_black_photo_keeps_its_row(tmp_path):
    """It is left out, and the cameras of the others stay theirs."""
    photos(tmp_path / "images")
    save(tmp_path / "images" / "2.jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8), exif(**CANON))
    for form in ("llff", "transforms", "colmap"):
        FORMS[form](tmp_path, truth(), False)
        capture = open_capture(tmp_path)
        assert capture.cameras is not None and capture.cameras.names == ("1.jpg", "3.jpg", "4.jpg", "5.jpg")
        np.testing.assert_allclose(capture.cameras.views[1], truth().views[2], atol=1e-9)
        assert any("2.jpg (black)" in note for note in capture.notes)
        assert not any("more photos" in note for note in capture.notes)


def test_cameras_in_forms_that_are_not_read_are_named(tmp_path):
    photos(tmp_path / "images")
    (tmp_path / "scene.nvm").write_text("NVM_V3")
    (tmp_path / "images" / "1.xmp").write_text("<xcr:Position>1 2 3</xcr:Position>")
    (note,) = open_capture(tmp_path).notes
    assert "scene.nvm (of VisualSFM)" in note and "1.xmp" in note


@pytest.mark.parametrize(
    ("place", "whose"),
    [
        ("dense/sparse/0/cameras.bin", "COLMAP"),
        ("undistorted/transforms.json", "nerfstudio"),
        ("images/Transforms_0.JSON", "nerfstudio"),
        ("cameras.sfm", "Meshroom"),
        ("export/blocks.xml", "ContextCapture"),
        ("my_omega_phi_kappa.txt", "Metashape"),
        ("database.db", "without a model"),
        ("run/transforms.json", None),  # beside a config.json: a run of ours
        ("exports/colmap/sparse/0/cameras.bin", "COLMAP"),
        ("export/cams/00000001_cam.txt", "MVSNet"),
        ("a/b/c/d/e/transforms.json", None),  # too deep
    ],
)
def test_cameras_in_other_places_are_named(tmp_path, place, whose):
    photos(tmp_path / "images")
    for path in (tmp_path / place, tmp_path / "run" / "config.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    notes = [note for note in open_capture(tmp_path).notes if note.startswith("Not read")]
    assert notes == [] if whose is None else place in notes[0] and whose in notes[0]


def test_a_file_of_cameras_is_found_in_upper_case(tmp_path):
    photos(tmp_path / "images")
    as_transforms(tmp_path, truth(), False, "Transforms.JSON")
    assert open_capture(tmp_path).cameras is not None


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ({"camera_convention": "opencv"}, "OpenGL"),
        ({"transform_type": "w2c"}, "camera-to-world"),
        ({"coordinate_system": "OpenGL"}, None),
        ({"distortion_params": [0.1, 0.01, 0, 0]}, "distortion_params is not read"),
        ({"distortion_params": [0, 0, 0, 0]}, None),
        ({"w2c": [[1, 0, 0, 0]]}, "w2c is not read"),
        ({"applied_scale": 2.0, "aabb_scale": 16}, None),
        ({"dist": [0.1, 0.2, 0, 0]}, "dist is not read"),
        ({"radial_distortion": [0.1]}, "radial_distortion is not read"),
        ({"fx": 300.0}, "fx is not read"),
        ({"K": [[280, 0, 50], [0, 280, 33], [0, 0, 1]]}, None),  # what fl_x, cx and cy say already
        ({"K": [[290, 0, 50], [0, 290, 33], [0, 0, 1]]}, "K is not read"),
        ({"camera_model": "opencv"}, None),
    ],
)
def test_entries_that_would_change_the_cameras_are_not_passed_over(tmp_path, entry, word):
    photos(tmp_path / "images")
    as_transforms(tmp_path, truth(), False)
    data = json.loads((tmp_path / "transforms.json").read_text())
    for where in (data, data["frames"][2]):
        before = dict(where)
        where.update(entry)
        (tmp_path / "transforms.json").write_text(json.dumps(data))
        if word is None:
            assert not any("not read" in note for note in open_capture(tmp_path).notes)
        else:
            with pytest.raises(MacrosplatError, match=word):
                open_capture(tmp_path)
        where.clear()
        where.update(before)
    data["frames"][0]["my_own_word"] = 3
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    assert "transforms.json has entries that are not read: my_own_word." in open_capture(tmp_path).notes


@pytest.mark.parametrize(
    ("files", "change"),
    [
        (["left/1.jpg", "left/2.jpg", "right/1.jpg", "right/2.jpg"], lambda name: name),
        (["train/r_0.jpg", "val/r_1.jpg", "test/r_2.jpg"], lambda name: name),
        (
            ["images/Ka\u0308fer_0.jpg", "images/Ka\u0308fer_1.jpg", "images/Ka\u0308fer_2.jpg"],
            lambda name: name.replace("a\u0308", "ä"),
        ),
        (["images/A.JPG", "images/B.JPG", "images/C.JPG"], str.lower),
        (["images/a.jpg", "images/b.jpg", "images/c.jpg"], lambda name: name[:-3] + "png"),
        (["images/a.jpg", "images/b.jpg", "images/c.jpg"], lambda name: "C:\\shots\\" + name.replace("/", "\\")),
        (["photos/a.jpg", "photos/b.jpg", "photos/c.jpg"], lambda name: "/home/me/data/" + name),
        (["photos/a 1.jpg", "photos/a 2.jpg", "photos/a 3.jpg"], lambda name: name.replace(" ", "%20")),
        (["images/l/1.jpg", "images/l/2.jpg", "images/r/1.jpg"], lambda name: "D:\\cap\\imgs" + name[6:]),
        (["photos/a.webp", "photos/b.bmp", "photos/c.avif"], lambda name: name[: name.index(".")] + ".jpg"),
    ],
)
def test_photos_are_found_under_names_like_these(tmp_path, files, change):
    for n, name in enumerate(files):
        save(tmp_path / name, texture(48, 32, n), exif(**CANON))
    cameras = make_cameras(len(files), 48, 32)
    cameras = Cameras(tuple(map(change, files)), cameras.views, cameras.intrinsics, cameras.sizes, "transforms")
    write_transforms(tmp_path / "transforms.json", cameras)
    found = open_capture(tmp_path).cameras
    assert found is not None and len(found) == len(files)
    order = sorted(range(len(files)), key=lambda n: files[n])
    np.testing.assert_allclose(found.views, cameras.views[order], atol=1e-9)


@pytest.mark.parametrize("folders", [["Images"], ["input"], ["images_2", "images_4"], ["pose0", "pose1", "pose2"]])
def test_photos_in_folders_of_any_name_are_found(tmp_path, folders):
    for folder in folders:
        size = (24, 16) if folder == "images_4" else (48, 32)
        seed = 10 * folders.index(folder) if folder.startswith("pose") else 0  # the others hold the same photos
        make_photos(tmp_path / folder, 3, *size, seed=seed)
    capture = open_capture(tmp_path, brackets=False)
    assert len(capture.photos) == (9 if len(folders) == 3 else 3)
    assert all(photo.width == 48 for photo in capture.photos)
    said = [note for note in capture.notes if "in its folders were taken" in note]
    assert bool(said) is (folders[0].lower() not in ("images", "input"))


def test_pixels_that_are_no_squares_are_refused(tmp_path):
    photos(tmp_path / "images")
    as_transforms(tmp_path, truth(), False)
    data = json.loads((tmp_path / "transforms.json").read_text())
    (tmp_path / "transforms.json").write_text(json.dumps(data | {"fl_y": 140.0}))
    with pytest.raises(MacrosplatError, match="pixels are squares"):
        open_capture(tmp_path)


def in_lines(change):
    """RealityCapture's file, changed line by line."""

    def write(root, cameras):
        as_reality(root, cameras, False)
        lines = (root / "cameras.csv").read_text().splitlines()
        (root / "cameras.csv").write_bytes(change(lines))

    return write


def moved(form, to):
    def write(root, cameras):
        FORMS[form](root, cameras, False)
        (root / to).parent.mkdir(exist_ok=True)
        next(one for one in root.iterdir() if one.suffix in (".xml", ".csv")).rename(root / to)

    return write


@pytest.mark.parametrize(
    "write",
    [
        in_lines(lambda lines: "\n".join(["#cameras 5", *lines]).encode()),
        moved("reality-capture", "CAMERAS.CSV"),
        moved("metashape", "Cameras.XML"),
    ],
)
def test_cameras_are_read_in_variants_of_their_form(tmp_path, write):
    photos(tmp_path / "images")
    write(tmp_path, truth())
    cameras = open_capture(tmp_path).cameras
    assert cameras is not None
    np.testing.assert_allclose(cameras.views, truth().views, atol=1e-9)


def of_each(root, cameras):
    (root / "pose").mkdir()
    for name, pose in zip(cameras.names, cameras.views, strict=True):
        (root / "pose" / f"{name[:-4]}.txt").write_text(" ".join(map(str, pose.ravel())))


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (in_lines(lambda lines: "\n".join(lines).replace(",", ";").encode()), "cameras.csv"),
        (in_lines(lambda lines: "\n".join(lines).encode("utf-16")), "cameras.csv"),
        (moved("reality-capture", "images/c.csv"), "images/c.csv (of RealityCapture)"),
        (moved("metashape", "export/c.xml"), "export/c.xml (of Metashape)"),
        (lambda root, cameras: as_transforms(root, cameras, False, "nerf.json"), "nerf.json"),
        (of_each, "pose/1.txt"),
    ],
)
def test_files_that_go_with_the_photos_are_named(tmp_path, write, name):
    """Whatever they are called: what names the photos, or is called as each of them, may hold their cameras."""
    photos(tmp_path / "images")
    for n in range(1, COUNT + 1):  # what goes with photos everywhere
        (tmp_path / "images" / f"{n}.xmp").write_text("<crs:CropTop>0.1 2 3 4 5 6 7</crs:CropTop>")
        (tmp_path / "images" / f"{n}.jpg.json").write_text('{"title": "1.jpg", "timestamp": "1 2 3 4 5 6 7 8"}')
    assert open_capture(tmp_path).notes == ()
    write(tmp_path, truth())
    capture = open_capture(tmp_path)
    assert capture.cameras is None and any(name in note for note in capture.notes)


def test_a_model_in_text_without_lines_of_points_is_refused(tmp_path):
    """Else each second image would be read as the points of the one before it."""
    photos(tmp_path / "images")
    model = tmp_path / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text(f"1 PINHOLE {WIDTH} {HEIGHT} 280 280 48 36\n")
    images = [f"{n} 1 0 0 0 {n} 0 0 1 {n}.jpg" for n in range(1, COUNT + 1)]
    (model / "images.txt").write_text("\n\n".join([*images, ""]))
    assert open_capture(tmp_path).cameras is not None
    (model / "images.txt").write_text("\n".join(images))
    with pytest.raises(MacrosplatError, match=r"no line of points after that of 1\.jpg"):
        open_capture(tmp_path)


def test_a_photo_that_may_be_cropped_is_named(tmp_path):
    """It has the shape of the others, and another size: a copy that was resized, or a part."""
    photos(tmp_path / "images")
    as_transforms(tmp_path, truth(), False)
    assert open_capture(tmp_path).notes == ()
    save(tmp_path / "images" / "3.jpg", texture(WIDTH, HEIGHT, 3)[9:63, 12:84], exif(**CANON))
    assert any("another factor than the others" in note and "3.jpg;" in note for note in open_capture(tmp_path).notes)
