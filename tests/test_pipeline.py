"""The whole way on a tiny capture with cameras: files, interruption, resuming, and bad input in one sentence."""

import errno
import json
import math
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from macrosplat import cli, loaded, loop, pipeline
from macrosplat.cameras.distort import lengthened
from macrosplat.cameras.records import Distortion
from macrosplat.cameras.sfm import known as sfm
from macrosplat.cameras.transforms import read_cameras_file
from macrosplat.cameras.undistort import pinhole_of, undistort
from macrosplat.capture.open import open_capture
from macrosplat.export.cameras import write_nerfstudio_folder
from macrosplat.lens import Sampling
from macrosplat.options import Options
from macrosplat.output import finish
from macrosplat.output.detail.photos import Deblurred
from macrosplat.output.listing import list_runs
from macrosplat.render import Camera
from macrosplat.run import Run
from macrosplat.support.colour import to_bytes
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.metrics import psnr
from macrosplat.train import checkpoint, effort
from macrosplat.train.trainer import Trainer
from making_captures import FOCAL, write_capture
from making_training import made

STEPS = 40
OPTIONS = Options(steps=STEPS, max_gaussians=1000, width=64, seed=5, device="cpu")
WORDS = f"--steps {STEPS} --max-gaussians 1000 --width 64 --seed 5 --device cpu".split()


@pytest.fixture(scope="module", autouse=True)
def _short_viewer_fit():
    """The fit for viewers has its own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "VIEWER_STEPS", 5)
        yield


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return write_capture(tmp_path_factory.mktemp("capture"), made())


@pytest.fixture(scope="module")
def run(capture, tmp_path_factory):
    """An uninterrupted run, and its summary."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, pipeline.reconstruct(capture, out, OPTIONS)


def interrupted_at(step, patch, number=signal.SIGINT):
    """Ctrl-C in the middle of a training step."""
    taken = Trainer.step

    def stepping(self):
        if self.done == step:
            os.kill(os.getpid(), number)
        return taken(self)

    patch.setattr(Trainer, "step", stepping)


def bits(out: Path):
    """Everything of a run that must repeat: what was learned and what people get."""
    state = torch.load(out / "checkpoint", weights_only=True)
    flat = {f"{a}.{b}": v for a in ("gaussians", "lens_parameters", "rig_parameters") for b, v in state[a].items()}
    flat |= {f"{a}.{b}": v for a in ("first", "second") for b, v in state["adam"][a].items()}
    files = sorted(p for p in out.rglob("*") if p.is_file() and p.suffix in (".png", ".ply", ".npy", ".bin"))
    files += [out / "lens.json", out / "transforms.json"]
    return flat, state["done"], {str(p.relative_to(out)): p.read_bytes() for p in files}


def assert_same_bits(one: Path, other: Path):
    (a, steps_a, files_a), (b, steps_b, files_b) = bits(one), bits(other)
    assert steps_a == steps_b == STEPS and a.keys() == b.keys() and files_a.keys() == files_b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert [name for name in files_a if files_a[name] != files_b[name]] == []
    assert any(name.endswith("scene.ply") for name in files_a)


def said(capsys):
    """What the command line said on its last line of stderr, which has to be all it said but progress."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("macrosplat: ")]
    assert len(lines) == 1, err
    return lines[0]


def names(folder: Path):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_every_file_of_run(run, capture):
    out, summary = run
    found = names(out)
    for name in ("scene.ply", "transforms.json", "lens.json", "log.jsonl", "config.json", "checkpoint"):
        assert name in found
    for v in range(6):
        with Image.open(out / "sharp" / f"{v}.png") as sharp:
            assert sharp.size == (96, 72)  # the photo's, not the training's
        assert [name for name in found if name.startswith("maps/") and f"{v}" in name], found
    assert any(name.startswith("sparse/0/") for name in found)
    assert not [name for name in found if ".part" in name]
    config = json.loads((out / "config.json").read_text())
    assert config["camera_source"] == "colmap" and config["width"] == 64 and config["registered"] == 6
    assert config["summary"]["steps"] == STEPS and config["options"]["seed"] == 5
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == STEPS and np.isfinite(log[-1]["loss"])
    lens = json.loads((out / "lens.json").read_text())
    assert lens and "NaN" not in (out / "lens.json").read_text()
    cameras = read_cameras_file(out / "transforms.json")
    np.testing.assert_allclose(cameras.views, made().cameras.views, atol=1e-5)
    assert summary.photos == 6 and summary.steps == STEPS and str(out / "scene.ply") in str(summary)


def test_same_seed_same_bits(run, capture, tmp_path):
    pipeline.reconstruct(capture, tmp_path / "run", OPTIONS)
    assert_same_bits(run[0], tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_with_results_is_complete_and_goes_on_to_the_same_bits(run, capture, tmp_path, number, capsys):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        interrupted_at(16, patch, number)
        summary = pipeline.reconstruct(capture, out, OPTIONS, results=True)
    assert summary.steps < STEPS and "Stopped at step" in capsys.readouterr().err
    assert names(out) == names(run[0])
    assert "stopped early" in list_runs(tmp_path)
    pipeline.go_on(out)
    assert_same_bits(run[0], out)
    assert "done" in list_runs(tmp_path)


def test_a_killed_run_gives_results_of_what_there_is_and_goes_on_to_the_same_bits(run, capture, tmp_path, capsys):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        interrupted_at(16, patch)
        with pytest.raises(KeyboardInterrupt):
            pipeline.reconstruct(capture, out, OPTIONS)
    assert not (out / "scene.ply").exists()
    summary = pipeline.go_on(out, "+0")
    assert 16 <= summary.steps < STEPS and "Stopped at step" in capsys.readouterr().err
    assert names(out) == names(run[0]) and "stopped early" in list_runs(tmp_path)
    pipeline.go_on(out)
    assert_same_bits(run[0], out)
    (out / "checkpoint").unlink()
    with pytest.raises(MacrosplatError, match="before it had learned"):
        pipeline.go_on(out, "+0")


def test_a_finished_run_is_trained_longer_and_may_be_interrupted(run, capture, tmp_path):
    out, other = tmp_path / "run", tmp_path / "other"
    for copy in (out, other):
        shutil.copytree(run[0], copy)
    summary = pipeline.go_on(out, "+10")
    assert summary.steps == STEPS + 10
    with pytest.MonkeyPatch.context() as patch:
        interrupted_at(STEPS + 3, patch)
        with pytest.raises(KeyboardInterrupt):
            pipeline.go_on(other, str(STEPS + 10))
    pipeline.go_on(other)
    a, b = bits(out)[0], bits(other)[0]
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    for words in ("20", "many"):
        with pytest.raises(MacrosplatError, match="--steps"):
            pipeline.go_on(out, words)


def test_a_run_whose_photos_are_gone_says_so(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"capture": str(tmp_path / "gone")}))
    with pytest.raises(MacrosplatError, match="no longer in"):
        pipeline.go_on(tmp_path / "run")


def test_nothing_is_listed_where_there_are_no_runs(tmp_path):
    with pytest.raises(MacrosplatError, match="holds no run"):
        list_runs(tmp_path)


@pytest.mark.parametrize("step, number", [(0, signal.SIGINT), (17, signal.SIGINT), (30, signal.SIGTERM)])
def test_interrupted_and_resumed_is_uninterrupted_to_the_bit(run, capture, tmp_path, step, number):
    out = tmp_path / "run"
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        interrupted_at(step, patch, number)
        with pytest.raises(KeyboardInterrupt):
            pipeline.reconstruct(capture, out, OPTIONS)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert loaded.load_run(out).state.done == step + 1 and not (out / "scene.ply").exists()
    pipeline.reconstruct(capture, out, OPTIONS, resume=True)
    assert_same_bits(run[0], out)


class Killed(BaseException):
    """Nothing can be done any more: as `kill -9`."""


@pytest.mark.parametrize("where", ["make_trainer", "train", "finish"])
def test_killed_between_rooms_and_resumed_is_uninterrupted_to_the_bit(run, capture, tmp_path, where):
    def killed(*_, **__):
        raise Killed

    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, where, killed)
        with pytest.raises(Killed):
            pipeline.reconstruct(capture, out, OPTIONS)
    pipeline.reconstruct(capture, out, OPTIONS, resume=True)
    assert_same_bits(run[0], out)


def test_killed_after_a_checkpoint_takes_the_later_steps_again(run, capture, tmp_path, monkeypatch):
    taken, out = Trainer.step, tmp_path / "run"

    def stepping(self):
        if self.done == 26:
            raise Killed
        return taken(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
        patch.setattr(loop, "LOG_EVERY", 5)
        patch.setattr(Trainer, "step", stepping)
        with pytest.raises(Killed):
            pipeline.reconstruct(capture, out, OPTIONS)
    # Lines of steps that the checkpoint has not seen, and half a line, as a kill leaves them.
    with (out / "log.jsonl").open("a") as log:
        log.write('{"step": 30, "loss": 0.1}\n{"step": 3')
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    pipeline.reconstruct(capture, out, OPTIONS, resume=True)
    assert_same_bits(run[0], out)
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(5, STEPS + 1, 5))


def test_finished_run_resumes_to_itself(run, capture, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    pipeline.reconstruct(capture, tmp_path / "run", OPTIONS, resume=True)
    assert_same_bits(run[0], tmp_path / "run")


def test_transforms_and_held_out_photos(tmp_path, monkeypatch):
    capture = write_capture(tmp_path / "capture", made(), colmap=False)
    monkeypatch.setattr(sfm, "triangulate", lambda *_, **__: made().points)  # has its own tests
    summary = pipeline.reconstruct(capture, tmp_path / "run", replace(OPTIONS, hold_out=3, lens="plain", steps=8))
    assert summary.photos == 4
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["held_out"] == ["0.png", "3.png"] and config["camera_source"] == "transforms"
    assert sorted(p.name for p in (tmp_path / "run" / "sharp").glob("*.png")) == ["1.png", "2.png", "4.png", "5.png"]
    for path in (tmp_path / "run" / "held_out.json", tmp_path / "run" / "transforms.json"):
        for frame in json.loads(path.read_text())["frames"]:
            assert (path.parent / frame["file_path"]).is_file(), frame
    held = read_cameras_file(tmp_path / "run" / "held_out.json")
    np.testing.assert_allclose(held.views, made().cameras.views[[0, 3]], atol=1e-9)


def test_photos_keep_the_frame_that_a_distorting_lens_gave_them(tmp_path, monkeypatch):
    """Sharp photos and maps lie on the photos as taken, transforms.json knows the lens; exports are undistorted."""
    capture, out = write_capture(tmp_path / "capture", made(), colmap=False), tmp_path / "run"
    told = json.loads((capture / "transforms.json").read_text())
    (capture / "transforms.json").write_text(json.dumps({**told, "camera_model": "OPENCV", "k1": -0.9}))
    monkeypatch.setattr(sfm, "triangulate", lambda *_, **__: made().points)
    monkeypatch.setattr(finish, "share_shown", lambda *_: (0.0, {}))  # as if every photo were sharp
    pipeline.reconstruct(capture, out, replace(OPTIONS, steps=2, width=48, max_gaussians=400, hold_out=3))
    run, lens = Run(out), Distortion("OPENCV", (FOCAL, FOCAL, 48.0, 36.0, -0.9, 0.0, 0.0, 0.0), 96, 72)
    for name in ("1.png", "2.png", "4.png", "5.png"):
        np.testing.assert_array_equal(*(np.asarray(Image.open(path)) for path in (run.sharp(name), run.taken(name))))
    assert Image.open(run.map("depth", "1.png")).size == (48, 36)
    found = run.cameras()
    focal = found.intrinsics[0, 0] / pinhole_of(lens)[0]  # what training made of it
    assert found.distortion[0].params == pytest.approx(lengthened(lens, focal).params, rel=1e-6)
    apart = read_cameras_file(run.held_out, as_taken=True)
    assert apart.distortion[0].params == pytest.approx(lengthened(lens, focal).params, rel=1e-6)
    np.testing.assert_allclose(apart.intrinsics, np.tile(found.intrinsics[0], (2, 1)), rtol=1e-6)
    write_nerfstudio_folder(out, tmp_path / "out")
    entries = json.loads((tmp_path / "out" / "transforms.json").read_text())
    assert entries["camera_model"] == "PINHOLE" and "k1" not in entries
    taken, exported = np.asarray(Image.open(run.sharp("1.png"))), np.asarray(Image.open(tmp_path / "out/images/1.png"))
    np.testing.assert_array_equal(exported, to_bytes(undistort(taken.astype(np.float32) / 255, lens)))


def test_a_refined_focal_length_reaches_every_camera_as_a_rigid_one(capture, tmp_path):
    """As if training had found 1.03: the cameras written show what training saw, as blurred as it was."""
    out, wanted = tmp_path / "run", 1.03
    pipeline.reconstruct(capture, out, replace(OPTIONS, steps=2, hold_out=3))
    before = json.loads((out / "lens.json").read_text())
    state = torch.load(out / "checkpoint", weights_only=True)
    state["rig_parameters"]["pose.focal"] = torch.tensor(float(np.log(wanted)))
    torch.save(state, out / "checkpoint")
    pipeline.reconstruct(capture, out, replace(OPTIONS, steps=2, hold_out=3), resume=True)
    for name, photos in (("transforms.json", [1, 2, 4, 5]), ("held_out.json", [0, 3])):
        cameras = read_cameras_file(out / name)
        turns, given = cameras.views[:, :3, :3], made().cameras
        np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.tile(np.eye(3), (len(turns), 1, 1)), atol=1e-6)
        scaled = given.intrinsics[photos] * (wanted, wanted, 1, 1)
        np.testing.assert_allclose(cameras.intrinsics, scaled, rtol=1e-6)
        back = cameras.views[:, 2, 3] - given.views[photos, 2, 3]
        np.testing.assert_allclose(back, (wanted - 1) * state["rig"]["pivot_depth"][0], rtol=1e-4)
    after = json.loads((out / "lens.json").read_text())
    assert after["focal_px"] == pytest.approx(wanted * before["focal_px"], rel=1e-6)
    # fx D |1/d - 1/d0| stays what it was: fx and all distances are longer, and so is D.
    pupil = before["pupil_diameter"]["scene_units"]
    assert after["pupil_diameter"]["scene_units"] == pytest.approx(wanted * pupil, rel=1e-6)
    model, written = loaded.load_run(out).state.model, read_cameras_file(out / "transforms.json")
    with torch.no_grad():
        for v, camera in enumerate(model.cameras()):
            view, intrinsics = (torch.tensor(x[v], dtype=torch.float32) for x in (written.views, written.intrinsics))
            full = replace(camera.frame, width=int(written.sizes[v, 0]), height=int(written.sizes[v, 1]))
            told = Camera(view, intrinsics, full).scaled(camera.frame.width, camera.frame.height)
            torch.testing.assert_close(model.draw(told, v).colour, model.draw(camera, v).colour, atol=2e-3, rtol=0)


def test_render_cameras(run, capture, tmp_path, capsys):
    words = ["render", str(run[0]), "--cameras", str(run[0] / "transforms.json"), "--out", str(tmp_path / "views")]
    assert cli.main(words) == 0 and "6 views" in capsys.readouterr().out
    model, photos = checkpoint.load(run[0] / "checkpoint").model, open_capture(capture).photos
    plain = Deblurred(model, model.cameras(), photos, [None] * 6, Sampling())
    kept = replace(plain, own=True, share=1.0)
    for v in range(6):
        view, sharp = (
            np.asarray(Image.open(path / f"{v}.png")) / 255 for path in (tmp_path / "views", run[0] / "sharp")
        )
        assert view.shape == sharp.shape == (72, 96, 3)
        drawn, truth = plain(v), made().sharp[v] / 255
        # The same cameras at the photos' size; only the backdrop is the mean one.
        assert np.abs(view - drawn)[24:48, 32:64].mean() < 2 / 255
        # The run's own sharp photos have the photos' detail besides: never worse than these.
        photo = psnr(made().photos[v] / 255, truth)
        assert psnr(sharp, truth) > psnr(drawn, truth) + 1 and psnr(sharp, truth) > photo - 0.05
        assert np.abs(kept(v) - sharp).mean() < 2 / 255


def test_evaluate(run, capture, capsys):
    assert cli.main(["evaluate", str(run[0]), "--truth", str(capture)]) == 0
    table = capsys.readouterr().out
    assert "PSNR" in table
    assert json.loads((run[0] / "evaluation.json").read_text())


def reconstruct(capture, out, *more):
    return cli.main(["reconstruct", str(capture), "--out", str(out), *WORDS, *more])


def test_run_not_empty(run, capture, capsys):
    before = names(run[0])
    assert reconstruct(capture, run[0]) == 2
    assert "add --resume" in said(capsys) and names(run[0]) == before


def test_resume_with_other_options(run, capture, capsys):
    assert reconstruct(capture, run[0], "--resume", "--lens", "plain") == 2
    assert "--lens thin" in said(capsys)


def test_resume_with_another_capture(run, tmp_path, capsys):
    other = write_capture(tmp_path / "other", made())
    (other / "photos" / "2.png").unlink()
    assert reconstruct(other, run[0], "--resume") == 2
    assert "other photos" in said(capsys)


def test_interrupted_on_the_command_line(capture, tmp_path, capsys, monkeypatch):
    interrupted_at(3, monkeypatch)
    assert reconstruct(capture, tmp_path / "run") == 130
    assert "--resume" in said(capsys)


@pytest.mark.parametrize("name", ["config.json", "checkpoint", "log.jsonl", "scene.ply", "0.png", "lens.json"])
def test_disk_full_and_then_resumed(run, capture, tmp_path, name, monkeypatch, capsys):
    rename, out = os.replace, tmp_path / "run"

    def full(source, target, **more):
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(source, target, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert reconstruct(capture, out) == 2
        assert "disk is full" in said(capsys).lower()
        assert not out.exists() or not [p for p in out.rglob("*") if ".part" in p.name]
    assert reconstruct(capture, out, "--resume") == 0
    assert_same_bits(run[0], out)


def test_not_enough_memory_is_said_before_anything_is_begun(capture, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(effort, "available", lambda: 1e6)
    assert reconstruct(capture, tmp_path / "run") == 2
    sentence = said(capsys)
    assert "memory" in sentence and "--width" in sentence and "--max-gaussians" in sentence
    monkeypatch.undo()
    # What it asks for has to work on the same RUN.
    assert cli.main(f"reconstruct {capture} --out {tmp_path / 'run'} --steps 2 --width 48".split()) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(capture, tmp_path, capsys):
    assert reconstruct(capture, tmp_path / "run", "--device", "cuda") == 2
    assert "no CUDA GPU" in said(capsys) and not (tmp_path / "run").exists()


def test_empty_folder_and_too_few_photos(capture, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    assert reconstruct(tmp_path / "photos", tmp_path / "run") == 2
    assert "photos" in said(capsys)
    for name in ("0.png", "1.png"):
        shutil.copy(capture / "photos" / name, tmp_path / "photos")
    assert reconstruct(tmp_path / "photos", tmp_path / "run") == 2
    assert "at least 3" in said(capsys)
    assert reconstruct(tmp_path / "nowhere", tmp_path / "run") == 2
    assert "nowhere" in said(capsys) and not (tmp_path / "run").exists()


def test_damaged_photo_is_left_out_by_name(tmp_path, capsys):
    capture = write_capture(tmp_path / "capture", made())
    damaged = capture / "photos" / "4.png"
    damaged.unlink()
    Image.fromarray(made().photos[4]).save(damaged.with_suffix(".jpg"))
    content = damaged.with_suffix(".jpg").read_bytes()
    damaged.with_suffix(".jpg").write_bytes(content[: len(content) // 2])
    assert reconstruct(capture, tmp_path / "run") == 0
    assert "4.jpg" in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "run" / "sharp").glob("*.png")) == [f"{v}.png" for v in (0, 1, 2, 3, 5)]


def test_cameras_that_agree_on_nothing(tmp_path, capsys, monkeypatch):
    capture = write_capture(tmp_path / "capture", made(), colmap=False)
    points = made().points
    nothing = replace(points, xyz=points.xyz[:0], rgb=points.rgb[:0], point=points.point[:0], photo=points.photo[:0])
    monkeypatch.setattr(sfm, "triangulate", lambda *_, **__: replace(nothing, px=points.px[:0]))
    assert reconstruct(capture, tmp_path / "run") == 2
    assert "no point" in said(capsys)


def test_black_mask(tmp_path, capsys):
    capture = write_capture(tmp_path / "capture", made())
    (capture / "masks").mkdir()
    for v in range(6):
        mask = np.full((72, 96), 0 if v == 2 else 255, np.uint8)
        Image.fromarray(mask).save(capture / "masks" / f"{v}.png")
    assert reconstruct(capture, tmp_path / "run") == 2
    assert "2.png" in said(capsys)


def test_mask_of_a_small_object(tmp_path):
    """Most of the frame is nobody's: the run ends all the same, and its figures are those of the object."""
    capture = write_capture(tmp_path / "capture", made())
    (capture / "masks").mkdir()
    for v in range(6):
        mask = np.zeros((72, 96), np.uint8)
        mask[26:46, 36:60] = 255
        Image.fromarray(mask).save(capture / "masks" / f"{v}.png")
    assert reconstruct(capture, tmp_path / "run") == 0
    summary = json.loads((tmp_path / "run" / "config.json").read_text())["summary"]
    assert math.isfinite(summary["blur_px"]) and summary["fit_psnr"] > 15


def test_damaged_checkpoint(run, capture, tmp_path, capsys):
    shutil.copytree(run[0], tmp_path / "run")
    content = (tmp_path / "run" / "checkpoint").read_bytes()
    (tmp_path / "run" / "checkpoint").write_bytes(content[:-1000])
    assert reconstruct(capture, tmp_path / "run", "--resume") == 2
    assert "damaged" in said(capsys)


def test_not_a_run(tmp_path, capsys, run):
    words = ["render", str(tmp_path), "--cameras", str(run[0] / "transforms.json"), "--out", str(tmp_path / "views")]
    assert cli.main(words) == 2 and "holds no run" in said(capsys)
    with pytest.raises(MacrosplatError, match="holds no run"):
        loaded.load_run(tmp_path)
