"""Similarities: exact recovery, wrong cameras among right ones, the cases where centres alone say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from pycolmap import Rotation3d, Sim3d

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.similarity import (
    align_cameras,
    align_rays,
    centre_errors,
    looked_at,
    mapped,
    refine_similarity,
)
from macrosplat.support.errors import MacrosplatError

SIZE = (96, 72)


def rotation(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    x = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -x[2], x[1]], [x[2], 0, -x[0]], [-x[1], x[0], 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def cameras(centres: np.ndarray, target: np.ndarray, focal: float = 480.0) -> Cameras:
    """Cameras at `centres` that look at `target`, y up in the world."""
    views = np.tile(np.eye(4), (len(centres), 1, 1))
    for view, centre in zip(views, centres, strict=True):
        z = (target - centre) / np.linalg.norm(target - centre)
        x = np.cross(z, [0.0, 1.0, 0.0])
        x /= np.linalg.norm(x)
        view[:3, :3] = np.stack([x, np.cross(z, x), z])
        view[:3, 3] = -view[:3, :3] @ centre
    names = tuple(f"{i:03d}.jpg" for i in range(len(centres)))
    intrinsics = np.tile([focal, focal, SIZE[0] / 2, SIZE[1] / 2], (len(centres), 1))
    return Cameras(names, views, intrinsics, np.tile(SIZE, (len(centres), 1)), "sfm")


def ring(count: int = 12) -> Cameras:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    centres = np.stack([150 * np.cos(angle), 40 + 20 * np.sin(3 * angle), 150 * np.sin(angle)], axis=1)
    return cameras(centres, np.array([1.0, 2.0, 3.0]))


def similarity(scale: float, turn: np.ndarray, translation: np.ndarray) -> Sim3d:
    return Sim3d(scale, Rotation3d(turn), translation)


TO_RUN = similarity(0.13, rotation((1, 2, -1), 70), np.array([3.0, -1.0, 2.0]))


def assert_same(got: Sim3d, wanted: Sim3d, tolerance: float = 1e-8) -> None:
    assert got.scale == pytest.approx(wanted.scale, rel=tolerance)
    np.testing.assert_allclose(got.rotation.matrix(), wanted.rotation.matrix(), atol=tolerance)
    np.testing.assert_allclose(got.translation, wanted.translation, atol=20 * tolerance)


def test_mapped_cameras_see_mapped_points_at_the_same_pixels() -> None:
    truth, points = ring(), np.random.default_rng(1).normal(0, 5, (20, 3))
    moved = mapped(TO_RUN, truth)
    before = np.einsum("vij,pj->vpi", truth.views[:, :3, :3], points) + truth.views[:, None, :3, 3]
    after = np.einsum("vij,pj->vpi", moved.views[:, :3, :3], TO_RUN * points) + moved.views[:, None, :3, 3]
    np.testing.assert_allclose(after, TO_RUN.scale * before, atol=1e-9)
    np.testing.assert_allclose(moved.centres, TO_RUN * truth.centres, atol=1e-9)


@pytest.mark.parametrize("count", [2, 3, 12])
def test_exact_cameras_give_the_exact_similarity(count: int) -> None:
    truth = ring(count)
    got = align_cameras(truth, mapped(TO_RUN, truth))
    assert_same(got, TO_RUN)
    assert centre_errors(truth, mapped(TO_RUN, truth), got).max() < 1e-9


def test_centres_on_a_line_leave_no_freedom() -> None:
    """A focus rail or a slider: the turn about the line is known by the orientations only."""
    x = np.linspace(-20, 20, 9)
    truth = cameras(np.stack([x, 0 * x, 0 * x - 100], axis=1), np.array([0.0, 0.0, 0.0]))
    assert_same(align_cameras(truth, mapped(TO_RUN, truth)), TO_RUN)
    parallel = cameras(np.array([[x, 0.0, -100.0] for x in (-2, 0, 5)]), np.array([0.0, 0.0, 1e9]))
    assert_same(align_cameras(parallel, mapped(TO_RUN, parallel)), TO_RUN, 1e-7)


def test_wrong_cameras_do_not_pull() -> None:
    truth = ring(20)
    run = mapped(TO_RUN, truth)
    rng = np.random.default_rng(3)
    views = run.views.copy()
    for v in (2, 7, 11, 12, 16):
        views[v, :3, :3] = rotation(tuple(rng.normal(size=3)), 100) @ views[v, :3, :3]
        views[v, :3, 3] += rng.normal(0, 5, 3)
    wrong = Cameras(run.names, views, run.intrinsics, run.sizes, "sfm")
    got = align_cameras(truth, wrong)
    assert_same(got, TO_RUN, 1e-5)
    errors = centre_errors(truth, wrong, got)
    assert np.median(errors) < 1e-3 and errors[[2, 7, 11, 12, 16]].min() > 1


def test_centres_on_one_circle_do_not_tell_where_the_object_is() -> None:
    """A turntable whose cameras all nod by a third of a degree, and whose object lies where they then see it."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    centres = np.stack([126 * np.cos(angle), np.full(24, 82.0), 126 * np.sin(angle)], axis=1)
    truth, points = cameras(centres, np.zeros(3)), np.random.default_rng(7).normal(0, 3, (40, 3))
    nod = rotation((1, 0, 0), 1 / 3)
    views = truth.views.copy()
    views[:, :3] = nod @ views[:, :3]
    run = mapped(TO_RUN, Cameras(truth.names, views, truth.intrinsics, truth.sizes, "sfm"))
    views[5, :3, 3] += [4.0, -3.0, 0.0]  # a camera that sees something else
    worse = mapped(TO_RUN, Cameras(truth.names, views, truth.intrinsics, truth.sizes, "sfm"))

    def seen(views: np.ndarray, at: np.ndarray) -> np.ndarray:
        """[V, N, 2] px"""
        cam = np.einsum("vij,...nj->vni" if at.ndim == 2 else "vij,vnj->vni", views[:, :3, :3], at)
        cam = cam + views[:, None, :3, 3]
        return 3200 * cam[..., :2] / cam[..., 2:]  # at the focal length of a macro photo of 640 px

    # Where the run's cameras see each point as the true ones do: Gauss-Newton of its own, point by point.
    start = align_cameras(truth, run)
    there = start * points
    for _ in range(10):
        for n in range(len(points)):
            now = seen(run.views, there[n : n + 1]) - seen(truth.views, points[n : n + 1])
            slope = np.stack(
                [
                    (seen(run.views, there[n : n + 1] + h) - seen(run.views, there[n : n + 1])).ravel() / 1e-5
                    for h in 1e-5 * np.eye(3)
                ],
                axis=1,
            )
            there[n] -= np.linalg.lstsq(slope, now.ravel(), rcond=None)[0]
    assert np.abs(seen(run.views, there) - seen(truth.views, points)).max() < 1.0  # so there is such an object

    def misses(found: Sim3d) -> np.ndarray:
        return np.linalg.norm(seen(mapped(found, truth).views, there) - seen(truth.views, points), axis=2)

    assert centre_errors(truth, run, start).max() < 0.02  # centres see nothing of it
    assert np.median(misses(start)) > 15
    assert misses(align_rays(start, truth, run)).max() < 1.0
    assert np.median(misses(align_rays(align_cameras(truth, worse), truth, worse))) < 1.0
    # Where there is an exact similarity it is found from a start that is off.
    exact = mapped(TO_RUN, truth)
    assert_same(align_rays(align_cameras(truth, run), truth, exact), TO_RUN, 1e-7)


def test_errors_are_in_percent_of_the_distance() -> None:
    truth = ring()
    shifted = cameras(truth.centres + np.array([0.0, 1.5, 0.0]), np.array([1.0, 2.0, 3.0]))
    distance = looked_at(truth)[1]
    assert distance == pytest.approx(np.median(np.linalg.norm(truth.centres - [1, 2, 3], axis=1)))
    np.testing.assert_allclose(centre_errors(truth, shifted, Sim3d()), 150.0 / distance)


def test_photos_from_one_place_cannot_be_aligned() -> None:
    truth = cameras(np.array([[0.0, 0.0, -100.0]] * 3), np.zeros(3))
    with pytest.raises(MacrosplatError, match="different places"):
        align_cameras(truth, truth)


def blobs(view: np.ndarray, points: np.ndarray, colours: np.ndarray, focal: float, radius: float) -> np.ndarray:
    """A scene that needs no rasterizer: soft round dots, added up."""
    at = points @ view[:3, :3].T + view[:3, 3]
    px = focal * at[:, :2] / at[:, 2:] + np.array(SIZE) / 2
    sigma = focal * radius / at[:, 2]
    across, down = (
        np.exp(-0.5 * np.square((np.arange(n)[:, None] + 0.5 - px[:, k]) / sigma)) for k, n in enumerate(SIZE)
    )
    return 0.1 + np.einsum("yp,xp,pc->yxc", down, across, colours, optimize=True)


def test_refinement_finds_what_noisy_centres_hide() -> None:
    """Every camera of the run sees the photo's content but slid sideways and turned back, as SfM errs."""
    rng = np.random.default_rng(5)
    points, colours = rng.normal([1.0, 2.0, 3.0], 4, (60, 3)), rng.uniform(0, 0.5, (60, 3))
    truth = ring(8)
    slid = cameras(truth.centres + rng.normal(0, 1.5, (8, 3)), np.array([1.0, 2.0, 3.0]))
    run = mapped(TO_RUN, slid)

    def render_at(view: np.ndarray, v: int) -> np.ndarray:
        return blobs(view, TO_RUN * points, colours, 480.0, 0.8 * float(TO_RUN.scale))

    def misses(found: Sim3d) -> np.ndarray:
        """px between where mapped true cameras and the true cameras see the points."""
        out = []
        for view, true in zip(mapped(found, truth).views, truth.views, strict=True):
            a = (TO_RUN * points) @ view[:3, :3].T + view[:3, 3]
            b = points @ true[:3, :3].T + true[:3, 3]
            out.append(480 * np.linalg.norm(a[:, :2] / a[:, 2:] - b[:, :2] / b[:, 2:], axis=1))
        return np.concatenate(out)

    # The start is off by a turn and a shift about the object, some 3 px.
    start = align_cameras(truth, run)
    off = similarity(1.01, rotation((0, 1, 1), 2.0), np.array([0.15, -0.1, 0.06]))
    centre = TO_RUN * np.array([1.0, 2.0, 3.0])
    about = similarity(1.0, np.eye(3), centre) * off * similarity(1.0, np.eye(3), -centre)
    start = about * start
    refined = refine_similarity(start, truth, run, render_at)
    assert misses(start).mean() > 2.0
    assert misses(refined).mean() < 0.3
    exact = refine_similarity(start, truth, mapped(TO_RUN, truth), render_at, most_views=4)
    assert misses(exact).max() < 0.02
