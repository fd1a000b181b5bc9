"""A surface made fit for use, by trimesh: smoothed, in one piece, with as few triangles as a stated error allows.

In: vertices [N, 3] and faces [M, 3]. Out: the same kind; a closed surface stays closed.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.extras import install

SMOOTHINGS = 10  # rounds of Taubin's smoothing (1995), which keeps the size: what is rougher than some voxels is noise
STEP, STEP_BACK = 0.5, 0.53  # of the way to the neighbours' mean, and back
ASKED = 20_000  # places of the finer surface, of which the distance to the coarser one is measured
NEAREST = 12  # triangles that are tried for each: the distance found is never too small
ROUNDS = 7  # of halving the interval of the number of triangles, at the most
NEAR_ENOUGH = 0.9  # of so many triangles: to get rid of the rest is not worth the seconds
MOST_OF = 0.99  # of those places are within the error
FEWEST = 500  # triangles
APART = 0.01  # of the way to the middle of its neighbours: above what float32 rounds to, far below what can be seen


def packages() -> tuple[Any, Any]:
    """trimesh and fast_simplification.

    Raises:
        MacrosplatError: one of them is not installed.
    """
    try:
        return importlib.import_module("trimesh"), importlib.import_module("fast_simplification")
    except ImportError as error:
        raise MacrosplatError(f"A mesh needs {error.name}; install it with: {install('mesh')}.") from error


def smoothed(vertices: NDArray[np.float64], faces: NDArray[np.int64], rounds: int = SMOOTHINGS) -> NDArray[np.float64]:
    """The vertices without the noise of a few voxels."""
    near = neighbours(faces, len(vertices))
    degree = np.maximum(near.sum(1), 1)[:, None]
    for _ in range(rounds):
        for step in (STEP, -STEP_BACK):
            vertices = vertices + step * (near @ vertices / degree - vertices)
    return vertices


def decimated(
    vertices: NDArray[np.float64], faces: NDArray[np.int64], error: float, fewest: int = FEWEST
) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """The surface in as few triangles as keep 99 % of it within `error`, and the distance that they are within.

    Args:
        fewest: triangles that are left in any case.
    """
    trimesh, simplification = packages()
    chosen = np.random.default_rng(0).choice(len(vertices), min(ASKED, len(vertices)), replace=False)
    asked = vertices[chosen]
    closed = _closed(trimesh, vertices, faces)
    low, high = min(max(FEWEST, fewest), len(faces)), len(faces)
    best = vertices, faces, 0.0
    for _ in range(ROUNDS):
        target = int(np.sqrt(low * high))
        if target > NEAR_ENOUGH * high or target < 4:
            break
        # From what was found so far: in one go from millions, what was closed often comes out with holes.
        points, corners = simplification.simplify(
            best[0].astype(np.float32), best[1].astype(np.int32), target_count=target, agg=5.0
        )
        points, corners = unpinched(points.astype(np.float64), corners.astype(np.int64))
        if closed and len(corners):  # bodies that only touched the largest are specks
            corners = largest(corners, len(points))
        off = float(np.quantile(_distances(trimesh, asked, points, corners), MOST_OF)) if len(corners) else np.inf
        if off <= error and (not closed or _closed(trimesh, points, corners)):
            best, high = (points, corners, off), target
        else:
            low = target
    return apart(best[0], best[1]), best[1], best[2]


def unpinched(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The same surface, where it touched itself along an edge (four faces share it) or at a vertex now apart: faces
    meet at a vertex if they hang together around it, over edges that two faces share."""
    ends = np.sort(np.stack([faces, np.roll(faces, -1, 1)], 2).reshape(-1, 2), 1)  # edge k of a face: corners k, k + 1
    key = ends[:, 0] * np.int64(len(vertices)) + ends[:, 1]  # sorted a good deal faster than pairs
    _, edge, count = np.unique(key, return_inverse=True, return_counts=True)
    order = np.argsort(edge.ravel(), kind="stable")
    order = order[count[edge.ravel()[order]] == 2].reshape(-1, 2)  # pairs of (face, edge) on the same edge
    here, there = order.T
    after = 3 * (here // 3) + (here + 1) % 3, 3 * (there // 3) + (there + 1) % 3  # corners at the edges' other ends
    same = faces.ravel()[here] == faces.ravel()[there]
    a = np.concatenate([here, after[0]])
    b = np.concatenate([np.where(same, there, after[1]), np.where(same, after[1], there)])
    links = coo_array((np.ones(len(a), np.int8), (a, b)), (faces.size, faces.size))
    _, vertex = connected_components(links, directed=False)
    _, first = np.unique(vertex, return_index=True)
    return vertices[faces.ravel()[first]], vertex.reshape(-1, 3).astype(np.int64)


def apart(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """The vertices, those that stand in one place each a little towards its neighbours.

    Readers that join vertices of one place, as all of STL do, would join what was told apart.
    """
    _, place, count = np.unique(vertices.astype(np.float32), axis=0, return_inverse=True, return_counts=True)
    double = count[place.ravel()] > 1
    near = neighbours(faces, len(vertices))
    middle = near @ vertices / np.maximum(near.sum(1), 1)[:, None]
    return np.where(double[:, None], vertices + APART * (middle - vertices), vertices)


def largest(faces: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The faces of the piece that has most of them, of a surface of `count` vertices."""
    part = connected(faces, count)
    return faces[part == np.bincount(part).argmax()]


def pieces(faces: NDArray[np.int64], count: int) -> int:
    """How many there are."""
    return len(np.unique(connected(faces, count)))


def connected(faces: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    """[M] the number of the piece that each face belongs to."""
    return connected_components(neighbours(faces, count), directed=False)[1][faces[:, 0]]


def neighbours(faces: NDArray[np.int64], count: int) -> csr_array:
    """[count, count]: 1 where an edge joins two vertices."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (count, count)).tocsr()
    links.data[:] = 1
    return links


def normals_of(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """[N, 3] outwards, by the areas of the faces around."""
    corners = vertices[faces]
    of_faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(total, faces[:, corner], of_faces)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30)


def _closed(trimesh: Any, vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> bool:
    return bool(trimesh.Trimesh(vertices, faces, process=False).is_watertight)


def _distances(
    trimesh: Any, asked: NDArray[np.float64], vertices: NDArray[np.float64], faces: NDArray[np.int64]
) -> NDArray[np.float64]:
    """[K] from each place to the surface, or a little more."""
    triangles = vertices[faces]
    _, near = KDTree(triangles.mean(1)).query(asked, k=min(NEAREST, len(faces)))
    near = np.asarray(near).reshape(len(asked), -1)
    best = np.full(len(asked), np.inf)
    for column in near.T:
        closest = trimesh.triangles.closest_point(triangles[column], asked)
        best = np.minimum(best, np.linalg.norm(closest - asked, axis=1))
    return best
