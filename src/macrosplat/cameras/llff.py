"""LLFF's poses_bounds.npy: a row of 17 numbers for each photo, in the order of the photos' names.

A row is a matrix [3, 5], row by row, and two depths: camera-to-world with axes down, right, backward; the camera's
place; height, width and focal length in px. The principal point is the middle. (Mildenhall et al. 2019, its README.)
"""

from __future__ import annotations

import pickle
import tokenize
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.assemble import Entry, is_rotation, lens_of, nearest_rotation, place, remarks, rigid_inverse
from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError

NAME = "poses_bounds.npy"
# What numpy makes of a damaged file: its header is read as Python's words are.
DAMAGED = (
    *(OSError, ValueError, EOFError, AttributeError, OverflowError, MemoryError),
    *(SyntaxError, TypeError, KeyError, RecursionError, pickle.UnpicklingError, tokenize.TokenError),
)
LARGEST = 1e9  # scene units: how far a camera may be
COLUMNS = (15, 17)  # without and with the depths


def find_llff(root: Path) -> list[Path]:
    return [root / NAME] if (root / NAME).is_file() else []


def read_llff(
    path: Path, photos: Sequence[Photo], dropped: Sequence[str] = ()
) -> tuple[tuple[Photo, ...], Cameras | None, tuple[str, ...]]:
    """The photos, their cameras, and notes; no cameras, if there are more or fewer rows than photos.

    Args:
        dropped: names of photos that are damaged or empty: they have rows, too.

    Raises:
        MacrosplatError: it is no such file, or holds what no camera is.
    """
    rows = _rows(path)
    # The programs take the names as Python sorts them, not by the value of their numbers.
    names = sorted([*(photo.name for photo in photos), *dropped])
    if len(rows) != len(names):
        note = (
            f"{path.name} has {len(rows)} cameras and no names, the folder has {len(names)} photos: which is whose "
            "cannot be told, so cameras are found from the photos."
        )
        return tuple(photos), None, (note,)
    entries = [_entry(path, n, name, row) for n, (name, row) in enumerate(zip(names, rows, strict=True))]
    placed = place(photos, [entry for entry in entries if entry.name not in set(dropped)], "llff")
    return placed.photos, placed.cameras, tuple(remarks(placed, path.name))


def _rows(path: Path) -> NDArray[np.float64]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's own remarks on the words of a damaged header
            rows = np.load(path, allow_pickle=False, mmap_mode="r")
        good = rows.ndim == 2 and rows.shape[1] in COLUMNS and len(rows) > 0 and rows.dtype.kind in "fiu"
    except DAMAGED as error:
        raise MacrosplatError(
            f"{path} cannot be read as numpy's file of an array; export it again, or remove it."
        ) from error
    if not good:
        raise MacrosplatError(f"{path} holds no rows of 17 numbers, one for each photo; export it again, or remove it.")
    return np.array(rows, np.float64)


def _entry(path: Path, n: int, name: str, row: NDArray[np.float64]) -> Entry:
    where = f"{path}, row {n} ({name})"
    matrix = row[:15].reshape(3, 5)
    height, width, focal = matrix[:, 4]
    if not (np.abs(matrix) < LARGEST).all() or min(height, width, focal) < 1 or max(height, width) > 1e6:
        raise MacrosplatError(f"{where} holds what no camera is; export it again, or remove it.")
    down, right, back = matrix[:, 0], matrix[:, 1], matrix[:, 2]
    axes = np.stack([right, down, -back], 1)  # OpenCV's: right, down, forward
    if not is_rotation(axes):
        raise MacrosplatError(f"{where} is not a rotation and a place; export it again, or remove it.")
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = nearest_rotation(axes), matrix[:, 3]

    def lens(size: tuple[int, int]) -> Distortion:
        return lens_of((focal, focal), (size[0] / 2, size[1] / 2), {}, size)

    return Entry(where, name, rigid_inverse(pose), lens, (round(width), round(height)))
