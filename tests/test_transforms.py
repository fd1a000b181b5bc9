"""transforms.json against cameras known in closed form, and every way in which it can be wrong."""

import json
import math

import numpy as np
import pytest

from macrosplat.cameras.transforms import read_cameras_file, read_transforms, write_transforms
from macrosplat.cameras.undistort import colmap_camera
from macrosplat.photos.find import find_photos
from macrosplat.support.errors import MacrosplatError
from making_photos import make_photos, save, texture

# A camera 10 in front of the origin on +z, looking at it: OpenGL cameras look along -z, so it is not turned.
FRONT = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 10], [0, 0, 0, 1]]


def frame(name, matrix=FRONT, **more):
    return {"file_path": f"photos/{name}", "transform_matrix": matrix, **more}


@pytest.fixture
def capture(tmp_path):
    """Four photos of 48 x 32, and a function that writes the json and reads it."""
    make_photos(tmp_path / "photos", 4)

    def read(data=None, frames=None, text=None, **top):
        top = {"fl_x": 100.0, "w": 48, "h": 32} | top
        frames = [frame(f"{n}.jpg") for n in range(1, 5)] if frames is None else frames
        path = tmp_path / "transforms.json"
        path.write_text(text if text is not None else json.dumps(data or {**top, "frames": frames}))
        given = read_transforms(path, find_photos(tmp_path).photos)
        return given.photos, given.cameras, given.notes

    return read


def test_projection(capture):
    """A point right of and above the origin is seen right of and above the centre, at depth 10 - z."""
    _, cameras, notes = capture(fl_y=120.0, cx=20.0)
    x, y, z, _ = cameras.views[0] @ [1.0, 2.0, 3.0, 1.0]
    fx, fy, cx, cy = cameras.intrinsics[0]
    assert (z, fx * x / z + cx, fy * y / z + cy) == pytest.approx((7, 100 / 7 + 20, -240 / 7 + 16))
    np.testing.assert_allclose(cameras.centres[0], [0, 0, 10], atol=1e-12)
    assert (cameras.source, notes) == ("transforms", ())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_json_as_editors_and_shells_of_windows_write_it(encoding, tmp_path, capture):
    _, cameras, _ = capture()
    path = tmp_path / "transforms.json"
    path.write_bytes(path.read_text().encode(encoding))
    again = read_transforms(path, find_photos(tmp_path).photos).cameras
    np.testing.assert_array_equal(again.views, cameras.views)


def test_intrinsics(capture):
    """Defaults, the angle of view, the size of the photo where none stands, and a frame's own before the file's."""
    _, cameras, _ = capture()
    assert cameras.intrinsics[0].tolist() == [100, 100, 24, 16]
    angle = 2 * math.atan(0.5)
    _, cameras, _ = capture({"camera_angle_x": angle, "frames": [frame("1.jpg"), frame("2"), frame("3.jpg", fl_x=90)]})
    assert cameras.intrinsics[:, 0].tolist() == pytest.approx([48, 48, 90])
    assert cameras.names == ("1.jpg", "2.jpg", "3.jpg")


def test_order_suffixes_and_unnamed(capture):
    """Frames may come in any order and without suffix; a photo that no frame names is left out, and said."""
    moved = np.array(FRONT, float)
    moved[0, 3] = 5
    photos, cameras, notes = capture(frames=[frame("./3", moved.tolist()), frame("../photos/1.jpg"), frame("2.jpg")])
    assert cameras.names == ("1.jpg", "2.jpg", "3.jpg") == tuple(p.name for p in photos)
    assert cameras.centres[2].tolist() == [5, 0, 10]
    assert len(notes) == 1 and "4.jpg" in notes[0]


def test_other_size_is_rescaled(capture):
    _, cameras, notes = capture(w=480, h=320, fl_x=1000.0, cx=250.0)
    assert cameras.intrinsics[0].tolist() == pytest.approx([100, 100, 25, 16])
    assert cameras.sizes[0].tolist() == [48, 32]
    assert "rescaled" in notes[0]


def test_distortion(capture):
    """OpenCV's numbers, in OpenCV's order; the pinhole keeps the principal point."""
    _, cameras, _ = capture(k1=0.2, k2=0.1, p1=0.01, p2=0.02, w=96, h=64, fl_x=200.0)
    distortion = cameras.distortion[0]
    assert distortion is not None and (distortion.model, distortion.width) == ("OPENCV", 48)
    x, y = 0.1, -0.05
    r2 = x * x + y * y
    radial = 1 + 0.2 * r2 + 0.1 * r2 * r2
    expected = [
        100 * (x * radial + 2 * 0.01 * x * y + 0.02 * (r2 + 2 * x * x)) + 24,
        100 * (y * radial + 0.01 * (r2 + 2 * y * y) + 2 * 0.02 * x * y) + 16,
    ]
    np.testing.assert_allclose(colmap_camera(distortion).img_from_cam(np.array([[x, y, 1.0]]))[0], expected, rtol=1e-9)
    assert cameras.intrinsics[0, 2:].tolist() == [24, 16]
    assert cameras.intrinsics[0, 0] > 100
    for fisheye in ({"camera_model": "OPENCV_FISHEYE"}, {"is_fisheye": True}):
        _, cameras, _ = capture(**fisheye, k1=0.01, k4=0.001)
        assert cameras.distortion[0].model == "OPENCV_FISHEYE"
        assert cameras.distortion[0].params[4:] == (0.01, 0, 0, 0.001)
    assert capture(k3=0.1)[1].distortion[0].model == "FULL_OPENCV"
    assert capture(k1=0.0)[1].distortion[0] is None


def matrix(change):
    pose = np.array(FRONT, dtype=float)
    change(pose)
    return pose.tolist()


def set_at(*index, value):
    return matrix(lambda pose: pose.__setitem__(index, value))


BAD_FRAMES = {
    "nan": (frame("2.jpg", set_at(0, 3, value=math.nan)), "NaN"),
    "infinity": (frame("2.jpg", set_at(0, 3, value=math.inf)), "NaN"),
    "scaled": (frame("2.jpg", (np.diag([2.0, 2, 2, 1])).tolist()), "rotation"),
    "mirrored": (frame("2.jpg", (np.diag([1.0, 1, -1, 1])).tolist()), "mirrors"),
    "sheared": (frame("2.jpg", set_at(0, 1, value=0.1)), "shears"),
    "projective": (frame("2.jpg", set_at(3, 0, value=0.1)), "rotation"),
    "no matrix": ({"file_path": "photos/2.jpg"}, "no `transform_matrix`"),
    "words": (frame("2.jpg", "identity"), "transform_matrix: expected a list, got text"),
    "words in it": (frame("2.jpg", [["a"] * 4] * 4), "expected a number, got text"),
    "400 digits": (frame("2.jpg", [[int("9" * 400)] * 4] * 4), "infinity"),
    "equirectangular": (frame("2.jpg", camera_model="EQUIRECTANGULAR"), "EQUIRECTANGULAR"),
    "rolling shutter": (frame("2.jpg", rolling_shutter=[0.1, 0, 0]), "rolling_shutter is not read"),
    "thin prism": (frame("2.jpg", s1=0.01), "s1 is not read"),
    "ragged": (frame("2.jpg", [[1, 2], [3]]), "4 x 4"),
    "missing photo": (frame("9.jpg"), "missing"),
    "twice": (frame("1.jpg"), "second"),
    "nan focal": (frame("2.jpg", fl_x=math.nan), "fl_x"),
    "focal in words": (frame("2.jpg", fl_x="100"), "fl_x"),
    "negative focal": (frame("2.jpg", fl_x=-100), "above 0"),
    "turned": (frame("2.jpg", w=32, h=48), "32 x 48"),
    "unknown lens": (frame("2.jpg", camera_model="FOV", k1=0.1), "FOV"),
    "no name": ({"transform_matrix": FRONT}, "file_path"),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_bad_frame(capture, kind):
    """One sentence that names the file, the frame, and what is wrong."""
    bad, word = BAD_FRAMES[kind]
    with pytest.raises(MacrosplatError, match=word) as caught:
        capture(frames=[frame("1.jpg"), bad, frame("3.jpg")])
    message = str(caught.value)
    assert "transforms.json, frame 1" in message and "\n" not in message


def test_missing_photos_are_counted(capture):
    with pytest.raises(
        MacrosplatError, match=r"frame 1 .* names a photo, as 2 more do, that is missing: .*7\.jpg; put"
    ):
        capture(frames=[frame(f"{n}.jpg") for n in (1, 7, 2, 8, 9)])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not JSON"),
        ("{'frames'}", "not JSON"),
        ("\xff\xfe", "not JSON|frames"),
        ("[1]", "frames"),
        ('{"frames": []}', "frames"),
        ('{"frames": [3]}', "file_path"),
        ("[" * 100000 + "]" * 100000, "nested"),
        (json.dumps({"w": int("9" * 400), "fl_x": 1, "frames": [frame("1.jpg")]}), "w is inf"),
        (json.dumps({"frames": [frame("1.jpg")]}), "no intrinsics"),
        (json.dumps({"camera_angle_x": 40, "frames": [frame("1.jpg")]}), "camera_angle of 40 is none; .* radians"),
    ],
)
def test_bad_file(capture, text, word):
    with pytest.raises(MacrosplatError, match=word) as caught:
        capture(text=text)
    assert "transforms.json" in str(caught.value)


def test_rounded_digits_are_made_rigid(capture):
    """Four digits pass, and come out as a true rotation."""
    c, s = round(math.cos(0.3), 4), round(math.sin(0.3), 4)
    turned = [[c, -s, 0, 1], [s, c, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    _, cameras, _ = capture(frames=[frame("1.jpg", turned)])
    rotation = cameras.views[0, :3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(cameras.centres[0], [1, 2, 3], atol=1e-12)


@pytest.mark.parametrize("shared", [True, False])
def test_written_is_read(tmp_path, capture, shared):
    frames = [frame(f"{n}.jpg", fl_x=100.0 + (0 if shared else n)) for n in range(1, 5)]
    _, cameras, _ = capture(frames=frames)
    write_transforms(tmp_path / "out" / "t.json", cameras, {"unit": "mm"}, folder="photos")
    data = json.loads((tmp_path / "out" / "t.json").read_text())
    assert data["unit"] == "mm" and ("fl_x" in data) is shared
    assert data["frames"][0]["file_path"] == "photos/1.jpg"
    again = read_cameras_file(tmp_path / "out" / "t.json")
    assert again.names == tuple(f"photos/{n}.jpg" for n in range(1, 5))
    np.testing.assert_allclose(again.views, cameras.views, atol=1e-14)
    assert (again.intrinsics == cameras.intrinsics).all() and (again.sizes == cameras.sizes).all()


def test_cameras_file_needs_a_size(tmp_path):
    path = tmp_path / "novel.json"
    path.write_text(json.dumps({"fl_x": 10, "frames": [frame("1.jpg")]}))
    with pytest.raises(MacrosplatError, match="w and h"):
        read_cameras_file(path)
    with pytest.raises(MacrosplatError, match="cannot be read"):
        read_cameras_file(tmp_path / "none.json")


@pytest.mark.parametrize("model", [{"camera_model": "OPENCV_FISHEYE"}, {"camera_model": "ODD"}, {"is_fisheye": True}])
def test_what_is_no_pinhole_is_not_rendered_as_one(tmp_path, model):
    path = tmp_path / "novel.json"
    path.write_text(json.dumps({"fl_x": 10, "w": 20, "h": 20, **model, "frames": [frame("1.jpg")]}))
    with pytest.raises(MacrosplatError, match="is not rendered, only pinholes are"):
        read_cameras_file(path)


def test_damaged_photo_is_not_missing(tmp_path, capture):
    (tmp_path / "photos/2.jpg").write_bytes(b"x")
    found = find_photos(tmp_path)
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps({"fl_x": 100, "frames": [frame(f"{n}.jpg") for n in (1, 2, 3)]}))
    save(tmp_path / "photos/5.jpg", texture(48, 32))
    cameras = read_transforms(path, found.photos, [found.folder / name for name in found.damaged]).cameras
    assert cameras.names == ("1.jpg", "3.jpg")
