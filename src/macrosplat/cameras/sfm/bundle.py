"""Bundle adjustment that trusts each observation by the size of its key point, which COLMAP's does not.

Where a blurred photo shows a large key point, it lies off its place by a share of its size; alike for neighbours, so
that focal lengths follow it (experiments: large-points). Levenberg-Marquardt under a Cauchy loss, the points
eliminated.

In: a model and how far each observation may be off (`Noise`). Out: the model adjusted, in place; costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.spatial.transform import Rotation

from macrosplat.cameras.sfm import mapping
from macrosplat.cameras.sfm.features import Features
from macrosplat.support.colmap import pycolmap

# The Cauchy loss, medians of what is left: 2.385 standard deviations of a coordinate are 95 % as efficient as least
# squares, and the median distance in two dimensions is 1.177 of them.
EFFICIENT = 2.385 / 1.177
# The share of the cost by which the last step lowers it (experiments: large-points), and how many there may be.
SETTLED, STEPS = 1e-5, 50
# What damps them, a share of the diagonal: at first, at the least, and where it gives up.
DAMPED, LEAST, MOST = 1e-6, 1e-9, 1e4


@dataclass(frozen=True)
class Noise:
    """How far observations may be off."""

    sigmas: Sequence[NDArray[np.float64]]  # per photo: px, of each of its key points
    loss: float  # of the Cauchy loss, sigmas

    @classmethod
    def alike(cls, features: Sequence[Features], loss: float) -> Noise:
        """All alike.

        Args:
            loss: px.
        """
        return cls([np.ones(len(one)) for one in features], loss)

    @classmethod
    def by_size(cls, model: pycolmap.Reconstruction, features: Sequence[Features]) -> Noise:
        """In proportion to the sizes of the key points; by how much, the adjusted model tells."""
        sizes = [one.sizes for one in features]
        left = _Problem.of(model, cls(sizes, 1.0), focal=False).left()
        return cls(sizes, EFFICIENT * float(np.median(np.linalg.norm(left, axis=1))) if len(left) else 1.0)


def costs(model: pycolmap.Reconstruction, noise: Noise) -> NDArray[np.float64]:
    """[O] sigma^2, the Cauchy cost of every observation."""
    return _Problem.of(model, noise, focal=False).costs()


def adjust(
    model: pycolmap.Reconstruction,
    noise: Noise,
    focal: bool = True,
    radial: bool = False,
    most: float = mapping.RUNS_AWAY,
) -> None:
    """Bundle adjustment of poses, points and focal lengths.

    The focal length of a camera with fewer than `mapping.FOCAL_PHOTOS` photos stays as it is; without `focal` all do,
    and so do all where one runs away.

    Args:
        model: image n + 1 is photo n; of cameras with one focal length. It is changed.
        radial: whether the distortion of cameras whose focal length is adjusted is, too.
        most: times that a focal length may grow.
    """
    if not model.num_points3D():
        return
    begun = _Problem.of(model, noise, focal, radial)
    found = begun.solved()
    grown = found.lenses[:, 0] / begun.lenses[:, 0]
    if focal and not ((grown >= 1 / 3) & (grown <= most)).all():
        found = _Problem.of(model, noise, focal=False).solved()
    found.into(model)


@dataclass(frozen=True)
class _Problem:
    """A model as arrays: C cameras, V photos, P points, O observations."""

    camera_ids: list[int]
    image_ids: list[int]
    point_ids: list[int]
    lenses: NDArray[np.float64]  # [C, 2] focal length, px, and k1
    middles: NDArray[np.float64]  # [C, 2] px
    free: NDArray[np.bool_]  # [C, 2] which of `lenses` are adjusted
    turns: NDArray[np.float64]  # [V, 3, 3]
    shifts: NDArray[np.float64]  # [V, 3]
    xyz: NDArray[np.float64]  # [P, 3]
    lens: NDArray[np.int64]  # [O]
    photo: NDArray[np.int64]  # [O]
    point: NDArray[np.int64]  # [O]
    px: NDArray[np.float64]  # [O, 2]
    sigma: NDArray[np.float64]  # [O]
    loss: float

    @classmethod
    def of(cls, model: pycolmap.Reconstruction, noise: Noise, focal: bool = True, radial: bool = False) -> _Problem:
        camera_ids, image_ids, point_ids = sorted(model.cameras), sorted(model.reg_image_ids()), sorted(model.points3D)
        params = [np.array(model.cameras[i].params) for i in camera_ids]
        count = Counter(model.images[i].camera_id for i in image_ids)
        adjusted = np.array([[focal and count[i] >= mapping.FOCAL_PHOTOS] * 2 for i in camera_ids])
        adjusted[:, 1] &= radial
        poses = np.array([model.images[i].cam_from_world().matrix() for i in image_ids])
        number = {one: n for n, one in enumerate(point_ids)}
        rows = [np.array(model.images[i].get_observation_point2D_idxs(), np.int64) for i in image_ids]
        seen = [model.images[i].get_observation_points2D() for i in image_ids]
        photo = np.repeat(np.arange(len(image_ids)), [len(one) for one in rows])
        return cls(
            camera_ids,
            image_ids,
            point_ids,
            np.array([[one[0], one[3] if len(one) > 3 else 0.0] for one in params]),
            np.array([one[1:3] for one in params]),
            adjusted,
            poses[:, :, :3],
            poses[:, :, 3],
            np.array([model.points3D[i].xyz for i in point_ids]).reshape(-1, 3),
            np.array([camera_ids.index(model.images[i].camera_id) for i in image_ids], np.int64)[photo],
            photo,
            np.array([number[one.point3D_id] for some in seen for one in some], np.int64),
            np.array([one.xy for some in seen for one in some]).reshape(-1, 2),
            np.concatenate([noise.sigmas[i - 1][some] for i, some in zip(image_ids, rows, strict=True)]),
            noise.loss,
        )

    def into(self, model: pycolmap.Reconstruction) -> None:
        for i, (focal, k1) in zip(self.camera_ids, self.lenses, strict=True):
            params = model.cameras[i].params
            model.cameras[i].params = [focal, *params[1:3], *([k1] if len(params) > 3 else [])]
        for i, turn, shift in zip(self.image_ids, self.turns, self.shifts, strict=True):
            model.frames[model.images[i].frame_id].rig_from_world = pycolmap.Rigid3d(np.column_stack([turn, shift]))
        for i, xyz in zip(self.point_ids, self.xyz, strict=True):
            model.points3D[i].xyz = xyz

    def costs(self) -> NDArray[np.float64]:
        """[O]"""
        return 0.5 * self.loss**2 * np.log1p((self.left() ** 2).sum(1) / self.loss**2)

    def solved(self) -> _Problem:
        """Where a step hardly lowers the cost any more."""
        now, cost, damped = self, self.costs().sum(), DAMPED
        for _ in range(STEPS):
            normal = now._normal()
            while True:
                then = now._moved(*normal.step(damped))
                lower = then.costs().sum()
                if lower <= cost:
                    break
                damped *= 10
                if damped > MOST:
                    return now
            settled = cost - lower < SETTLED * cost
            now, cost, damped = then, lower, max(damped / 10, LEAST)
            if settled:
                break
        return now

    def _local(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Of each observation: its point turned, [O, 3] x / z, y / z and z before the camera, and the bend [O, 1]."""
        turned = np.einsum("oij,oj->oi", self.turns[self.photo], self.xyz[self.point])
        place = turned + self.shifts[self.photo]
        uv = place[:, :2] / place[:, 2:]
        return turned, np.column_stack([uv, place[:, 2]]), 1 + self.lenses[self.lens, 1:] * (uv**2).sum(1)[:, None]

    def left(self) -> NDArray[np.float64]:
        """[O, 2] sigmas between where points are seen and where they lie."""
        _, place, bend = self._local()
        lies = self.lenses[self.lens, :1] * bend * place[:, :2] + self.middles[self.lens]
        return (self.px - lies) / self.sigma[:, None]

    def _normal(self) -> _Normal:
        """The normal equations, weighted as the loss does where the observations are now."""
        turned, place, bend = self._local()
        uv, z, k1 = place[:, :2], place[:, 2], self.lenses[self.lens, 1]
        focal = self.lenses[self.lens, 0]
        left = self.left()
        weight = 1 / np.sqrt(1 + (left**2).sum(1) / self.loss**2)
        scaled = focal * weight / self.sigma / z
        # The derivative of the place in the photo by the place before the camera.
        bent = bend[:, :, None] * np.eye(2) + 2 * k1[:, None, None] * uv[:, :, None] * uv[:, None, :]
        by_place = (
            np.concatenate([bent, -np.einsum("oij,oj->oi", bent, uv)[:, :, None]], axis=2) * scaled[:, None, None]
        )
        by_turn = np.asarray(np.cross(turned[:, None, :], by_place), np.float64)  # rows: J [-x]_cross = x cross J
        by_pose = np.concatenate([by_turn, by_place], axis=2)
        by_xyz = by_place @ self.turns[self.photo]
        by_focal = bend * uv * (weight / self.sigma)[:, None]
        by_k1 = (focal * weight / self.sigma * (uv**2).sum(1))[:, None] * uv
        poses, count = 6 * len(self.image_ids), len(self.px)
        column = np.cumsum(self.free.ravel()).reshape(-1, 2) - 1 + poses  # of what is adjusted of each lens
        columns, values = [6 * self.photo[:, None] + np.arange(6)], [by_pose]
        for k, by in enumerate((by_focal, by_k1)):
            columns.append(np.where(self.free[self.lens, k], column[self.lens, k], 0)[:, None])
            values.append((by * self.free[self.lens, k, None])[:, :, None])
        return _Normal.of(
            _rows(np.concatenate(columns, 1), np.concatenate(values, 2), poses + int(self.free.sum())),
            by_xyz,
            left * weight[:, None],
            self.point,
            (count, len(self.xyz)),
        )

    def _moved(self, by: NDArray[np.float64], xyz: NDArray[np.float64]) -> _Problem:
        """By what poses and lenses, and points, are to be moved."""
        poses = by[: 6 * len(self.image_ids)].reshape(-1, 6)
        lenses = self.lenses.copy()
        lenses[self.free] += by[poses.size :]
        turns = Rotation.from_rotvec(poses[:, :3]).as_matrix() @ self.turns
        return replace(self, lenses=lenses, turns=turns, shifts=self.shifts + poses[:, 3:], xyz=self.xyz + xyz)


@dataclass(frozen=True)
class _Normal:
    """Normal equations of N unknowns of poses and lenses, and of P points that are eliminated."""

    own: NDArray[np.float64]  # [N, N]
    wanted: NDArray[np.float64]  # [N]
    by_own: sparse.csr_array  # [2 O, N] the derivatives of what is left
    by_xyz: NDArray[np.float64]  # [O, 2, 3]
    of_points: NDArray[np.float64]  # [P, 3, 3]
    wanted_of_points: NDArray[np.float64]  # [P, 3]
    point: NDArray[np.int64]  # [O]

    @classmethod
    def of(
        cls,
        by_own: sparse.csr_array,
        by_xyz: NDArray[np.float64],
        left: NDArray[np.float64],
        point: NDArray[np.int64],
        shape: tuple[int, int],
    ) -> _Normal:
        seen = sparse.csr_array((np.ones(shape[0]), point, np.arange(shape[0] + 1)), shape=shape).T
        of_points = (seen @ np.einsum("oia,oib->oab", by_xyz, by_xyz).reshape(-1, 9)).reshape(-1, 3, 3)
        wanted = seen @ np.einsum("oia,oi->oa", by_xyz, left)
        return cls((by_own.T @ by_own).toarray(), by_own.T @ left.ravel(), by_own, by_xyz, of_points, wanted, point)

    def step(self, damped: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """[N] and [P, 3] to move by."""
        damping = damped * np.einsum("pii->pi", self.of_points).max(1) + 1e-12
        inverse = np.linalg.inv(self.of_points + damping[:, None, None] * np.eye(3))
        columns = 3 * self.point[:, None] + np.arange(3)
        size = 3 * len(self.of_points)
        shared = self.by_own.T @ _rows(columns, self.by_xyz, size)  # [N, 3 P]
        solved = self.by_own.T @ _rows(columns, self.by_xyz @ inverse[self.point], size)
        reduced = self.own - (solved @ shared.T).toarray()
        reduced[np.diag_indices(len(reduced))] += damped * self.own.diagonal() + 1e-12
        alike = 1 / np.sqrt(self.own.diagonal() + 1e-12)  # a focal length and a turn have other units
        wanted = self.wanted - solved @ self.wanted_of_points.ravel()
        by = alike * linalg.solve(alike[:, None] * reduced * alike, alike * wanted, assume_a="sym")
        rest = self.wanted_of_points - (shared.T @ by).reshape(-1, 3)
        return by, np.einsum("pij,pj->pi", inverse, rest)


def _rows(columns: NDArray[np.int64], values: NDArray[np.float64], width: int) -> sparse.csr_array:
    """[2 O, width] of values [O, 2, K] in columns [O, K]; those in the same column add up."""
    count, _, across = values.shape
    where = np.repeat(columns[:, None, :], 2, axis=1).ravel()
    return sparse.csr_array((values.ravel(), where, np.arange(0, values.size + 1, across)), shape=(2 * count, width))
