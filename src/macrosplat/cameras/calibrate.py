"""Given cameras checked against the photos: the focal length of each photo and the lens's radial distortion.

Real lenses breathe (the focal length in px follows the focus) and distort; a rig's calibration often has one focal
length and no distortion. Poses stay as they are given; points move with what is refined, so that nothing is taken for
the lens's that another place of the points explains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from macrosplat.cameras.records import Cameras, Distortion, SparsePoints
from macrosplat.cameras.undistort import colmap_camera, pinhole_of, rescaled

ROUNDS = 20  # of Gauss-Newton steps under reweighting; a start 2 % off is found in 6
SETTLED = 1e-6  # relative focal length, or displacement: a step below it is the last
SURE = 5.0  # standard deviations: less is not told from none
DIFFER = 3.0  # standard deviations, in the median over the photos, by which their focal lengths have to differ
SEEN = (
    5e-4  # of the photo's width at its corner: a smaller displacement is below what key points of blurred photos tell
)
MOST = 0.1  # relative focal length: cameras that far off are wrong in another way
LEAST = 30  # observations of a photo without which its focal length stays


@dataclass(frozen=True)
class Calibration:
    """What the photos say of the intrinsics that they were given."""

    cameras: Cameras  # corrected where that is sure
    focal: NDArray[np.float64]  # [V] factor on the given focal length
    focal_sigma: NDArray[np.float64]  # [V] its standard deviation
    k1: float  # radial distortion, OpenCV's
    k1_sigma: float
    radial: bool = False  # whether k1 was corrected
    differ: bool = False  # whether the photos got focal lengths of their own
    common: bool = False  # whether the mean of the focal lengths was corrected

    @property
    def changed(self) -> bool:
        """Whether `cameras` differ from those that were given."""
        return self.radial or self.differ or self.common

    def sentences(self) -> tuple[str, ...]:
        """What was corrected, for people."""
        lines = []
        if self.differ:
            low, high = 100 * (self.focal.min() - 1), 100 * (self.focal.max() - 1)
            lines.append(
                "The photos' focal lengths (px) differ as a lens's do that breathes while it focuses, by "
                f"{low:+.1f} to {high:+.1f} % from the given ones; each photo has its own now."
            )
        elif self.common:
            lines.append(f"The given focal length was corrected by {100 * (float(np.mean(self.focal)) - 1):+.1f} %.")
        if self.radial:
            half = np.hypot(*(self.cameras.sizes.T / 2)) / self.cameras.intrinsics[:, 0]
            lines.append(
                f"The photos are distorted by {100 * self.k1 * float(np.median(half)) ** 2:+.1f} % at the corner (k1 "
                f"{self.k1:.3g}), which their cameras leave out; they are undistorted now."
            )
        return tuple(lines)


def calibrate(cameras: Cameras, points: SparsePoints, known: Calibration | None = None) -> Calibration:
    """Focal lengths per photo and one radial distortion under fixed poses, by robust least squares over the points.

    Distances of observations from projections are weighted as a Cauchy loss does. The points are eliminated (Schur
    complement), which also gives the standard deviations. The mean of the focal lengths and the distortion stay as
    given unless they are surely otherwise: either can stand in for some of the other, and key points of blurred photos
    are not where they would be in sharp ones.

    Args:
        cameras: V without distortion.
        points: their observations in px of the photos as taken (`as_taken`).
        known: a calibration of the same cameras by fewer points; what it corrected is corrected, however little.
    """
    count = len(cameras)
    assert not any(cameras.distortion), "cameras that know their distortion are not calibrated"
    refined = np.bincount(points.photo, minlength=count) >= LEAST
    unknown = Calibration(cameras, np.ones(count), np.full(count, np.inf), 0.0, np.inf)
    if refined.sum() < 3:
        return unknown
    width, half = float(np.median(cameras.sizes[:, 0])), float(np.median(np.hypot(*(cameras.sizes.T / 2))))
    corner = float(np.median((half / cameras.intrinsics[:, 0]) ** 2))  # squared tangent of the angle there
    free = _solved(cameras, points, refined, common=True, radial=True)
    if free is None:
        return unknown
    offset = float(np.mean(free.focal[refined]))
    common = abs(offset) > SURE * float(np.mean(free.focal_sigma[refined])) and abs(offset) * half > SEEN * width
    common = known.common if known else bool(common)
    found = free if common else _solved(cameras, points, refined, common=False, radial=True)
    if found is None:
        return unknown
    radial = abs(found.k1) > SURE * found.k1_sigma
    radial = radial and abs(found.k1) * corner * half > SEEN * width
    radial = known.radial if known else bool(radial)
    used = found if radial else _solved(cameras, points, refined, common=common, radial=False)
    if used is None:
        return unknown
    apart = used.focal - float(np.mean(used.focal[refined]))
    differ = np.median(np.abs(apart[refined]) / used.focal_sigma[refined]) > DIFFER
    differ = differ and np.sqrt(np.mean(apart[refined] ** 2)) * half > SEEN * width
    differ = known.differ if known else bool(differ)
    factor = _factors(used, refined, common, bool(differ))
    if radial or differ or common:
        cameras = _corrected(cameras, factor, used.k1 if radial else 0.0)
    return Calibration(cameras, factor, used.focal_sigma, found.k1, found.k1_sigma, radial, differ, common)


def with_distortion(cameras: Cameras, points: SparsePoints, known: Calibration, k1: float) -> Calibration:
    """What is `known` of the same cameras by these points, with a k1 that other observations have told, and the focal
    lengths that go with it."""
    refined = np.bincount(points.photo, minlength=len(cameras)) >= LEAST
    used = _solved(cameras, points, refined, common=known.common, radial=False, k1=k1)
    if used is None:
        return known
    factor = _factors(used, refined, known.common, known.differ)
    return with_its_cameras(cameras, replace(known, focal=factor, focal_sigma=used.focal_sigma, k1=k1))


def with_its_cameras(cameras: Cameras, found: Calibration) -> Calibration:
    """The calibration with the cameras that go with its focal lengths and k1."""
    return replace(found, cameras=_corrected(cameras, found.focal, found.k1 if found.radial else 0.0))


def told_distortion(cameras: Cameras, points: SparsePoints, known: Calibration) -> float:
    """k1 by these points, under the focal lengths that are known."""
    held = replace(cameras, intrinsics=_corrected(cameras, known.focal, 0.0).intrinsics)
    none = np.zeros(len(cameras), np.bool_)
    found = _solved(held, points, none, common=True, radial=True, k1=known.k1)
    return known.k1 if found is None else found.k1


def _factors(used: _Solution, refined: NDArray[np.bool_], common: bool, differ: bool) -> NDArray[np.float64]:
    """[V] on the given focal lengths."""
    mean = float(np.mean(used.focal[refined])) if common else 0.0
    return 1 + np.where(refined & differ, used.focal, mean)


def as_taken(points: SparsePoints, cameras: Cameras) -> SparsePoints:
    """The same points, their observations in px of the photos as taken instead of undistorted."""
    return _moved(points, cameras, lambda camera, ray, _: np.asarray(camera.img_from_cam(ray)))


def undistorted(points: SparsePoints, cameras: Cameras) -> SparsePoints:
    """The same points, their observations in px of the undistorted photos instead of as taken."""

    def pinhole(camera, _, px):
        return np.asarray(camera.cam_from_img(px))[:, :2]

    out = _moved(points, cameras, pinhole)
    intrinsics = cameras.intrinsics[points.photo]
    bent = np.array([d is not None for d in cameras.distortion])[points.photo]
    return replace(out, px=np.where(bent[:, None], out.px * intrinsics[:, :2] + intrinsics[:, 2:], points.px))


def _moved(points: SparsePoints, cameras: Cameras, mapping) -> SparsePoints:
    px = points.px.copy()
    for v, distortion in enumerate(cameras.distortion):
        seen = np.flatnonzero(points.photo == v)
        if distortion is not None and len(seen):
            ray = (points.px[seen] - cameras.intrinsics[v, 2:]) / cameras.intrinsics[v, :2]
            camera = colmap_camera(rescaled(distortion, *(int(side) for side in cameras.sizes[v])))
            px[seen] = mapping(camera, np.column_stack([ray, np.ones(len(ray))]), points.px[seen])
    return replace(points, px=px)


def _corrected(cameras: Cameras, factor: NDArray[np.float64], k1: float) -> Cameras:
    intrinsics = cameras.intrinsics * np.stack([factor, factor, np.ones_like(factor), np.ones_like(factor)], 1)
    if k1 == 0:
        return replace(cameras, intrinsics=intrinsics)
    distortion = tuple(
        Distortion("OPENCV", (*(float(x) for x in k), k1, 0.0, 0.0, 0.0), int(w), int(h))
        for k, (w, h) in zip(intrinsics, cameras.sizes, strict=True)
    )
    return replace(cameras, intrinsics=np.stack([pinhole_of(d) for d in distortion]), distortion=distortion)


@dataclass(frozen=True)
class _Solution:
    focal: NDArray[np.float64]  # [V] relative change
    focal_sigma: NDArray[np.float64]  # [V]
    k1: float
    k1_sigma: float


def _solved(
    cameras: Cameras,
    points: SparsePoints,
    refined: NDArray[np.bool_],
    common: bool,
    radial: bool,
    k1: float = 0.0,
) -> _Solution | None:
    """What the photos agree best with; None where that does not settle.

    Args:
        refined: [V] photos whose focal length is refined. common: their mean, too. radial: k1, too. k1: its start.
    """
    count, photo, point = len(cameras), points.photo, points.point
    rotation, shift = cameras.views[photo, :3, :3], cameras.views[photo, :3, 3]
    scale, centre = cameras.intrinsics[photo, :2], cameras.intrinsics[photo, 2:]
    xyz, lens = points.xyz.copy(), np.zeros(count + 1)
    lens[-1] = k1
    # Directions in which the lens may change: orthonormal columns.
    basis = np.zeros((count + 1, int(refined.sum()) + 1))
    basis[np.flatnonzero(refined), np.arange(refined.sum())] = 1
    basis[-1, -1] = 1
    if not common:
        mean = np.append(np.ones(int(refined.sum())), 0) / np.sqrt(refined.sum())
        basis = basis @ np.linalg.svd(np.eye(len(mean)) - np.outer(mean, mean))[0][:, :-1]
    if not radial:
        basis = basis[:, np.abs(basis[-1]) < 0.5]
    for _ in range(ROUNDS):
        local = np.einsum("oij,oj->oi", rotation, xyz[point]) + shift
        if (local[:, 2] <= 0).any():
            return None
        ray = local[:, :2] / local[:, 2:]
        radius = (ray**2).sum(1)
        bent = 1 + lens[-1] * radius
        longer = scale * (1 + lens[photo])[:, None]
        wrong = points.px - (longer * ray * bent[:, None] + centre)  # [O, 2] px
        distance = np.hypot(*wrong.T)
        weight = 1 / (1 + (distance / max(1.5 * float(np.median(distance)), 1e-9)) ** 2)
        square = (weight * distance**2).sum() / max(2 * weight.sum() - 3 * len(xyz) - basis.shape[1], 1.0)
        # Jacobians of a pixel by its ray, of the ray by the point as the camera sees it, of a pixel by the focal length
        # of its photo and by k1.
        jacobian_ray = longer[:, :, None] * (
            bent[:, None, None] * np.eye(2) + 2 * lens[-1] * ray[:, :, None] * ray[:, None]
        )
        jacobian_local = np.zeros((len(photo), 2, 3))
        jacobian_local[:, 0, 0] = jacobian_local[:, 1, 1] = 1 / local[:, 2]
        jacobian_local[:, :, 2] = -ray / local[:, 2:]
        by_lens = np.stack([scale * ray * bent[:, None], longer * ray * radius[:, None]], 2)
        normal, target, moves = _without_points(
            jacobian_ray @ jacobian_local @ rotation, by_lens, wrong, weight, point, len(xyz), photo, count
        )
        normal, target = basis.T @ normal @ basis, basis.T @ target
        inverse = np.linalg.pinv(normal)
        along = inverse @ target
        step = basis @ along
        lens, xyz = lens + step, xyz + moves(step)
        if not np.isfinite(lens).all() or np.abs(lens[:-1]).max() > MOST:
            return None
        if max(np.abs(step[:-1]).max(initial=0), abs(step[-1]) * radius.max()) < SETTLED:
            break
    sigma = np.sqrt(np.maximum(np.einsum("ia,ab,ib->i", basis, inverse, basis) * square, 0))
    sigma[:-1][~refined] = np.inf
    return _Solution(lens[:-1], sigma[:-1], float(lens[-1]), float(sigma[-1]) if radial else np.inf)


def _without_points(by_point, by_lens, wrong, weight, point, points: int, photo, photos: int):
    """The normal equations of all that the lens may be, the points eliminated, and how the points follow it.

    Args:
        by_point: [O, 2, 3], by_lens: [O, 2, 2] by the focal length of the observation's photo and by k1.
    """
    each = csr_array((np.ones(len(point)), (point, np.arange(len(point)))), shape=(points, len(point)))

    def of_points(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N, ...] sums of what observations have [O, ...] over those of each point."""
        return (each @ values.reshape(len(values), -1)).reshape(points, *values.shape[1:])

    weighted = (weight[:, None, None] * by_point).transpose(0, 2, 1)  # [O, 3, 2]
    own = of_points(weighted @ by_point)
    own += (1e-9 * np.trace(own, axis1=1, axis2=2)[:, None, None] + 1e-30) * np.eye(3)
    # By point, coordinate and what of the lens: of the focal lengths an observation knows its own photo's alone.
    both = weighted @ by_lens
    columns = photos + 2
    place = (3 * point[:, None] + np.arange(3)) * columns + photo[:, None]
    mixed = np.bincount(place.ravel(), both[..., 0].ravel(), 3 * points * columns).reshape(points, 3, columns)
    mixed[..., -2:] = of_points(np.concatenate([both[..., 1:], weighted @ wrong[..., None]], 2))
    solved = np.linalg.inv(own) @ mixed
    squares = (weight[:, None, None] * by_lens).transpose(0, 2, 1) @ np.concatenate([by_lens, wrong[..., None]], 2)
    of_photo = [np.bincount(photo, column, photos) for column in squares[:, 0].T]
    normal = np.zeros((photos + 1, columns))
    normal[range(photos), range(photos)], normal[:-1, -2], normal[:-1, -1] = of_photo
    normal[-1, :-2], normal[-1, -2:] = of_photo[1], squares[:, 1, 1:].sum(0)
    normal -= mixed[..., :-1].reshape(-1, columns - 1).T @ solved.reshape(-1, columns)
    return normal[:, :-1], normal[:, -1], lambda step: solved[..., -1] - solved[..., :-1] @ step
