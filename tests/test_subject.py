"""The object among the Gaussians, and the limits of a viewer, for scenes whose object is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from macrosplat.cameras.records import Cameras
from macrosplat.options import Options
from macrosplat.output.subject import MARGIN, limits, masks_of, of_object
from macrosplat.scene.gaussians import Gaussians
from making_captures import look_at
from making_runs import begun


def cameras_at(*angles: float, height: float = -0.5) -> Cameras:
    """At 10 from the origin, y down: 30 degrees above it for -0.5."""
    flat = np.sqrt(1 - height**2)
    views = [look_at(10 * np.array([flat * np.sin(a), height, -flat * np.cos(a)]), np.zeros(3)) for a in angles]
    k = np.tile([400.0, 400.0, 100.0, 75.0], (len(angles), 1))
    names = tuple(f"{n}.png" for n in range(len(angles)))
    return Cameras(names, np.array(views), k, np.tile([200, 150], (len(angles), 1)), "sfm")


def scene_of(means: np.ndarray, scales: np.ndarray) -> Gaussians:
    n = len(means)
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1)
    return Gaussians(
        torch.tensor(means, dtype=torch.float32),
        torch.tensor(np.log(scales), dtype=torch.float32),
        quats,
        torch.full((n,), 3.0),
        torch.zeros(n, 3),
        torch.zeros(n, 0, 3),
    )


RING = np.linspace(0, 2 * np.pi, 24, endpoint=False)


def made() -> tuple[Gaussians, np.ndarray]:
    """A ball of radius 1; a ring of junk at 8, floaters before the cameras, a needle through it. And the truth."""
    random = np.random.default_rng(0)
    ball = random.normal(size=(400, 3))
    ball *= random.uniform(0.2, 1, (400, 1)) / np.linalg.norm(ball, axis=1, keepdims=True)
    ring = np.stack([8 * np.sin(RING), np.zeros(24), 8 * np.cos(RING)], 1)
    floaters = cameras_at(*RING[::4]).centres * 0.8
    means = np.concatenate([ball, ring, floaters, [[0.0, 0.0, 0.0]]])
    scales = np.full((len(means), 3), 0.03)
    scales[-1] = (5.0, 0.01, 0.01)
    return scene_of(means, scales), np.arange(len(means)) < 400


def test_the_object_is_what_most_photos_have_in_the_frame() -> None:
    scene, truth = made()
    np.testing.assert_array_equal(of_object(scene, cameras_at(*RING)), truth)


def test_masks_tell_the_object_from_what_it_stands_on(tmp_path: Path) -> None:
    scene, truth = made()
    cameras, means = cameras_at(*RING), scene.means.numpy()
    above = truth & (means[:, 1] < -0.1)  # y is down
    paths = []
    for v in range(len(cameras)):  # white above the horizon of the ball, as a mask of its upper half
        mask = np.zeros((150, 200), np.uint8)
        local = means[above] @ cameras.views[v, :3, :3].T + cameras.views[v, :3, 3]
        px = (400 * local[:, :2] / local[:, 2:] + [100, 75]).astype(int)
        for x, y in px:
            mask[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 255
        Image.fromarray(mask).save(tmp_path / f"{v}.png")
        paths.append(tmp_path / f"{v}.png")
    found = of_object(scene, cameras, paths)
    assert found[above].all() and found[truth & (means[:, 1] > 0.6)].mean() < 0.2


def test_photos_that_share_nothing_leave_everything() -> None:
    scene, _ = made()
    apart = cameras_at(*RING[:4])
    views = apart.views.copy()
    views[:, 0, 3] += 100 * np.arange(4)
    elsewhere = Cameras(apart.names, views, apart.intrinsics, apart.sizes, "sfm")
    assert of_object(scene, elsewhere).all()


def test_a_viewer_goes_where_the_photos_were() -> None:
    scene, truth = made()
    all_round = limits(scene, cameras_at(*RING), truth)
    assert np.abs(all_round.target).max() < 0.1 and 0.8 < all_round.radius < 1.1
    np.testing.assert_allclose(all_round.up, (0, -1, 0), atol=1e-6)
    assert all_round.azimuth is None and all_round.nearest < 2 < 10 < all_round.farthest < 20
    # 30 degrees above the horizon, which is 60 from `up`: no viewer gets under the ground.
    assert all_round.polar == pytest.approx((60 - MARGIN, 60 + MARGIN), abs=0.5)
    arc = limits(scene, cameras_at(*np.radians([-30, -10, 10, 30])), truth)
    assert arc.azimuth is not None and arc.azimuth[1] - arc.azimuth[0] == pytest.approx(60 + 2 * MARGIN, abs=0.5)
    up, zero = np.array(arc.up), np.array(arc.zero)
    middle = np.radians(np.mean(arc.azimuth))
    towards = np.cos(middle) * zero + np.sin(middle) * np.cross(up, zero)
    np.testing.assert_allclose(towards, (0, 0, -1), atol=0.02)


def test_one_camera_limits_nothing_but_the_zoom() -> None:
    scene, truth = made()
    one = cameras_at(0.0)
    assert of_object(scene, one).all()
    found = limits(scene, one, truth)
    assert found.polar == (0, 180) and found.azimuth is None


def test_masks_are_those_of_the_capture_or_those_that_the_run_made(tmp_path: Path) -> None:
    run, names = begun(tmp_path / "run", ("a.jpg", "b.jpg"), tmp_path), ("a.jpg", "b.jpg")
    assert masks_of(run, names) == ()
    run.masks.mkdir()
    Image.new("L", (4, 3)).save(run.masks / "b.jpg.png")
    assert masks_of(run, names) == (None, run.masks / "b.jpg.png")
    (tmp_path / "masks").mkdir()
    Image.new("L", (4, 3)).save(tmp_path / "masks" / "a.png")
    assert masks_of(run, names) == (tmp_path / "masks" / "a.png", None)
    assert masks_of(begun(tmp_path / "off", names, tmp_path, options=Options(masks="off")), names) == ()
