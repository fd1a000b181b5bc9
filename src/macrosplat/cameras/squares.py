"""The focal length by coded targets: they are squares, which points that are merely shared between photos do not know.

In: the targets read in photos, and cameras. Out: a `FocalBySquares`. Poses, one factor of all focal lengths, and the
place and side of every square are adjusted together to the corners (Gauss-Newton, weights by the corners' standard
deviations under a soft L1 loss); as in calibration with a plane (Zhang, A flexible new technique for camera
calibration, 2000), but with cameras that are known roughly to start from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial.transform import Rotation

from macrosplat.cameras.records import Cameras
from macrosplat.photos.targets import Target

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float64)
FEWEST_VIEWS, FEWEST_SEEN = 4, 8  # photos, and squares in all of them together
LEAST_PX = 0.05  # a corner's standard deviation is never less
TURNS, SETTLED = 30, 1e-7  # of ln of the focal length
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class FocalBySquares:
    factor: float  # by what the cameras' focal lengths have to be multiplied
    uncertainty: float  # of it, one standard deviation


def focal_by_squares(
    readings: Mapping[str, Sequence[Target]],
    cameras: Cameras,
    points: Mapping[tuple[int, int], NDArray[np.float64]],
) -> FocalBySquares | None:
    """None: too few squares are seen, or they leave it open.

    Args:
        cameras: V, at full size, as they would see undistorted photos.
        points: (number, corner) to where it is in the cameras' world.
    """
    numbers = sorted({n for n, _ in points})
    numbers = [n for n in numbers if all((n, corner) in points for corner in range(4))]
    seen = [
        (v, numbers.index(one.number), one)
        for v, name in enumerate(cameras.names)
        for one in readings.get(name, ())
        if one.number in numbers
    ]
    if len(seen) < FEWEST_SEEN or len({v for v, _, _ in seen}) < FEWEST_VIEWS:
        return None
    view, square = (np.array([row[k] for row in seen]) for k in (0, 1))
    px = np.stack([one.corners for _, _, one in seen])  # [N, 4, 2]
    sigma = np.hypot([one.sigma for _, _, one in seen], LEAST_PX)
    turn, move = cameras.views[:, :3, :3].copy(), cameras.views[:, :3, 3].copy()
    posed = [_laid(np.array([points[n, corner] for corner in range(4)])) for n in numbers]
    axes, origin, side = (np.array([one[k] for one in posed]) for k in (0, 1, 2))
    log_focal, parameters = 0.0, 1 + 6 * len(cameras) + 7 * len(numbers)
    for _ in range(TURNS):
        off, slope = _linear(log_focal, turn, move, axes, origin, side, view, square, px, cameras.intrinsics)
        scaled = off / sigma[:, None]
        loss = (1 + scaled**2) ** -0.25 / sigma[:, None]  # square root of soft L1's weight
        rows = csr_array(
            (
                (slope * loss[..., None]).ravel(),
                (np.repeat(np.arange(off.size), slope.shape[-1]), _columns(view, square, len(cameras)).ravel()),
            ),
            (off.size, parameters),
        )
        normal = (rows.T @ rows).toarray()
        inverse = _inverse(normal)
        step = -inverse @ (rows.T @ (off * loss).ravel())
        log_focal += step[0]
        of_views, of_squares = (
            step[1 : 1 + 6 * len(cameras)].reshape(-1, 6),
            step[1 + 6 * len(cameras) :].reshape(-1, 7),
        )
        more = Rotation.from_rotvec(of_views[:, :3]).as_matrix()
        turn, move = more @ turn, move + of_views[:, 3:]
        axes = Rotation.from_rotvec(of_squares[:, :3]).as_matrix() @ axes
        origin, side = origin + of_squares[:, 3:6], side * np.exp(of_squares[:, 6])
        if not np.isfinite(step).all() or abs(log_focal) > 1:
            return None
        if abs(step[0]) < SETTLED:
            break
    # By the median: corners that are far off have little weight already.
    scatter = max(1.0, MAD_TO_SIGMA * float(np.median(np.abs(scaled))))
    return FocalBySquares(float(np.exp(log_focal)), scatter * float(inverse[0, 0]) ** 0.5)


def _laid(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Axes [3, 3], first corner [3] and side of the square that fits four points [4, 3] best."""
    a, b = points - points.mean(0), SQUARE - SQUARE.mean(0)
    u, d, vt = np.linalg.svd(a.T @ b)
    flip = np.diag([1, 1, np.linalg.det(u @ vt)])
    axes = u @ flip @ vt
    side = float((d * np.diag(flip)).sum() / (b**2).sum())
    return axes, points.mean(0) - side * axes @ SQUARE.mean(0), side


def _linear(log_focal, turn, move, axes, origin, side, view, square, px, intrinsics):
    """Where corners are projected, less where they are seen [N, 8] px, and its slopes [N, 8, 14]: ln focal length, pose
    of the camera (turn, move), of the square, and ln of its side."""
    inside = side[square, None, None] * np.einsum("nij,kj->nki", axes[square], SQUARE)  # about the first corner
    turned = np.einsum("nij,nkj->nki", turn[view], inside + origin[square, None])
    local = turned + move[view, None]
    focal, z = np.exp(log_focal) * intrinsics[view, None, :2], local[..., 2:]
    centred = focal * local[..., :2] / z
    off = centred + intrinsics[view, None, 2:] - px
    by_local = np.zeros((*off.shape, 3))
    by_local[..., 0, 0], by_local[..., 1, 1] = focal[..., 0] / z[..., 0], focal[..., 1] / z[..., 0]
    by_local[..., 2] = -centred / z
    by_world = np.einsum("nkcd,nde->nkce", by_local, turn[view])
    slope = np.concatenate(
        [
            centred[..., None],
            np.cross(turned[..., None, :], by_local),
            by_local,
            np.cross(inside[..., None, :], by_world),
            by_world,
            np.einsum("nkcd,nkd->nkc", by_world, inside)[..., None],
        ],
        axis=-1,
    )
    return off.reshape(len(off), 8), slope.reshape(len(off), 8, -1)


def _columns(view: NDArray[np.int64], square: NDArray[np.int64], views: int) -> NDArray[np.int64]:
    """[N, 8, 14] the parameter of every slope."""
    mine = np.concatenate(
        [
            np.zeros((len(view), 1), np.int64),
            1 + 6 * view[:, None] + np.arange(6),
            1 + 6 * views + 7 * square[:, None] + np.arange(7),
        ],
        axis=1,
    )
    return np.broadcast_to(mine[:, None], (len(view), 8, mine.shape[1]))


def _inverse(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pseudo-inverse: the world's place, turn and unit, and photos without squares, are left as they are."""
    scale = 1 / np.sqrt(np.maximum(np.diag(normal), 1e-300))
    scale[np.diag(normal) <= 0] = 0
    values, vectors = np.linalg.eigh(normal * scale[:, None] * scale)
    kept = np.where(values > 1e-10 * values.max(), 1 / np.where(values > 0, values, 1), 0)
    return (vectors * kept) @ vectors.T * scale[:, None] * scale
