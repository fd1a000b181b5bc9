"""The similarity between two sets of the same cameras: from centres and orientations, from rays, from renders.

In: the cameras of the truth and those of a run (whose SfM chose its own origin, axes and unit).
Out: COLMAP's `Sim3d`, truth to run: x -> scale rotation x + translation. Rendering is a callable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from macrosplat.cameras.records import Cameras
from macrosplat.support.colmap import pycolmap
from macrosplat.support.errors import MacrosplatError

Array = NDArray[np.float64]
RenderAt = Callable[[Array, int], NDArray[np.floating]]  # (view [4, 4] world to camera, camera index) -> [H, W, 3]

ROBUST_ROUNDS = 30  # of reweighting; it settles in about ten
SUBJECT = 0.3  # of what the frame's width shows: radius of the ball that rays are aligned in
BALL = 5  # points across it
RAY_ROUNDS = 4  # each with the last one's median as the scale of what is an outlier
POOLS = (8, 4, 2)  # px: renders are averaged over such squares, coarse to fine
MOST_STEPS = 3  # Gauss-Newton steps per size of square
PROBE = 0.25  # finite differences move the scene by this part of a pooled pixel
HUBER = 0.05  # sRGB: beyond it a difference is no misalignment but something that one render lacks
LEAST_GAIN = 1e-3  # of the cost: below it a size of square has converged


def mapped(similarity: pycolmap.Sim3d, cameras: Cameras) -> Cameras:
    """The same cameras in the other frame; rigid again, their axes keep the new unit."""
    return replace(cameras, views=np.stack([mapped_view(similarity, view) for view in cameras.views]))


def mapped_view(similarity: pycolmap.Sim3d, view: Array) -> Array:
    """[4, 4] world to camera, of a mapped camera."""
    found = similarity.transform_camera_world(pycolmap.Rigid3d(view[:3]))
    return np.vstack([found.matrix(), [0.0, 0.0, 0.0, 1.0]])


def looked_at(cameras: Cameras) -> tuple[Array, float]:
    """The point nearest to all optical axes [3], and the cameras' median distance from it, scene units.

    Where the axes are parallel (a rail) there is no such point: then four times the spread of the centres, ahead.
    """
    centres, axes = cameras.centres, cameras.views[:, 2, :3]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]  # [V, 3, 3] projects onto the plane across the axis
    total = across.sum(axis=0)
    if np.linalg.cond(total) < 1e4:
        point = np.linalg.solve(total, np.einsum("vij,vj->i", across, centres))
        ahead = np.einsum("vi,vi->v", point - centres, axes)
        if np.median(ahead) > 0:
            return point, float(np.median(np.linalg.norm(point - centres, axis=1)))
    middle = centres.mean(axis=0)
    distance = 4.0 * max(float(np.linalg.norm(centres - middle, axis=1).max()), 1e-12)
    return middle + distance * axes.mean(axis=0), distance


def align_cameras(truth: Cameras, run: Cameras) -> pycolmap.Sim3d:
    """The similarity that maps `truth` onto `run`, photo by photo (same order), robustly.

    Umeyama (PAMI 1991) on the centres, extended by the orientations: an angle of a counts as a centre's error of
    a times the distance to the object, which is how the two err together in SfM (a camera that slips sideways turns
    back to the object). So two photos, or centres on a line, are enough. Cauchy weights by the median residual keep
    wrong cameras (fewer than half) from pulling.

    Raises:
        MacrosplatError: fewer than two cameras, or all at one place.
    """
    assert len(truth) == len(run), f"{len(truth)} true cameras against {len(run)}"
    a, b = truth.centres, run.centres
    if len(a) < 2 or _spread(a) < 1e-9 * looked_at(truth)[1] or _spread(b) < 1e-9 * looked_at(run)[1]:
        raise MacrosplatError("Cameras can only be aligned with two or more photos from different places.")
    lever = looked_at(run)[1]
    of_run, of_truth = (Rotation.from_matrix(cameras.views[:, :3, :3]) for cameras in (run, truth))
    turns = of_run.inv() * of_truth  # V, each camera's own estimate
    fit = _first_guess(a, b, turns)
    weights = np.ones(len(a))
    for _ in range(ROBUST_ROUNDS):
        squared = np.square(fit * a - b).sum(axis=1) + np.square(lever * _angles(fit, turns))
        typical = max(float(np.median(squared)), 1e-24 * lever**2)
        before, weights = weights, 1.0 / (1.0 + squared / (4.0 * typical))
        fit = _fit(a, b, turns, weights, lever, float(fit.scale))
        if np.abs(weights - before).max() < 1e-6:
            break
    return fit


def centre_errors(truth: Cameras, run: Cameras, similarity: pycolmap.Sim3d) -> Array:
    """[V] distances between the run's camera centres and the mapped true ones, in % of the distance to the object."""
    distance = looked_at(mapped(similarity, truth))[1]
    return 100.0 * np.linalg.norm(similarity * truth.centres - run.centres, axis=1) / distance


def align_rays(similarity: pycolmap.Sim3d, truth: Cameras, run: Cameras) -> pycolmap.Sim3d:
    """Refine `similarity` until mapped true cameras see points about the object in the directions the run's do.

    Centres that lie on one circle, as a turntable's do, fit any circle; a turn that all cameras have in common is then
    left over, and moves every picture. What is seen knows no such freedom, since a centre's error that a turn makes up
    for does not count. Points fill a ball about what the cameras look at. Cauchy's loss, so that wrong cameras
    (fewer than half) do not pull.

    Args:
        similarity: the start, truth to run.
    """
    pivot, distance = looked_at(run)
    across = distance * float(np.median(run.sizes[:, 0] / run.intrinsics[:, 0]))
    axis = np.linspace(-1.0, 1.0, BALL)
    grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    points = pivot + SUBJECT * across * grid[np.linalg.norm(grid, axis=1) < 1.0 + 1e-9]
    wanted = _rays(run, points)
    units = np.r_[np.ones(3), np.full(3, distance), 1.0]

    def off(change: Array) -> Array:
        moved = _moved(similarity, change * units, pivot)
        return (_rays(mapped(moved, truth), points) - wanted).ravel()

    change = np.zeros(7)
    for _ in range(RAY_ROUNDS):
        typical = np.median(np.linalg.norm(off(change).reshape(-1, 3), axis=1))
        change = least_squares(off, change, loss="cauchy", f_scale=max(float(typical), 1e-9)).x
    return _moved(similarity, change * units, pivot)


def refine_similarity(
    similarity: pycolmap.Sim3d,
    truth: Cameras,
    run: Cameras,
    render_at: RenderAt,
    targets: Sequence[NDArray[np.floating]] | None = None,
    most_views: int = 12,
) -> pycolmap.Sim3d:
    """Refine `similarity` until renders from the mapped true cameras look like the run's own.

    A camera's centre and its turning err together and nearly cancel in the photo; a fit to the centres cannot see
    that, the photo can. Only photos that the run was trained on belong in here, never held-out views.

    Robust (Huber) Gauss-Newton in seven parameters about the point that the cameras look at, on renders averaged
    over 8, 4, then 2 px; derivatives by central differences of renders, so `render_at` needs no gradients. A step
    that does not lower the cost is halved, then dropped: the result is never worse than the start.

    Args:
        similarity: the start, truth to run; right within about 8 px (`align_rays`).
        truth: [V] true cameras of training photos.
        run: [V] the run's cameras of the same photos.
        render_at: sRGB (or any fixed curve) render of the run's scene with the intrinsics of camera index v.
        targets: what to match, by camera; None: `render_at(run.views[v], v)`.
        most_views: that many photos, evenly picked, are used: time is 15 renders of each per step.
    """
    picked = np.unique(np.linspace(0, len(run) - 1, min(most_views, len(run))).round().astype(int))
    wanted = {int(v): render_at(run.views[v], int(v)) if targets is None else targets[v] for v in picked}
    pivot, distance = looked_at(run)
    focal, width = float(np.median(run.intrinsics[:, 0])), float(np.median(run.sizes[:, 0]))

    def residuals(change: Array, pool: int) -> list[Array]:
        moved = _moved(similarity, change, pivot)
        return [
            (_pooled(render_at(mapped_view(moved, truth.views[v]), v), pool) - _pooled(wanted[v], pool)).ravel()
            for v in wanted
        ]

    change = np.zeros(7)  # turn [3] rad, shift [3] scene units, log scale; about `pivot`, in the run's frame
    for pool in POOLS:
        # Probes that move the object by PROBE pooled pixels: a turn or a scale acts at about a quarter of the width.
        shift, turn = PROBE * pool * distance / focal, 4 * PROBE * pool / width
        probes = np.r_[np.full(3, turn), np.full(3, shift), turn]
        for _ in range(MOST_STEPS):
            change, gain = _gauss_newton(lambda c, pool=pool: residuals(c, pool), change, probes)
            if gain < LEAST_GAIN:
                break
    return _moved(similarity, change, pivot)


def _gauss_newton(residuals: Callable[[Array], list[Array]], change: Array, probes: Array) -> tuple[Array, float]:
    """One step that lowers the cost, or none: (the new `change`, the part of the cost that went)."""
    now = residuals(change)
    columns = []  # per parameter, per camera: the derivative times the probe
    for k, probe in enumerate(probes):
        step = np.zeros(7)
        step[k] = probe
        ahead, behind = residuals(change + step), residuals(change - step)
        columns.append([(p - q) / 2.0 for p, q in zip(ahead, behind, strict=True)])
    normal, slope = np.zeros((7, 7)), np.zeros(7)
    for v, r in enumerate(now):
        jacobian = np.stack([column[v] for column in columns], axis=1)
        weights = HUBER / np.maximum(np.abs(r), HUBER)
        normal += jacobian.T @ (weights[:, None] * jacobian)
        slope += jacobian.T @ (weights * r)
    normal += 1e-4 * (np.trace(normal) / 7 + 1e-12) * np.eye(7)  # a scene may say nothing about some directions
    step, before = -np.linalg.solve(normal, slope) * probes, _cost(now)
    for _ in range(3):
        after = _cost(residuals(change + step))
        if after < before:
            return change + step, 1.0 - after / before
        step = step / 2
    return change, 0.0


def _spread(points: Array) -> float:
    return float(np.sqrt(np.square(points - points.mean(axis=0)).sum(axis=1).mean()))


def _angles(similarity: pycolmap.Sim3d, turns: Rotation) -> Array:
    """[V] angles between the similarity's rotation and every turn, rad."""
    return (Rotation.from_quat(similarity.rotation.quat).inv() * turns).magnitude()


def _rays(cameras: Cameras, points: Array) -> Array:
    """[V, N, 3] directions in which each camera sees the points, in its own axes, of length 1."""
    at = np.einsum("vij,nj->vni", cameras.views[:, :3, :3], points) + cameras.views[:, None, :3, 3]
    return at / np.linalg.norm(at, axis=2, keepdims=True)


def _similarity(scale: float, rotation: Rotation, translation: Array) -> pycolmap.Sim3d:
    return pycolmap.Sim3d(scale, pycolmap.Rotation3d(rotation.as_quat()), translation)


def _first_guess(a: Array, b: Array, turns: Rotation) -> pycolmap.Sim3d:
    """Medoid of the turns, medians for the rest: right while fewer than half the cameras are wrong."""
    rotation = turns[int(np.argmin([(turn.inv() * turns).magnitude().sum() for turn in turns]))]
    apart = [np.linalg.norm(x[:, None] - x[None], axis=2)[np.triu_indices(len(x), 1)] for x in (a, b)]
    known = apart[0] > 1e-9 * apart[0].max()
    scale = float(np.median(apart[1][known] / apart[0][known]))
    return _similarity(scale, rotation, np.median(b - scale * rotation.apply(a), axis=0))


def _fit(a: Array, b: Array, turns: Rotation, weights: Array, lever: float, scale: float) -> pycolmap.Sim3d:
    """Weighted least squares: one turn of the rotation at the given scale, then scale and translation."""
    w = weights / weights.sum()
    mean_a, mean_b = w @ a, w @ b
    off_a, off_b = a - mean_a, b - mean_b
    # A turn says where the three axes go: sum |R e - R_v e|^2 = 2 angle^2, hence the half.
    axes, turned_axes = np.tile(np.eye(3), (len(w), 1)), np.swapaxes(turns.as_matrix(), 1, 2).reshape(-1, 3)
    of_axes = np.repeat(0.5 * lever**2 * w, 3)
    rotation = Rotation.align_vectors(np.r_[off_b, turned_axes], np.r_[scale * off_a, axes], np.r_[w, of_axes])[0]
    turned = rotation.apply(off_a)
    fitted = float((w[:, None] * turned * off_b).sum() / (w[:, None] * turned * turned).sum())
    scale = fitted if fitted > 0 else scale
    return _similarity(scale, rotation, mean_b - scale * rotation.apply(mean_a))


def _moved(similarity: pycolmap.Sim3d, change: Array, pivot: Array) -> pycolmap.Sim3d:
    """`similarity`, then a turn, shift and scale about `pivot`."""
    rotation, scale = Rotation.from_rotvec(change[:3]), float(np.exp(change[6]))
    return _similarity(scale, rotation, pivot + change[3:6] - scale * rotation.apply(pivot)) * similarity


def _pooled(photo: NDArray[np.floating], pool: int) -> Array:
    """[H // pool, W // pool, 3] means over squares; what is left at the right and the bottom is dropped."""
    h, w = photo.shape[0] // pool, photo.shape[1] // pool
    return np.asarray(photo, np.float64)[: h * pool, : w * pool].reshape(h, pool, w, pool, -1).mean(axis=(1, 3))


def _cost(residuals: Sequence[Array]) -> float:
    """Huber's loss, summed."""
    size = [np.abs(r) for r in residuals]
    return float(sum(np.where(s < HUBER, 0.5 * s * s, HUBER * (s - 0.5 * HUBER)).sum() for s in size))
