"""How a lens breathes whose cameras were found from the photos by one focal length: poses hide it by stepping back.

In: cameras of one focal length, points that they see, and the photos. Out: the same cameras with a focal length each,
fx_i = F (1 + b (m_i / mean(m) - 1)), m_i the magnification of what is in focus (`lens.breathing` has the formula), and
poses and points that go with them; or as they were, where the photos do not surely tell b.

Poses, points, F and b are adjusted together, by robust least squares. Key points tell b only where photos are focused
at different distances, and only by how perspective changes with a step back; so a wrong focus hides it
(experiments: breathing-by-focus).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bsr_array, csr_array
from scipy.spatial.transform import Rotation

from macrosplat.cameras.calibrate import as_taken
from macrosplat.cameras.distort import with_focal
from macrosplat.cameras.in_focus import find_focus
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.photos.records import Photo

Array = NDArray[np.float64]

SURE, LEAST_SURE = 2.5, 0.15  # standard deviations of b, and the most that one may be
HIGHEST = 0.7  # of b: a lens of one focal length that magnifies twice
SPREAD = 0.01  # relative, of the magnifications: where photos are focused alike there is nothing to find
FEWEST, MOST = 8, 200  # photos; the equations of more take minutes
ALIKE = 1e-6  # relative: focal lengths that differ by more are of several lenses, or were told photo by photo
ROUNDS = 60
SETTLED = 0.003  # standard deviations of b: a step below it is the last
LEAST_LOSS = 0.05  # px, of the Cauchy loss, which is 1.5 times the median distance


@dataclass(frozen=True)
class Breathing:
    """What bundle adjustment says of b."""

    cameras: Cameras
    xyz: Array  # [P, 3]
    slope: float  # b
    sigma: float
    relative: Array  # [V] magnifications over their mean, less 1

    @property
    def sure(self) -> bool:
        """Whether the photos tell it."""
        return SURE * self.sigma < self.slope < HIGHEST and self.sigma < LEAST_SURE

    @property
    def sentence(self) -> str:
        """For people."""
        low, high = (100 * self.slope * x for x in (self.relative.min(), self.relative.max()))
        return (
            f"The lens breathes while it focuses: the photos' focal lengths (px) differ by {low:+.1f} to {high:+.1f} % "
            f"from their mean, give or take {100 * self.sigma / self.slope:.0f} % of that."
        )


def differ(cameras: Cameras) -> bool:
    """Whether photos have focal lengths of their own."""
    focal = cameras.intrinsics[:, 0] / cameras.sizes.max(1)
    return bool(np.ptp(focal) > ALIKE * focal.mean())


def with_breathing(cameras: Cameras, points: SparsePoints, photos: Sequence[Photo]) -> Breathing | None:
    """Cameras and points with the lens's breathing, where the photos surely tell it; None: they do not.

    Args:
        cameras: V. points: observations in px of the undistorted photos. photos: V, in the same order.
    """
    if not FEWEST <= len(cameras) <= MOST or differ(cameras):
        return None
    focus = find_focus(as_taken(points, cameras), cameras, photos)
    if not np.isfinite(focus.sigma).all():
        return None
    magnified = cameras.intrinsics[:, 0] / cameras.sizes.max(1) * focus.nearness
    relative = magnified / magnified.mean() - 1
    if relative.std() < SPREAD:
        return None
    found = adjusted(cameras, points, relative)
    return found if found.sure else None


def adjusted(cameras: Cameras, points: SparsePoints, relative: Array) -> Breathing:
    """Bundle adjustment of poses, points, the focal length and b by Gauss-Newton steps, the points eliminated.

    Args:
        relative: [V] magnifications over their mean, less 1.
    """
    count, photo, point = len(cameras), points.photo, points.point
    turn, shift = cameras.views[:, :3, :3].copy(), cameras.views[:, :3, 3].copy()
    scale, centre = cameras.intrinsics[photo, :2], cameras.intrinsics[photo, 2:]
    xyz, longer, b = points.xyz.copy(), 1.0, 0.0
    columns = np.concatenate([6 * photo[:, None] + np.arange(6), np.tile(6 * count + np.arange(2), (len(photo), 1))], 1)
    inverse, sigma = np.zeros((6 * count + 2,) * 2), np.inf
    nothing = Breathing(cameras, points.xyz, 0.0, np.inf, relative)  # where steps do not settle
    for _ in range(ROUNDS):
        local = np.einsum("oij,oj->oi", turn[photo], xyz[point]) + shift[photo]
        if not (np.isfinite(local).all() and (local[:, 2] > 0).all()):
            return nothing
        ray = local[:, :2] / local[:, 2:]
        focal = scale * longer * (1 + b * relative[photo])[:, None]
        wrong = points.px - (focal * ray + centre)
        distance = np.hypot(*wrong.T)
        weight = 1 / (1 + (distance / max(1.5 * float(np.median(distance)), LEAST_LOSS)) ** 2)
        by_local = np.zeros((len(photo), 2, 3))
        by_local[:, 0, 0], by_local[:, 1, 1] = focal.T / local[:, 2]
        by_local[:, :, 2] = -focal * ray / local[:, 2:]
        # A step turns what a camera sees by w and shifts it: local + w x local + t.
        x, y, z, none = *local.T, np.zeros(len(photo))
        cross = np.stack([none, z, -y, -z, none, x, y, -x, none], 1).reshape(-1, 3, 3)
        of_lens = np.stack([focal * ray, scale * longer * ray * relative[photo, None]], 2)
        by_camera = np.concatenate([by_local @ cross, by_local, of_lens], 2)  # [O, 2, 8]
        normal, target, moves = _without_points(
            by_camera, by_local @ turn[photo], wrong, weight, point, columns, 6 * count + 2, len(xyz)
        )
        sizes = np.sqrt(np.maximum(np.diag(normal), 1e-30))
        inverse = np.linalg.pinv(normal / np.outer(sizes, sizes), rcond=1e-10, hermitian=True) / np.outer(sizes, sizes)
        step = inverse @ target
        xyz, longer, b = xyz + moves(step), longer * float(np.exp(step[-2])), b + float(step[-1])
        turned = Rotation.from_rotvec(step[:-2].reshape(count, 6)[:, :3]).as_matrix()
        turn = turned @ turn
        shift = np.einsum("vij,vj->vi", turned, shift) + step[:-2].reshape(count, 6)[:, 3:]
        freedom = 2 * weight.sum() - 3 * len(xyz) - 6 * count + 5
        square = float(weight @ distance**2) / max(float(freedom), 1.0)
        sigma = float(np.sqrt(max(inverse[-1, -1] * square, 0.0)))
        if abs(step[-1]) < SETTLED * sigma:
            break
    else:
        return nothing
    views = cameras.views.copy()
    views[:, :3, :3], views[:, :3, 3] = turn, shift
    changed = with_focal(replace(cameras, views=views), longer * (1 + b * relative))
    return Breathing(changed, xyz, b, sigma, relative)


def _without_points(by_camera, by_point, wrong, weight, point, columns, unknowns: int, count: int):
    """The normal equations of cameras and lens [K, K], the points eliminated, and how the points follow a step."""
    rows = np.repeat(np.arange(2 * len(point)), columns.shape[1])
    wide = np.repeat(columns, 2, axis=0).ravel()
    steep: Any = csr_array((by_camera.ravel(), (rows, wide)), shape=(2 * len(point), unknowns))
    twice = np.repeat(weight, 2)
    weighed: Any = csr_array((twice[rows] * by_camera.ravel(), (rows, wide)), shape=steep.shape)
    each = csr_array((weight, (point, np.arange(len(point)))), shape=(count, len(point)))
    own = (each @ np.einsum("oai,oaj->oij", by_point, by_point).reshape(-1, 9)).reshape(-1, 3, 3)
    own += (1e-9 * np.trace(own, axis1=1, axis2=2)[:, None, None] + 1e-30) * np.eye(3)
    right = each @ np.einsum("oai,oa->oi", by_point, wrong)
    # [2 O, 3 P], and through it the sums over a point's observations.
    of_point: Any = csr_array(
        (
            by_point.ravel(),
            (np.repeat(np.arange(2 * len(point)), 3), (3 * np.repeat(point, 2)[:, None] + np.arange(3)).ravel()),
        ),
        shape=(2 * len(point), 3 * count),
    )
    mixed = of_point.T @ weighed  # [3 P, K]
    solve: Any = _blocks(np.linalg.inv(own))
    held = solve @ mixed
    normal = (steep.T @ weighed - mixed.T @ held).toarray()
    target = weighed.T @ wrong.ravel() - held.T @ right.ravel()
    return normal, target, lambda step: (solve @ (right.ravel() - mixed @ step)).reshape(-1, 3)


def _blocks(blocks: Array) -> Any:
    """[3 P, 3 P] with blocks [P, 3, 3]."""
    count = len(blocks)
    return bsr_array((blocks, np.arange(count), np.arange(count + 1)), shape=(3 * count, 3 * count))
