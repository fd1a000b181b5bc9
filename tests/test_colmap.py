"""COLMAP models: what pycolmap wrote is read, what we write pycolmap reads, lenses and sizes included."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from macrosplat.cameras.colmap import load_model, read_colmap, write_colmap
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.capture.open import open_capture
from macrosplat.photos.find import find_photos
from macrosplat.support.errors import MacrosplatError
from making_captures import make_cameras
from making_photos import make_photos

LENSES = {
    "SIMPLE_PINHOLE": (60.0, 25.0, 15.0),
    "PINHOLE": (60.0, 65.0, 25.0, 15.0),
    "SIMPLE_RADIAL": (60.0, 25.0, 15.0, 0.3),
    "OPENCV": (60.0, 65.0, 25.0, 15.0, -0.2, 0.1, 0.01, 0.005),
    "OPENCV_FISHEYE": (40.0, 42.0, 25.0, 15.0, 0.05, 0.0, 0.0, 0.0),
}


def make_model(folder, model="PINHOLE", names=("1.jpg", "2.jpg", "3.jpg", "4.jpg"), scale=1, text=False):
    """Four cameras in a row looking along +z at six points, as pycolmap writes it; the points."""
    made = pycolmap.Reconstruction()
    camera = pycolmap.Camera(model=model, width=48, height=32, params=list(LENSES[model]), camera_id=1)
    camera.rescale(48 * scale, 32 * scale)
    made.add_camera_with_trivial_rig(camera)
    xyz = np.random.default_rng(0).uniform([-0.7, -0.5, 3], [0.7, 0.5, 4], (6, 3))
    poses = [np.array([[1, 0, 0, 0.1 * n], [0, 1, 0, 0], [0, 0, 1, 0.2]]) for n in range(len(names))]
    for n, name in enumerate(names):
        px = camera.img_from_cam(xyz @ poses[n][:, :3].T + poses[n][:, 3])
        px = np.vstack([[[1.0, 1.0]], px])  # a feature that no point is of
        image = pycolmap.Image(name=name, keypoints=px, camera_id=1, image_id=n + 1)
        made.add_image_with_trivial_frame(image, pycolmap.Rigid3d(poses[n]))
    for p in range(6):
        track = pycolmap.Track(elements=[pycolmap.TrackElement(n + 1, p + 1) for n in range(len(names))])
        made.add_point3D(xyz[p], track, np.array([p, 10, 20], np.uint8))
    folder.mkdir(parents=True)
    made.write_text(str(folder)) if text else made.write_binary(str(folder))
    return xyz


def reprojected(cameras: Cameras, points: SparsePoints):
    """[O, 2] where the pinhole cameras see the points: the plain formula."""
    views = cameras.views[points.photo]
    local = np.einsum("oij,oj->oi", views[:, :3, :3], points.xyz[points.point]) + views[:, :3, 3]
    k = cameras.intrinsics[points.photo]
    return local[:, :2] / local[:, 2:] * k[:, :2] + k[:, 2:]


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("model", LENSES)
def test_observations_are_where_the_cameras_see_the_points(tmp_path, model, scale, text):
    """Through any lens, and from originals four times as large: what is read is a pinhole's view."""
    make_photos(tmp_path / "photos", 4)
    xyz = make_model(tmp_path / "sparse" / "0", model, scale=scale, text=text)
    photos, cameras, points, notes = read_colmap(tmp_path / "sparse" / "0", find_photos(tmp_path).photos)
    assert len(points) == 6 and len(points.px) == 24
    np.testing.assert_allclose(points.xyz, xyz, rtol=1e-12)
    assert points.rgb[:, 0].tolist() == list(range(6))
    np.testing.assert_allclose(points.px, reprojected(cameras, points), atol=1e-6)
    np.testing.assert_allclose(cameras.centres[3], [-0.3, 0, -0.2], atol=1e-12)
    assert cameras.sizes[0].tolist() == [48, 32]
    assert ("rescaled" in "".join(notes)) is (scale > 1)
    assert (cameras.distortion[0] is None) is (model in ("PINHOLE", "SIMPLE_PINHOLE"))
    assert tuple(photo.name for photo in photos) == cameras.names


@pytest.mark.parametrize("model", LENSES)
def test_written_is_read(tmp_path, model):
    make_photos(tmp_path / "photos", 4)
    make_model(tmp_path / "sparse" / "0", model)
    found = find_photos(tmp_path).photos
    _, cameras, points, _ = read_colmap(tmp_path / "sparse" / "0", found)
    for _ in range(2):  # the second time it replaces the first
        write_colmap(tmp_path / "out" / "sparse", cameras, points)
    _, again, seen, _ = read_colmap(tmp_path / "out" / "sparse", found, upright=True)
    assert again.distortion == cameras.distortion
    for name in ("views", "intrinsics", "sizes"):
        np.testing.assert_allclose(getattr(again, name), getattr(cameras, name), rtol=1e-12, atol=1e-12)
    for name in ("xyz", "rgb", "point", "photo", "px"):
        np.testing.assert_allclose(getattr(seen, name), getattr(points, name), rtol=1e-9)
    assert pycolmap.Reconstruction(str(tmp_path / "out" / "sparse")).compute_mean_reprojection_error() < 1e-6
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["sparse"]


@pytest.mark.parametrize("text", [True, False])
def test_cameras_alone(tmp_path, text):
    """Poses without points, as other programs deliver them: the file of points may be missing."""
    make_photos(tmp_path / "photos", 4)
    found = find_photos(tmp_path).photos
    make_model(tmp_path / "full")
    _, cameras, _, _ = read_colmap(tmp_path / "full", found)
    folder = tmp_path / "sparse"
    write_colmap(folder, cameras)
    if text:
        model = pycolmap.Reconstruction(str(folder))
        for file in folder.iterdir():
            file.unlink()
        model.write_text(str(folder))
    next(folder.glob("points3D.*")).unlink()
    _, again, points, _ = read_colmap(folder, found)
    np.testing.assert_allclose(again.views, cameras.views, atol=1e-12)
    assert (len(points), points.rgb.shape, points.px.shape) == (0, (0, 3), (0, 2))


@pytest.mark.parametrize(
    "names", [("1.JPG", "2.JPG"), ("raw/1.tif", "raw/2.tif"), ("photos\\1.jpg", "photos\\2.jpg"), ("1.png", "2.png")]
)
def test_likely_names_match(tmp_path, names):
    make_photos(tmp_path / "photos", 3)
    make_model(tmp_path / "sparse", names=(*names, "9.jpg", "8.jpg"))
    photos, cameras, points, notes = read_colmap(tmp_path / "sparse", find_photos(tmp_path).photos)
    assert cameras.names == ("1.jpg", "2.jpg") == tuple(p.name for p in photos)
    assert "3.jpg" in notes[0] and "2 more photos" in notes[1]
    assert set(points.photo) == {0, 1}


def test_ambiguous_names_do_not_match(tmp_path):
    make_photos(tmp_path / "photos", 2)
    make_model(tmp_path / "sparse", names=("a/1.png", "b/1.png", "d/2.png", "c/2.png"))
    with pytest.raises(MacrosplatError, match="by name"):
        read_colmap(tmp_path / "sparse", find_photos(tmp_path).photos)


@pytest.mark.parametrize(
    ("size", "names", "word"), [((48, 32), ("x.jpg", "y.jpg"), "x.jpg, y.jpg"), ((32, 48), ("1.jpg",), "32 x 48")]
)
def test_model_of_another_folder(tmp_path, size, names, word):
    make_photos(tmp_path / "photos", 3, *size)
    make_model(tmp_path / "sparse", names=names)
    with pytest.raises(MacrosplatError, match=word) as caught:
        read_colmap(tmp_path / "sparse", find_photos(tmp_path).photos)
    assert "\n" not in str(caught.value) and str(tmp_path / "sparse") in str(caught.value)


@pytest.mark.parametrize("text", [True, False])
def test_damaged_model(tmp_path, text):
    make_photos(tmp_path / "photos", 3)
    make_model(tmp_path / "sparse", text=text)
    cameras = tmp_path / "sparse" / ("cameras.txt" if text else "cameras.bin")
    cameras.write_bytes(b"1 NO_SUCH_LENS 3\n" if text else b"\xff" * 20)
    with pytest.raises(MacrosplatError, match="cannot be read as a"):
        read_colmap(tmp_path / "sparse", find_photos(tmp_path).photos)


@pytest.mark.parametrize("name", ["cameras", "images", "points3D", "rigs", "frames"])
def test_no_count_is_taken_for_granted(tmp_path, name):
    """COLMAP reads as many rigs as a file promises, though it ended long ago."""
    write_colmap(tmp_path, make_cameras(4))
    model = pycolmap.Reconstruction(str(tmp_path))
    for n in (7, 8, 9):
        camera = pycolmap.Camera.create_from_model_name(n, "PINHOLE", 100.0, 96, 72)
        model.add_camera(camera)
    rig = pycolmap.Rig(rig_id=7)
    rig.add_ref_sensor(model.cameras[7].sensor_id)
    rig.add_sensor(model.cameras[8].sensor_id, pycolmap.Rigid3d())
    rig.add_sensor(model.cameras[9].sensor_id, None)
    model.add_rig(rig)
    model.write_binary(str(tmp_path))
    assert len(load_model(tmp_path).cameras) == len(model.cameras)
    path = tmp_path / f"{name}.bin"
    for count in (2**63, 10**7):
        path.write_bytes(count.to_bytes(8, "little") + path.read_bytes()[8:])
        with pytest.raises(MacrosplatError, match=rf"{name}\.bin cannot be read"):
            load_model(tmp_path)


def test_unwritable(tmp_path):
    (tmp_path / "file").touch()
    cameras = Cameras(("1.jpg",), np.eye(4)[None], np.full((1, 4), 10.0), np.array([[20, 20]]), "sfm")
    with pytest.raises(MacrosplatError, match="cannot be written"):
        write_colmap(tmp_path / "file" / "sparse", cameras)


def test_a_disk_that_became_full_is_said(tmp_path, monkeypatch):
    """COLMAP writes what fits, and says nothing."""

    def write(model, folder):
        whole(model, folder)
        path = Path(folder) / "images.bin"
        path.write_bytes(path.read_bytes()[:50])

    whole = pycolmap.Reconstruction.write_binary
    monkeypatch.setattr(pycolmap.Reconstruction, "write_binary", write)
    with pytest.raises(MacrosplatError, match="the disk is full"):
        write_colmap(tmp_path / "sparse" / "0", make_cameras(4))
    assert not (tmp_path / "sparse" / "0").exists()


def test_a_model_without_its_cameras_is_refused(tmp_path):
    make_photos(tmp_path / "photos", 4)
    write_colmap(tmp_path / "sparse" / "0", make_cameras(4))
    (tmp_path / "sparse" / "0" / "cameras.bin").unlink()
    with pytest.raises(MacrosplatError, match=r"images\.bin is there and cameras\.bin is not"):
        open_capture(tmp_path)
