"""A made-up run and its truth: what is perfect scores as perfect, what is off is off by the amount put in.

The scene is a textured plane, ray-cast, so that every view of it is exact and no part of macrosplat draws it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycolmap import Rotation3d, Sim3d

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.similarity import mapped, mapped_view
from macrosplat.cameras.transforms import write_transforms
from macrosplat.evaluate.evaluate import evaluate_run
from macrosplat.evaluate.report import as_text
from macrosplat.output.lens_report import LensReport, write_lens
from macrosplat.photos.resample import area_average
from macrosplat.support.colour import to_bytes, to_linear, to_srgb
from macrosplat.support.errors import MacrosplatError
from making_runs import begun

SIZE = (48, 36)
NAMES = ("a/000.png", "a/001.png", "b/000.png", "b/001.png", "b/002.png")
TURN = np.array([[0.0, -1.0, 0.0], [0.6, 0.0, -0.8], [0.8, 0.0, 0.6]])
TO_RUN = Sim3d(0.02, Rotation3d(TURN), np.array([1.0, -2.0, 0.5]))


def plane(view: np.ndarray, k: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] sRGB of the plane z = 0, textured in mm, through a pinhole."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    rays = np.stack([(x - k[2]) / k[0], (y - k[3]) / k[1], np.ones_like(x)], axis=-1) @ view[:3, :3]
    centre = -view[:3, :3].T @ view[:3, 3]
    hit = centre - rays * (centre[2] / rays[..., 2])[..., None]
    u, v = hit[..., 0], hit[..., 1]
    waves = [np.sin(0.9 * u + 0.3 * v), np.sin(0.7 * v - 0.4 * u + 1), np.sin(0.5 * u + 0.6 * v + 2)]
    return 0.5 + 0.35 * np.stack(waves, axis=-1)


def cameras(names: tuple[str, ...], seed: int, size: tuple[int, int] = SIZE) -> Cameras:
    """Cameras 100 mm above the plane, which see some 25 mm of it."""
    rng = np.random.default_rng(seed)
    views = look_at_origin(np.array([[*rng.uniform(-40, 40, 2), 100.0] for _ in names]))
    k = np.array([160.0, 160.0, SIZE[0] / 2, SIZE[1] / 2]) * (size[0] / SIZE[0])
    return Cameras(names, views, np.tile(k, (len(names), 1)), np.tile(size, (len(names), 1)), "transforms")


def look_at_origin(centres: np.ndarray) -> np.ndarray:
    views = np.tile(np.eye(4), (len(centres), 1, 1))
    for view, centre in zip(views, centres, strict=True):
        z = -centre / np.linalg.norm(centre)
        x = np.cross(z, [0.0, 1.0, 0.1])
        x /= np.linalg.norm(x)
        view[:3, :3] = np.stack([x, np.cross(z, x), z])
        view[:3, 3] = -view[:3, :3] @ centre
    return views


def save(path: Path, srgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_bytes(srgb)).save(path)


def blurred(photo: np.ndarray) -> np.ndarray:
    return (photo + np.roll(photo, 2, 0) + np.roll(photo, 2, 1) + np.roll(photo, -2, 1)) / 4


def make_truth(root: Path, size: tuple[int, int] = SIZE) -> Cameras:
    """A whole truth folder; the mask is the left half."""
    own, novel = cameras(NAMES, 1, size), cameras(("novel/a/000.png", "novel/x.png"), 2, size)
    for name, view, k in zip(own.names, own.views, own.intrinsics, strict=True):
        sharp = plane(view, k, size)
        save(root / "sharp" / name, sharp)
        save(root / "photos" / name, blurred(sharp))
        mask = np.zeros((size[1], size[0]))
        mask[:, : size[0] // 2] = 1
        save(root / "masks" / name, mask)
    for name, view, k in zip(novel.names, novel.views, novel.intrinsics, strict=True):
        save(root / name, plane(view, k, size))
    write_transforms(root / "transforms.json", own, folder="photos")
    write_transforms(root / "novel.json", novel)
    focus = [{"photo": name[:-4], "pose": name[:-4], "focus_mm": 100.0 + i} for i, name in enumerate(NAMES)]
    (root / "truth.json").write_text(json.dumps({"pupil_diameter_mm": 10.0, "photos": focus}))
    return own


def make_run(root: Path, own: Cameras, similarity: Sim3d, source: str, **config: Any) -> None:
    """A run whose deblurred photos are perfect, whose pupil is 5 % wide and whose focus is 0.3 mm far."""
    for name, view, k in zip(own.names, own.views, own.intrinsics, strict=True):
        save(root / "sharp" / name, plane(view, k, SIZE))
    run = begun(root, own.names, camera_source=source, **config)
    run.write_cameras(mapped(similarity, own))
    scale = float(similarity.scale)
    focus = {name: (100.3 + i) * scale for i, name in enumerate(NAMES)}
    write_lens(run, LensReport(10.5 * scale, focus, 0.5, 160.0))


def test_given_cameras(tmp_path: Path) -> None:
    own = make_truth(tmp_path / "truth")
    make_run(tmp_path / "run", own, Sim3d(), "transforms")
    got = evaluate_run(tmp_path / "run", tmp_path / "truth", plane)
    assert list(got.sections) == ["input photos", "deblurred photos", "novel views"] and got.width == SIZE[0]
    assert set(got.sections["deblurred photos"].photos) == set(NAMES)
    assert got.sections["deblurred photos"].frame.psnr == pytest.approx(100.0)
    assert got.sections["novel views"].frame.psnr == pytest.approx(100.0) and got.sections["novel views"].mask is None
    sharp = np.asarray(Image.open(tmp_path / "truth/sharp/b/001.png")) / 255.0
    photo = np.asarray(Image.open(tmp_path / "truth/photos/b/001.png")) / 255.0
    scores = got.sections["input photos"].photos["b/001.png"]
    assert scores.frame.psnr == pytest.approx(-10 * np.log10(np.mean((sharp - photo) ** 2)))
    left = np.mean((sharp - photo)[:, : SIZE[0] // 2] ** 2)
    assert scores.mask is not None and scores.mask.psnr == pytest.approx(-10 * np.log10(left))
    assert got.lens is not None and got.lens.pupil_error == pytest.approx(0.05)
    np.testing.assert_allclose(got.lens.focus_errors, 0.3)
    assert got.centre_errors is None and got.notes == []
    written = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert written["means"]["input photos"]["frame"]["psnr"] == got.sections["input photos"].frame.psnr
    assert written["photos"]["input photos"]["b/001.png"]["mask"]["psnr"] == scores.mask.psnr
    assert written["lens"]["focus_error_mm"]["median"] == pytest.approx(0.3)
    text = as_text(got)
    assert "No deblurred photo is worse than the photo was." in text and "sharpness" in text
    assert written["means"]["deblurred photos"]["fine"]["sharpness"] == pytest.approx(1.0)
    assert written["photos"]["input photos"]["b/001.png"]["fine"]["psnr_by_radius"] == {} and written["radius"] is None
    assert "deblurred photos" in text and "(+5.0 %)" in text and "0.30 mm in the median" in text


def test_given_cameras_in_another_frame_are_aligned_and_those_of_another_capture_refused(tmp_path: Path) -> None:
    own = make_truth(tmp_path / "truth")
    make_run(tmp_path / "run", own, TO_RUN, "transforms")
    got = evaluate_run(tmp_path / "run", tmp_path / "truth", plane, refine=False)
    assert got.similarity is not None and got.similarity.scale == pytest.approx(0.02, rel=1e-3)
    assert got.lens is not None and got.lens.pupil_error == pytest.approx(0.05, abs=1e-3)
    other = cameras(NAMES, 7)  # photos of the same names, from elsewhere
    make_run(tmp_path / "other", other, Sim3d(), "transforms")
    with pytest.raises(MacrosplatError, match=r"called the same, but .* the run's own capture"):
        evaluate_run(tmp_path / "other", tmp_path / "truth", plane, refine=False)
    make_run(tmp_path / "found", other, Sim3d(), "sfm")
    notes = evaluate_run(tmp_path / "found", tmp_path / "truth", plane, refine=False).notes
    assert any("or it is the truth of another capture" in note for note in notes)


def test_photos_that_the_run_lacks_are_in_neither_mean(tmp_path: Path) -> None:
    own = make_truth(tmp_path / "truth")
    make_run(tmp_path / "run", own.select(own.names[:3]), Sim3d(), "transforms")
    got = evaluate_run(tmp_path / "run", tmp_path / "truth", plane)
    assert list(got.sections["input photos"].photos) == list(got.sections["deblurred photos"].photos)
    assert "The run has 3 of the 5 photos that the truth has; the others are left out." in got.notes


def test_a_photo_that_got_worse_is_named(tmp_path: Path) -> None:
    own = make_truth(tmp_path / "truth")
    make_run(tmp_path / "run", own, Sim3d(), "transforms")
    for name, value in (("a/001.png", 0.0), ("b/002.png", 1.0)):
        save(tmp_path / "run" / "sharp" / name, np.full((SIZE[1], SIZE[0], 3), value))
    text = " ".join(as_text(evaluate_run(tmp_path / "run", tmp_path / "truth", plane)).split())
    assert "2 of 5 deblurred photos are worse than the photos were: " in text
    assert "a/001 by " in text and "b/002 by " in text and "000 by" not in text


def test_cameras_found_in_a_frame_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = make_truth(tmp_path / "truth")
    # SfM errs so: the camera slides by 1 % of its distance, and turns back to what it saw.
    slid = own.centres + np.random.default_rng(8).normal(0, 1.0, (5, 3))
    make_run(tmp_path / "run", replace(own, views=look_at_origin(slid)), TO_RUN, "sfm")

    def render_view(view: np.ndarray, k: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return plane(mapped_view(TO_RUN.inverse(), view), k, size)

    rays = evaluate_run(tmp_path / "run", tmp_path / "truth", render_view, refine=False)
    fine = evaluate_run(tmp_path / "run", tmp_path / "truth", render_view)
    monkeypatch.setattr("macrosplat.evaluate.evaluate.align_rays", lambda similarity, *_: similarity)
    centres = evaluate_run(tmp_path / "run", tmp_path / "truth", render_view, refine=False)
    by_renders = evaluate_run(tmp_path / "run", tmp_path / "truth", render_view)
    got = [found.sections["novel views"].frame.psnr for found in (centres, by_renders, rays, fine)]
    assert got[1] > 33 and got[1] > got[0] + 3 and min(got[2:]) > 33 and min(got[2:]) > got[0] + 3
    assert fine.centre_errors is not None and 0.3 < np.median(list(fine.centre_errors.values())) < 2.0
    # The scale of a plane seen from above is as good as the distances to it: 1 %.
    assert fine.similarity is not None and fine.similarity.scale == pytest.approx(0.02, rel=0.02)
    assert fine.lens is not None and fine.lens.pupil_error == pytest.approx(0.05, abs=0.02)
    assert "Camera centres off by" in as_text(fine)


def test_a_focal_length_of_the_runs_own_is_said_and_novel_views_are_taken_with_it(tmp_path: Path) -> None:
    own = make_truth(tmp_path / "truth")
    # A dolly zoom about the plane's middle: a longer lens from as much farther away sees nearly the same.
    farther = replace(own, views=look_at_origin(1.02 * own.centres), intrinsics=own.intrinsics * [1.02, 1.02, 1, 1])
    make_run(tmp_path / "run", farther, TO_RUN, "sfm")

    def render_view(view: np.ndarray, k: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return plane(mapped_view(TO_RUN.inverse(), view), k, size)

    got = evaluate_run(tmp_path / "run", tmp_path / "truth", render_view)
    assert got.focal_error == pytest.approx(0.02, abs=1e-3) and got.similarity is not None
    assert got.similarity.scale == pytest.approx(1.02 * TO_RUN.scale, rel=2e-3)
    assert got.sections["novel views"].frame.psnr > 35
    assert "their focal length by +2.00 %" in as_text(got)
    written = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert written["focal_length_relative_error"] == got.focal_error


def test_without_true_cameras_novel_views_are_left_out_and_said_so(tmp_path: Path) -> None:
    own = make_truth(tmp_path / "truth")
    make_run(tmp_path / "run", own, TO_RUN, "sfm")
    (tmp_path / "truth/transforms.json").unlink()
    got = evaluate_run(tmp_path / "run", tmp_path / "truth", plane)
    assert "novel views" not in got.sections and got.lens is None
    assert any(note.startswith("Novel views were left out") for note in got.notes)


def test_truth_is_brought_to_the_runs_width_in_linear_light(tmp_path: Path) -> None:
    own = make_truth(tmp_path / "truth", (2 * SIZE[0], 2 * SIZE[1]))
    make_run(tmp_path / "run", own.resized(SIZE[0]), Sim3d(), "transforms")
    for name in NAMES:
        large = np.asarray(Image.open(tmp_path / "truth/sharp" / name)) / 255.0
        save(tmp_path / "run/sharp" / name, to_srgb(area_average(to_linear(large), SIZE)))
    got = evaluate_run(tmp_path / "run", tmp_path / "truth", plane)
    assert got.width == SIZE[0] and got.sections["deblurred photos"].frame.psnr > 60
    assert got.sections["novel views"].frame.psnr > 30  # a point sample of a pixel against its mean


def test_slices_of_a_bracket_share_the_twin_of_their_pose(tmp_path: Path) -> None:
    truth, own = tmp_path / "truth", cameras(("000_0.png", "000_1.png", "001_0.png"), 3)
    for name, view, k in zip(own.names, own.views, own.intrinsics, strict=True):
        save(truth / "photos" / name, blurred(plane(view, k, SIZE)))
        save(truth / "sharp" / f"{name[:3]}.png", plane(view, k, SIZE))
        save(tmp_path / "run/sharp" / name, plane(view, k, SIZE))
    listed = [{"photo": n[:-4], "pose": n[:3], "focus_mm": 100.0} for n in own.names]
    (truth / "truth.json").write_text(json.dumps({"pupil_diameter_mm": 10.0, "photos": listed}))
    begun(tmp_path / "run", own.names, camera_source="transforms").write_cameras(own)
    got = evaluate_run(tmp_path / "run", truth, plane)
    deblurred = got.sections["deblurred photos"].photos
    assert set(deblurred) == set(own.names) and deblurred["001_0.png"].frame.psnr == pytest.approx(100.0)
    assert deblurred["000_0.png"].frame.psnr < 30  # its pose's twin was written last by slice 1


def test_held_out_photos_are_compared_with_renders(tmp_path: Path) -> None:
    own = make_truth(tmp_path / "truth")
    make_run(tmp_path / "run", own, Sim3d(), "transforms", held_out=("b/001.png",))
    capture = tmp_path / "capture"
    for name in NAMES:
        save(capture / "photos" / name, np.asarray(Image.open(tmp_path / "truth/sharp" / name)) / 255.0)
    got = evaluate_run(tmp_path / "run", capture, plane)
    assert list(got.sections) == ["held-out photos"]
    assert got.sections["held-out photos"].photos["b/001.png"].frame.psnr == pytest.approx(100.0)


def test_errors_are_sentences(tmp_path: Path) -> None:
    own = make_truth(tmp_path / "truth")
    make_run(tmp_path / "run", own, Sim3d(), "transforms")
    bare = tmp_path / "bare"
    for n, name in enumerate(NAMES):
        save(bare / "photos" / name, np.random.default_rng(n).uniform(size=(36, 48, 3)))
    with pytest.raises(MacrosplatError, match="neither sharp/ nor novel"):
        evaluate_run(tmp_path / "run", bare, plane)
    with pytest.raises(MacrosplatError, match="is not a folder"):
        evaluate_run(tmp_path / "run", tmp_path / "nowhere", plane)
    with pytest.raises(MacrosplatError, match="is not a run"):
        evaluate_run(tmp_path / "truth", tmp_path / "truth", plane)
    save(tmp_path / "truth/sharp/b/001.png", np.zeros((36, 36, 3)))
    (tmp_path / "truth/masks/b/001.png").unlink()
    with pytest.raises(MacrosplatError, match="another capture"):
        evaluate_run(tmp_path / "run", tmp_path / "truth", plane)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"photos": 5}', "photos: expected a list"),
        ('{"photos": [1]}', "expected an object"),
        ('{"photos": null}', "expected a list"),
        ('{"photos": [{"photo": "1.jpg", "focus_mm": NaN}]}', "focus_mm nan"),
        ('{"photos": [{"focus_mm": 3}]}', "there is no `photo`"),
        ('{"pupil_diameter_mm": "18"}', "pupil_diameter_mm: expected a number"),
        ('{"pupil_diameter_mm": ' + "9" * 400 + "}", "pupil_diameter_mm is inf"),
        ('{"pupil_diameter_mm": 18, "photos": [{"photo": "1.jpg"}]}', "lacks a focus_mm"),
        ('{"pupil_diameter_mm": 18}', "lacks a focus_mm"),
        ('{"photos": [{"photo": "", "focus_mm": 1}]}', "names no photo"),
        ("[" * 100000, "nested|not JSON"),
        ("[]", "expected an object, got a list"),
    ],
)
def test_a_truth_of_another_type_is_one_sentence(tmp_path, text, word):
    from macrosplat.evaluate.truth import open_truth

    (tmp_path / "sharp").mkdir()
    for n in range(3):
        Image.fromarray(np.full((20, 30, 3), 90 + n, np.uint8)).save(tmp_path / "sharp" / f"{n}.png")
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(MacrosplatError, match=word) as caught:
        open_truth(tmp_path)
    assert "truth.json" in str(caught.value) and "\n" not in str(caught.value)
