"""Colours of a surface: from the sharp photos, as far as they see it, else from the scene's own light.

In: places on a surface with their normals, depth maps, pictures. Out: linear light per place, and whether any view
sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import minimum_filter

from macrosplat.cameras.records import Distortion
from macrosplat.cameras.undistort import undistort
from macrosplat.export.depths import Station
from macrosplat.photos.decode import TABLE_8, decode
from macrosplat.render import render
from macrosplat.run import Run
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

FACING_LEAST = 0.05  # cosine between normal and ray: what is seen from the side alone gets its colour from there
SHARPNESS = 4  # power of that cosine: a photo that looks straight at a place counts most
EDGE, AT_EDGE = 5, 0.02  # px of a depth map: so near to where it ends a photo counts so much
WIDEST = 2400  # px: more of a photo than a mesh can show

Picture = tuple[NDArray[np.float32], NDArray[np.float32]]  # [H, W, 3] linear light; [h, w] how much a pixel counts


class Colours:
    """What stations see, added up over places [N]."""

    def __init__(self, vertices: NDArray[np.float64], normals: NDArray[np.float64], reach: float) -> None:
        """Args: reach: how far before or behind a depth map's surface a place counts as seen, scene units."""
        self._vertices, self._normals, self._reach = vertices, normals, reach
        self._total, self._weight = np.zeros((len(vertices), 3)), np.zeros(len(vertices))

    def add(self, station: Station, picture: Picture) -> None:
        light, counts = picture
        with kernel_lock:
            _gather(
                team(),
                len(self._vertices),
                *(self._total, self._weight, self._vertices, self._normals, *station.numbers()),
                *(station.depth, light, counts, self._reach),
            )

    def mean(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Linear light [N, 3], and whether any view sees it [N]."""
        seen = self._weight > 0
        mean = self._total / np.where(seen, self._weight, 1.0)[:, None]
        return mean.clip(0, 1).astype(np.float32), seen


def of_scene(gaussians: Gaussians) -> Callable[[Station], Picture]:
    """What a station sees of the scene."""

    def picture(station: Station) -> Picture:
        with torch.no_grad():
            drawn = render(gaussians, station.camera)
        # The colour is premultiplied: a pixel that is half haze counts half.
        alpha = drawn.alpha.numpy()
        return np.asarray(drawn.colour.numpy() / np.maximum(alpha, 1e-3)[..., None], np.float32), alpha

    return picture


def sharp_pictures(run: Run, names: Sequence[str]) -> list[tuple[Path, Distortion | None]] | None:
    """The sharp photos of a run, and how they are distorted; None where one is missing."""
    paths = [run.sharp(name) for name in names]
    if not all(path.is_file() for path in paths):
        return None
    return list(zip(paths, run.cameras().select(tuple(names)).distortion, strict=True))


def of_photo(path: Path, distortion: Distortion | None, depth: NDArray[np.float32]) -> Picture:
    """A sharp photo, undistorted, in the proportions of its depth map, and where that shows a surface."""
    pixels = decode(path)
    if pixels.shape[1] > WIDEST and pixels.dtype == np.uint8:
        size = (WIDEST, max(1, round(WIDEST * pixels.shape[0] / pixels.shape[1])))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
    light = TABLE_8[pixels] if pixels.dtype == np.uint8 else pixels
    if distortion is not None:
        light = undistort(light, distortion)
    # At an edge a place of the object may be seen where the photo has what is behind it.
    amid = minimum_filter(depth, EDGE) > 0
    return np.ascontiguousarray(light, np.float32), np.where(amid, 1.0, AT_EDGE).astype(np.float32) * (depth > 0)


@njit(part=True)
def _gather_some(begin, end, total, weight, vertices, normals, view, intrinsics, depth, light, counts, reach):
    """Add what a view sees of each vertex, weighted by a power of the cosine between normal and ray."""
    height, width = depth.shape
    rows, columns = light.shape[0], light.shape[1]
    for n in range(begin, end):
        x, y, z = view[0, 3], view[1, 3], view[2, 3]
        nx = ny = nz = 0.0
        for k in range(3):
            x += view[0, k] * vertices[n, k]
            y += view[1, k] * vertices[n, k]
            z += view[2, k] * vertices[n, k]
            nx += view[0, k] * normals[n, k]
            ny += view[1, k] * normals[n, k]
            nz += view[2, k] * normals[n, k]
        if z <= 0:
            continue
        px = intrinsics[0] * x / z + intrinsics[2]
        py = intrinsics[1] * y / z + intrinsics[3]
        column, row = int(np.floor(px)), int(np.floor(py))
        if column < 0 or row < 0 or column >= width or row >= height:
            continue
        at = depth[row, column]
        if at <= 0 or abs(at - z) > reach:
            continue
        facing = max(-(nx * x + ny * y + nz * z) / np.sqrt(x * x + y * y + z * z), FACING_LEAST)
        share = facing**SHARPNESS * counts[row, column]
        weight[n] += share
        # Between four pixels of the picture, which may be finer than the map.
        u = min(max(px / width * columns - 0.5, 0.0), columns - 1.0)
        v = min(max(py / height * rows - 0.5, 0.0), rows - 1.0)
        left, top = int(u), int(v)
        right, below = min(left + 1, columns - 1), min(top + 1, rows - 1)
        u -= left
        v -= top
        for c in range(3):
            upper = (1 - u) * light[top, left, c] + u * light[top, right, c]
            lower = (1 - u) * light[below, left, c] + u * light[below, right, c]
            total[n, c] += share * ((1 - v) * upper + v * lower)


@njit
def _gather(team, count, *arguments):
    spread(_gather_some, team, count, arguments)
