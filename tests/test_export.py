"""`macrosplat export` of a run whose scene is known, format by format, read back by other programs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import gsply
import imageio_ffmpeg
import numpy as np
import pycolmap
import pytest
import torch
import trimesh
from PIL import Image
from plyfile import PlyData

from macrosplat import cli
from macrosplat.cameras.colmap import write_colmap
from macrosplat.cameras.transforms import read_cameras_file
from macrosplat.capture.open import open_capture
from macrosplat.export import Shape, export, video
from macrosplat.export.focus_pull import FocusPull
from macrosplat.export.refocus import load_refocus
from macrosplat.lens import Sampling
from macrosplat.manifest import Figures
from macrosplat.model.backdrop import Backdrop
from macrosplat.output.lens_report import LensReport, write_lens
from macrosplat.output.sharp import write_sharp
from macrosplat.output.viewer_fit import start_for_viewers
from macrosplat.photos.decode import decode
from macrosplat.render import render
from macrosplat.run import Run
from macrosplat.scene import Gaussians
from macrosplat.scene.formats.ply import read_ply, write_ply
from macrosplat.scene.formats.read import read_scene
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.progress import Progress
from macrosplat.train import checkpoint
from making_captures import BACKGROUND, PUPIL, pinhole_of
from making_photos import ADOBE_RGB, CANON, exif, icc_profile, save
from making_runs import begun
from making_training import PIXEL, made, make_trainer

UNIT_MM = 2.0


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """RUN as `reconstruct` would leave it, had it found the truth; with harmonics, which formats treat differently."""
    root, truth = tmp_path_factory.mktemp("run"), made()
    make = torch.Generator().manual_seed(1)
    scene = truth.scene.with_(sh_rest=0.1 * (torch.rand(len(truth.scene), 8, 3, generator=make) - 0.5))
    trainer, start = make_trainer(10, scene=scene)
    trainer.model.backdrop = Backdrop(torch.full_like(trainer.model.backdrop.grids, BACKGROUND))
    names = truth.cameras.names
    checkpoint.save(root / "checkpoint", trainer, names, start)
    record = begun(root, names)
    write_colmap(root / "sparse" / "0", truth.cameras, truth.points)
    write_ply(root / "scene.ply", start_for_viewers(scene))
    # One photo with a wide profile, one of 16 bits, the others as usual.
    wide = save(root / "wide.jpg", truth.sharp[0], exif(6, **CANON), icc_profile=icc_profile(563 / 256, ADOBE_RGB))
    for n, name in enumerate(names):
        photo, kind = (wide if n == 0 else None), ("tiff" if n == 1 else "png")
        write_sharp(record, name, truth.sharp[n] / 255, photo, kind)
    focus = dict(zip(names, truth.focus, strict=True))
    record.write_cameras(truth.cameras)
    write_lens(record, LensReport(PUPIL, focus, 0.3, 280.0, mm_per_unit=UNIT_MM))
    return root


def drawn(scene: Gaussians, half_turn: bool = False) -> np.ndarray:
    """[2, H, W, 3] as viewers draw it; `half_turn`: of files whose y and z point the other way."""
    state, out = made().cameras, []
    for n in (0, 3):
        view = torch.tensor(state.views[n], dtype=torch.float32)
        if half_turn:
            view = view @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
        with torch.no_grad():
            out.append(render(scene, pinhole_of(state, n).at(view)).over(torch.full((3,), 0.5))[0].clamp(0, 1).numpy())
    return np.stack(out)


def of_gsply(data) -> Gaussians:
    def tensor(values) -> torch.Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.float32)

    return Gaussians(*(tensor(v) for v in (data.means, data.scales, data.quats, data.opacities, data.sh0, data.shN)))


def test_splat_formats_show_one_picture(run: Path, tmp_path: Path) -> None:
    """By an independent reader where there is one; within 1 % of the mean colour, as our own render of scene.ply."""
    wanted = drawn(read_ply(run / "scene.ply").as_tensors())
    ply = gsply.plyread(export(run, "ply", tmp_path / "a.ply"))
    spz = gsply.read_spz(export(run, "spz", tmp_path / "a.spz"))
    splat = read_scene(export(run, "splat", tmp_path / "a.splat")).as_tensors()
    found = {"ply": drawn(of_gsply(ply)), "spz": drawn(of_gsply(spz), half_turn=True), "splat": drawn(splat)}
    for name, picture in found.items():
        assert np.abs(picture.mean((1, 2)) - wanted.mean((1, 2))).max() < 0.01, name
        assert np.abs(picture - wanted).mean() < (0.02 if name == "splat" else 0.01), name
    np.testing.assert_allclose(found["ply"], wanted, atol=1e-5)


def test_points_are_the_surface_in_the_photos_colours_with_normals(run: Path, tmp_path: Path) -> None:
    read = PlyData.read(str(export(run, "points", tmp_path / "a.ply")))["vertex"]
    found, truth = np.stack([read[c] for c in "xyz"], 1) / UNIT_MM, made().scene.means.numpy()
    off = np.abs(found[:, None] - truth[None]).max(2)
    order = off.argmin(1)
    # The spots are opaque and hide each other here and there: nearly all of them are seen.
    assert off.min(1).max() < 1e-5 and len(set(order)) == len(found) > 0.8 * len(truth)
    plain = 255 * (0.5 + 0.28209479 * start_for_viewers(made().scene).sh0.numpy())
    rgb = np.stack([read[c] for c in ("red", "green", "blue")], 1)
    assert np.abs(rgb - plain.clip(0, 255)[order]).mean() < 12  # the harmonics are small
    normals = np.stack([read[c] for c in ("nx", "ny", "nz")], 1)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert (normals[:, 2] < 0.3).all()  # the cameras stand at negative z


def test_scenes_in_millimetres(run: Path, tmp_path: Path) -> None:
    plain, scaled = (read_ply(export(run, "ply", tmp_path / f"{mm}.ply", mm=mm)).as_tensors() for mm in (False, True))
    torch.testing.assert_close(scaled.means, UNIT_MM * plain.means)
    torch.testing.assert_close(scaled.log_scales.exp(), UNIT_MM * plain.log_scales.exp())


def test_a_folder_gets_a_file_of_the_usual_name(run: Path, tmp_path: Path) -> None:
    assert export(run, "ply", tmp_path) == tmp_path / "export.ply" and (tmp_path / "export.ply").is_file()


def test_a_run_s_own_scene_and_a_user_s_photo_stay(run: Path, tmp_path: Path) -> None:
    for name in ("scene.ply", "coverage.ply", "../" + run.name + "/scene.ply"):
        with pytest.raises(MacrosplatError, match="the run's own"):
            export(run, "points", run / name)
    (tmp_path / "001.jpg").write_text("a photo")
    with pytest.raises(MacrosplatError, match=r"001\.jpg"):
        export(run, "mesh", tmp_path / "001.obj", shape=Shape(texture=True))


def test_colmap_loads_in_pycolmap(run: Path, tmp_path: Path) -> None:
    out = export(run, "colmap", tmp_path / "colmap")
    model, cameras = pycolmap.Reconstruction(str(out / "sparse" / "0")), made().cameras
    assert model.num_reg_images() == len(cameras) and model.num_points3D() == len(made().points)
    assert model.compute_mean_reprojection_error() < 1e-3
    for image in model.images.values():
        n = [Path(name).stem for name in cameras.names].index(Path(image.name).stem)
        np.testing.assert_allclose(image.cam_from_world().matrix(), cameras.views[n, :3], atol=1e-9)
        with Image.open(out / "images" / image.name) as photo:
            assert photo.format == "PNG" and photo.size == (image.camera.width, image.camera.height)
            assert photo.info.get("icc_profile") is None
            off = np.abs(np.asarray(photo).astype(int) - made().sharp[n])
        assert off.max() <= (6 if n == 0 else 0)  # once through 8 bits of the wide profile
    with Image.open(out / "images" / "0.png") as photo:
        assert photo.getexif().get_ifd(0x8769)[0x829D] == 18


def test_nerfstudio_reads_back_the_same(run: Path, tmp_path: Path) -> None:
    out = export(run, "nerfstudio", tmp_path / "ns")
    found, cameras = open_capture(out), made().cameras
    assert found.cameras is not None and found.cameras.source == "transforms"
    np.testing.assert_allclose(found.cameras.views, cameras.views, atol=1e-9)
    np.testing.assert_allclose(found.cameras.intrinsics, cameras.intrinsics, atol=1e-9)
    assert np.array_equal(decode(found.photos[2].path), made().sharp[2])
    points = PlyData.read(str(out / "sparse_pc.ply"))["vertex"]
    ours, wanted = np.stack([points[c] for c in "xyz"], 1), made().points.xyz  # in any order
    np.testing.assert_allclose(ours[ours[:, 0].argsort()], wanted[wanted[:, 0].argsort()], atol=1e-6)


def test_an_unfinished_run_is_said(run: Path, tmp_path: Path) -> None:
    begun(tmp_path, made().cameras.names).write_cameras(made().cameras)
    with pytest.raises(MacrosplatError, match="not finished"):
        export(tmp_path, "colmap", tmp_path / "out")


def test_the_mesh_is_the_sheet_in_millimetres(run: Path, tmp_path: Path, capsys) -> None:
    assert cli.main(["export", str(run), "--format", "mesh", "--out", str(tmp_path / "a.ply")]) == 0
    assert "2 mm" in capsys.readouterr().err
    read = PlyData.read(str(tmp_path / "a.ply"))["vertex"]
    x, y, z = (np.asarray(read[c]) / UNIT_MM for c in "xyz")
    # Half a pixel of the bound is for having fewer triangles.
    off = np.abs(z - (0.7 * x + 0.1 * np.sin(5 * y))) / np.hypot(1, 0.7)
    assert np.median(off) < 1.5 * PIXEL and x.max() - x.min() > 1.8 and y.max() - y.min() > 1.2
    closed = trimesh.load_mesh(export(run, "mesh", tmp_path / "b.ply", shape=Shape(watertight=True)), process=False)
    assert closed.is_watertight and closed.body_count == 1
    with pytest.raises(MacrosplatError, match="exclude"):
        Shape(whole=True, watertight=True)
    with pytest.raises(MacrosplatError, match=r"a\.off"):
        export(run, "mesh", tmp_path / "a.off")
    bounds = UNIT_MM * np.array([[c.min() for c in (x, y, z)], [c.max() for c in (x, y, z)]])
    for kind, off in (("obj", 1e-3), ("stl", PIXEL * UNIT_MM)):  # STL has no colours, and fewer triangles
        same = trimesh.load_mesh(export(run, "mesh", tmp_path / f"a.{kind}"), process=True)
        np.testing.assert_allclose(same.bounds, bounds, rtol=0, atol=off)
        assert same.body_count == 1


def test_views_that_are_kept_and_moved_are_what_the_lens_takes(run: Path) -> None:
    with Progress() as progress:
        refocus = load_refocus(run, progress)
    camera = video.film_size(refocus.state.model.cameras()[0], (256, 144))
    near, far = refocus.depths(camera)
    pull = FocusPull(refocus, camera, near, far)
    for focus in (near, 0.3 * near + 0.7 * far, far):
        wanted = refocus.state.model.refocused(camera, refocus.pupil, focus, Sampling(16)).detach()
        off = (pull.picture(focus) - wanted).square().mean()
        assert -10 * torch.log10(off) > 45, "of what is blurred, and of what is in focus"


@pytest.mark.parametrize("way", ["orbit", "focus-pull", "turntable"])
def test_the_video_shows_what_was_drawn(run: Path, tmp_path: Path, way) -> None:
    video.write_video(run, tmp_path / "a.mp4", 0.5, (128, 72), way)
    with Progress() as progress:
        refocus = load_refocus(run, progress)
    wanted = list(video.film(refocus, video.film_size(refocus.state.model.cameras()[0], (128, 72)), 12, way))
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4"), output_params=["-vf", "scale=in_color_matrix=bt709"])
    about = next(reader)
    assert about["size"] == (128, 72) and about["fps"] == video.FPS and "bt709" in about["pix_fmt"]
    frames = [np.frombuffer(frame, np.uint8).reshape(72, 128, 3) for frame in reader]
    assert len(frames) == 12
    for frame, drawing in zip(frames, wanted, strict=True):
        # Colours are kept on the average; H.264 halves their resolution.
        assert np.abs(frame.mean((0, 1)) - drawing.mean((0, 1))).max() < 2
        assert np.abs(frame.astype(float).mean(2) - drawing.mean(2)).mean() < 5


def test_what_a_video_needs_is_said(run: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(MacrosplatError, match=r"a\.avi"):
        export(run, "video", tmp_path / "a.avi")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MacrosplatError, match=r"macrosplat\[video\]"):
        export(run, "video", tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_the_focus_goes_through_the_stack(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "stack"
    assert cli.main(["export", str(run), "--format", "focus-stack", "--photo", "3", "--out", str(out)]) == 0
    about = json.loads((out / "focus.json").read_text())
    distances = [picture["focus_distance"]["scene_units"] for picture in about["pictures"]]
    assert about["photo"] == "3.png" and len(distances) == 12
    np.testing.assert_allclose(np.diff(1 / np.array(distances)), (1 / distances[-1] - 1 / distances[0]) / 11, rtol=1e-6)
    view = made().cameras.views[3]
    near, far = np.percentile(made().scene.means.numpy() @ view[2, :3] + view[2, 3], [2, 98])
    assert distances[0] == pytest.approx(near, abs=0.1) and distances[-1] == pytest.approx(far, abs=0.1)
    # The sheet comes nearer to the left.
    assert about["pictures"][0]["focus_distance"]["mm"] == pytest.approx(UNIT_MM * distances[0])
    sharp = np.asarray(Image.open(out / "all_in_focus.png")).astype(float)
    assert np.array_equal(sharp, np.asarray(Image.open(Run(run).sharp("3.png"))))  # at its own size
    assert np.abs(sharp - made().sharp[3]).mean() < 6  # the same but for the harmonics
    off = []
    for name in (about["pictures"][0]["picture"], about["pictures"][-1]["picture"]):
        error = np.abs(np.asarray(Image.open(out / name)).astype(float) - sharp).mean(2)
        off.append((error[15:-15, 8:28].mean(), error[15:-15, -28:-8].mean()))
    assert off[0][0] < 0.6 * off[0][1] and off[1][1] < 0.6 * off[1][0]
    with pytest.raises(MacrosplatError, match="no photo 77"):
        export(run, "focus-stack", out, "77")
    with pytest.raises(MacrosplatError, match="--photo"):
        export(run, "ply", out, "3")


def test_sharp_photos_of_both_kinds_are_found(run: Path) -> None:
    paths = [Run(run).sharp(name) for name in Run(run).cameras().names]
    assert [path.relative_to(run).as_posix() for path in paths] == list(
        read_cameras_file(run / "transforms.json").names
    )
    assert [path.suffix for path in paths] == [".png", ".tif", ".png", ".png", ".png", ".png"]


def test_what_is_passed_on_opens_elsewhere(run: Path, tmp_path: Path) -> None:
    with pytest.raises(MacrosplatError, match="not finished"):
        export(run, "zip", tmp_path / "a.zip")
    record = Run(run)
    done = tmp_path / "done"
    shutil.copytree(run, done)
    (done / "index.html").write_text("the page")
    (done / "page" / "taken").mkdir(parents=True)
    (done / "page" / "taken" / "0.jpg").write_bytes(b"a photo")
    figures = dict.fromkeys(("seconds", "fit_psnr", "blur_px", "viewer_psnr", "exposure_stops", "focal_scale"), 1.0)
    Run(done).update(summary=Figures(photos=6, gaussians=900, steps=10, **figures))
    with zipfile.ZipFile(export(done, "zip", tmp_path / "a.zip")) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert archive.read("done/page/taken/0.jpg") == b"a photo"
    assert {"done/index.html", "done/scene.ply", "done/lens.json", "done/transforms.json"} <= names
    assert not [name for name in names if "checkpoint" in name or "config" in name]
    assert record.manifest.summary is None


def test_scenes_and_cameras_are_written_without_torch(run: Path, tmp_path: Path) -> None:
    """A small scene is written sooner than torch or Numba are loaded."""
    code = f"""
import sys
sys.modules["torch"] = sys.modules["numba"] = None  # an import of them fails
from pathlib import Path
from macrosplat.export import NAMES, export
for format in ("ply", "spz", "splat", "gltf", "colmap", "nerfstudio"):
    export(Path({str(run)!r}), format, Path({str(tmp_path)!r}) / NAMES[format])
"""
    subprocess.run([sys.executable, "-c", code], check=True)
