"""The colours of a mesh as a picture: unwrapped by xatlas, every texel coloured from the sharp photos that see it.

In: a mesh. Out: the same surface with texture coordinates, cut open along seams, and sRGB pixels. Coordinates are
glTF's: 0 to 1, (0, 0) the picture's upper left corner.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from macrosplat.export.tidy import normals_of
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.extras import install
from macrosplat.support.numba import njit

SMALLEST, LARGEST = 256, 4096  # texels of a side
FILLED = 0.6  # of a texture that its charts cover, about
PADDING = 4  # texels between charts, so that a smaller copy of the texture does not mix them
ROUNDS = 2  # of the growing of charts: more hardly lessens their number
F = np.float32

# Places on a surface [T, 3], with normals [T, 3]: their light [T, 3], and whether any view sees them [T].
Asked = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float32], NDArray[np.bool_]]]


@dataclass(frozen=True)
class Unwrapped:
    """N vertices, of which some stand on both sides of a seam."""

    source: NDArray[np.int64]  # [N] the vertex that each was
    faces: NDArray[np.int64]  # [M, 3]
    uv: NDArray[np.float32]  # [N, 2]
    size: tuple[int, int]  # width, height in texels, as its charts were packed for


def xatlas() -> Any:
    """Raises: MacrosplatError: it is not installed."""
    try:
        return importlib.import_module("xatlas")
    except ImportError as error:
        raise MacrosplatError(f"A texture needs xatlas; install it with: {install('mesh')}.") from error


def unwrapped(vertices: NDArray[np.float64], faces: NDArray[np.int64], texel: float) -> Unwrapped:
    """Charts, packed.

    Args:
        texel: the edge of one on the surface, in units of `vertices`; larger where the texture would be too large.
    """
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    side = int(np.clip(np.sqrt(area / FILLED) / texel, SMALLEST, LARGEST))
    library = xatlas()
    atlas, charts, packing = library.Atlas(), library.ChartOptions(), library.PackOptions()
    charts.max_iterations, packing.resolution, packing.padding = ROUNDS, side, PADDING
    # Of unit size: xatlas takes very small triangles for none.
    scale = 1 / max(float(np.ptp(vertices, axis=0).max()), 1e-30)
    atlas.add_mesh(((vertices - vertices.min(0)) * scale).astype(F), faces.astype(np.uint32))
    atlas.generate(charts, packing)
    source, cut, uv = atlas[0]
    return Unwrapped(source.astype(np.int64), cut.astype(np.int64), uv.astype(F), (atlas.width, atlas.height))


def painted(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int64],
    colours: NDArray[np.float32],
    opened: Unwrapped,
    ask: Asked,
) -> NDArray[np.uint8]:
    """[H, W, 3] sRGB.

    Args:
        vertices, faces, colours: the mesh as it was before it was cut, and linear light at its vertices, which what no
            view sees takes.
    """
    width, height = opened.size
    face, share = np.full((height, width), -1, np.int32), np.zeros((height, width, 2), F)
    _rasterise(opened.uv * np.array([width, height], F), opened.faces, face, share)
    inside = face >= 0
    if not inside.any():
        raise MacrosplatError("The mesh is too fine for a texture; give a larger --tolerance.")
    corners = opened.source[opened.faces[face[inside]]]  # [T, 3]
    weights = np.concatenate([1 - share[inside].sum(1, keepdims=True), share[inside]], 1)[..., None].astype(np.float64)
    normals = normals_of(vertices, faces)
    light, seen = ask((vertices[corners] * weights).sum(1), (normals[corners] * weights).sum(1))
    light = np.where(seen[:, None], light, (colours[corners] * weights).sum(1)).astype(F)
    picture = np.zeros((height, width, 3), F)
    picture[inside] = light
    # Between the charts what is next to them: a viewer mixes neighbouring texels.
    nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    assert isinstance(nearest, np.ndarray)
    return to_bytes(to_srgb(picture[nearest[0], nearest[1]].clip(0, 1)))


@njit
def _rasterise(at, faces, face, share):
    """Which face each texel's centre lies in, and what the second and third corner count there."""
    height, width = face.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, bx, by, cx, cy = at[a, 0], at[a, 1], at[b, 0], at[b, 1], at[c, 0], at[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        left, right = max(0, int(np.ceil(min(ax, bx, cx) - 0.5))), min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        low, high = max(0, int(np.ceil(min(ay, by, cy) - 0.5))), min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        for row in range(low, high + 1):
            for column in range(left, right + 1):
                dx, dy = column + 0.5 - ax, row + 0.5 - ay
                v = (dx * (cy - ay) - dy * (cx - ax)) / area
                w = (dy * (bx - ax) - dx * (by - ay)) / area
                if v >= 0 and w >= 0 and v + w <= 1:
                    face[row, column] = f
                    share[row, column, 0], share[row, column, 1] = v, w
