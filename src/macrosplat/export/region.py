"""Where the object of a capture may be: what most photos have in the frame and no mask paints over.

In: a grid of voxels, cameras, masks. Out: a flag per voxel. A finer question than `output.subject` asks: a mesh ends
where this region ends, and what no photo looked into counts as solid within it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from macrosplat.cameras.records import Cameras
from macrosplat.output.subject import FRAMED, small_mask
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

WIDTH = 640  # px that a mask is read at
WHITE = 0.85  # of the masks that see a voxel of the object: the edges of blurred photos are painted this way or that
SLACK = 0.006  # of the width of a mask by which it is widened
COARSE = 200_000  # voxels of a first look
NONE = np.zeros((0, 0), np.bool_)


def region(
    origin: NDArray[np.float64],
    voxel: float,
    shape: tuple[int, int, int],
    cameras: Cameras,
    masks: Sequence[Path | None],
) -> NDArray[np.bool_]:
    """[X, Y, Z] whether a voxel may belong to the object; the centre of voxel (0, 0, 0) is `origin`."""
    painted = [_painted(path) for path in masks] if any(masks) else []
    framed, white, asked = (np.zeros(shape, np.uint16) for _ in range(3))
    for v in range(len(cameras)):
        mask = painted[v] if v < len(painted) else None
        view = cameras.views[v]
        k, (width, height) = cameras.intrinsics[v].astype(np.float64), (int(side) for side in cameras.sizes[v])
        turn, start = view[:3, :3] * voxel, view[:3, :3] @ origin + view[:3, 3]
        with kernel_lock:
            _vote(team(), shape[0], framed, white, asked, turn, start, k, width, height, NONE if mask is None else mask)
    core = framed >= FRAMED * len(cameras)
    return core & (white >= WHITE * asked) if painted else core


def within(
    low: NDArray[np.float64], high: NDArray[np.float64], cameras: Cameras, masks: Sequence[Path | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The part of a box that the region fills."""
    coarse = float((np.prod(high - low) / COARSE) ** (1 / 3))
    shape = tuple(int(n) + 1 for n in np.ceil((high - low) / coarse))
    found = np.argwhere(region(low, coarse, (shape[0], shape[1], shape[2]), cameras, masks))
    if not len(found):
        return low, high
    return low + coarse * (found.min(0) - 1), low + coarse * (found.max(0) + 1)


def _painted(path: Path | None) -> NDArray[np.bool_] | None:
    """True = object, widened; None where there is no mask that can be read."""
    white = small_mask(path, WIDTH)
    if white is None:
        return None
    return np.asarray(binary_dilation(white, iterations=max(1, round(SLACK * WIDTH))), bool)


@njit(part=True)
def _vote_some(begin, end, framed, white, asked, turn, start, intrinsics, width, height, mask):
    """Add what one photo says of each voxel: whether it has it in the frame, and whether its mask is white there."""
    _, ny, nz = framed.shape
    rows, columns = mask.shape
    for i in range(begin, end):
        for j in range(ny):
            for k in range(nz):
                z = start[2] + turn[2, 0] * i + turn[2, 1] * j + turn[2, 2] * k
                if z <= 0:
                    continue
                x = start[0] + turn[0, 0] * i + turn[0, 1] * j + turn[0, 2] * k
                y = start[1] + turn[1, 0] * i + turn[1, 1] * j + turn[1, 2] * k
                px = intrinsics[0] * x / z + intrinsics[2]
                py = intrinsics[1] * y / z + intrinsics[3]
                if px < 0 or py < 0 or px >= width or py >= height:
                    continue
                framed[i, j, k] += 1
                if rows > 0:
                    asked[i, j, k] += 1
                    if mask[int(py / height * rows), int(px / width * columns)]:
                        white[i, j, k] += 1


@njit
def _vote(team, count, *arguments):
    spread(_vote_some, team, count, arguments)
