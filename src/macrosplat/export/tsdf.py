"""A truncated signed distance field, fused from depth maps (Curless and Levoy 1996): positive before the surface.

In: depth maps with their cameras. Out: a field on a regular grid, and the surface where it is zero. Memory is bounded
by the number of voxels, however many maps there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.extras import install
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

F = np.float32
ONE = F(1)
# What a map counts that sees a place empty and far before its surface, against 1 of one that sees a surface there: rays
# slip through what is thin or hazy, and the surfaces behind would carve it away.
EMPTY = F(0.3)
BARELY = F(1e-3)  # of the truncation: on the other side of the surface, next to it
NO_SURFACE = "The scene has no surface to make a mesh of."


class Surface(NamedTuple):
    """Triangles in the world."""

    vertices: NDArray[np.float64]  # [N, 3]
    faces: NDArray[np.int64]  # [M, 3] counter-clockwise seen from outside
    normals: NDArray[np.float64]  # [N, 3] outwards


@dataclass
class Volume:
    """A grid of X x Y x Z voxels; the centre of voxel (0, 0, 0) is `origin`."""

    origin: NDArray[np.float64]  # [3] world
    voxel: float  # edge, scene units
    shape: tuple[int, int, int]
    truncation: float  # scene units: farther than that before a surface is plainly empty, behind it unknown
    distance: NDArray[np.float32] = field(init=False)  # [X, Y, Z] in units of the truncation, -1 to 1
    weight: NDArray[np.float32] = field(init=False)  # [X, Y, Z] how many maps have spoken

    def __post_init__(self) -> None:
        self.distance = np.zeros(self.shape, F)
        self.weight = np.zeros(self.shape, F)

    @staticmethod
    def around(low: NDArray, high: NDArray, voxel: float, truncation: float, most: int) -> Volume:
        """Over the box from `low` to `high` [3]; voxels grow until there are at most `most`."""
        size = np.maximum(np.asarray(high, np.float64) - low, voxel)
        voxel = max(voxel, float((size.prod() / most) ** (1 / 3)))
        while np.prod(np.ceil(size / voxel) + 1) > most:
            voxel *= 1.02
        shape = tuple(int(n) for n in np.ceil(size / voxel) + 1)
        return Volume(np.asarray(low, np.float64), voxel, shape, max(truncation, 2 * voxel))  # type: ignore[arg-type]

    def add(self, depth: NDArray[np.float32], view: NDArray[np.float64], intrinsics: NDArray[np.float64]) -> None:
        """Fuse one map.

        Args:
            depth: [H, W] camera z; 0 where nothing is: all that a ray passes there is empty.
            view: [4, 4] world to camera. intrinsics: [4] fx, fy, cx, cy in px of the map.
        """
        turn = view[:3, :3] * self.voxel
        start = view[:3, :3] @ self.origin + view[:3, 3]
        with kernel_lock:
            _fuse(
                team(),
                len(self.distance),
                self.distance,
                self.weight,
                depth,
                turn,
                start,
                intrinsics,
                self.truncation,
                EMPTY,
            )

    def closed(self, least: int, inside: NDArray[np.bool_], blur: float) -> Surface:
        """The surface of the largest body, without a hole: what no map has looked into is solid, within `inside`.

        Args:
            least: maps that have to see a place empty for it to be so. inside: [X, Y, Z] where a body may be.
            blur: voxels, standard deviation: noise of the maps.

        Raises:
            MacrosplatError: as `surface`.
        """
        filled = np.where(self.weight >= F(0.99) * EMPTY * F(least), self.distance, -ONE)
        filled[~inside] = ONE
        filled = np.asarray(gaussian_filter(np.pad(filled, 1, constant_values=ONE), blur, mode="nearest"), F)
        body, count = _parts(filled < 0)
        if not count:
            raise MacrosplatError(NO_SURFACE)
        body = body == 1 + np.bincount(body.ravel())[1:].argmax()
        filled[~body & (filled < 0)] = BARELY
        # Cavities that nobody can look into.
        outside, _ = _parts(~body)
        filled[~body & (outside != outside[0, 0, 0])] = -BARELY
        vertices, faces, normals = _marched(filled)
        return Surface((vertices - 1) * self.voxel + self.origin, faces, normals)

    def surface(self, least: int = 1) -> Surface:
        """All surfaces, left open where nobody looked.

        Args:
            least: only where as many maps have spoken.

        Raises:
            MacrosplatError: scikit-image is not installed, or there is no surface.
        """
        # scikit-image asks a cube's farthest corner alone; what one unknown corner says is no surface.
        known = self.weight >= least
        for axis in range(3):
            ahead, behind = (np.moveaxis(known, axis, 0)[part] for part in (slice(1, None), slice(None, -1)))
            ahead &= behind.copy()
        vertices, faces, normals = _marched(self.distance, known)
        return Surface(vertices * self.voxel + self.origin, faces, normals)


def _marched(
    values: NDArray[np.float32], known: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise MacrosplatError(f"A mesh needs scikit-image; install it with: {install('mesh')}.") from error
    try:
        vertices, faces, normals, _ = marching_cubes(values, 0.0, mask=known)
    except (ValueError, RuntimeError) as error:  # its way of saying that zero is nowhere crossed
        raise MacrosplatError(NO_SURFACE) from error
    # scikit-image's normals point down the field.
    return vertices.astype(np.float64), faces.astype(np.int64), -normals.astype(np.float64)


@njit(part=True)
def _fuse_some(begin, end, distance, weight, depth, turn, start, intrinsics, truncation, empty):
    _, ny, nz = distance.shape
    height, width = depth.shape
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    for i in range(begin, end):
        for j in range(ny):
            x0 = start[0] + turn[0, 0] * i + turn[0, 1] * j
            y0 = start[1] + turn[1, 0] * i + turn[1, 1] * j
            z0 = start[2] + turn[2, 0] * i + turn[2, 1] * j
            for k in range(nz):
                z = z0 + turn[2, 2] * k
                if z <= 0:
                    continue
                px = fx * (x0 + turn[0, 2] * k) / z + cx - 0.5
                py = fy * (y0 + turn[1, 2] * k) / z + cy - 0.5
                column, row = int(np.floor(px)), int(np.floor(py))
                if column < 0 or row < 0 or column >= width - 1 or row >= height - 1:
                    continue
                a, b = depth[row, column], depth[row, column + 1]
                c, d = depth[row + 1, column], depth[row + 1, column + 1]
                near, far = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
                u, v = px - column, py - row
                if near > 0 and far - near < truncation:
                    seen = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d)
                else:  # across an edge nothing is mixed: the nearest pixel counts
                    seen = depth[row + (1 if v >= 0.5 else 0), column + (1 if u >= 0.5 else 0)]
                if seen > 0:
                    off = (seen - z) / truncation
                    if off < -1:
                        continue
                    off = min(off, 1.0)
                else:
                    off = 1.0
                share = empty if off >= 1 else ONE
                before = weight[i, j, k]
                distance[i, j, k] = F((distance[i, j, k] * before + share * off) / (before + share))
                weight[i, j, k] = F(before + share)


@njit
def _fuse(team, count, *arguments):
    spread(_fuse_some, team, count, arguments)


def _parts(region: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """The number of each voxel's part of a region, from 1; 0 outside. And how many there are."""
    number = np.zeros(region.shape, np.int32)
    label(region, output=number)
    return number, int(number.max())
