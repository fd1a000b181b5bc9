"""Compressed PLY: 16 bytes a Gaussian and its harmonics in bytes, in chunks of 256 (PlayCanvas). Read only.

A chunk holds the least and greatest position, scale and colour; each Gaussian four words of 32 bit: position and scale
as 11, 10 and 11 bits within those bounds, the rotation's smallest three components as 10 bits, colour and opacity as 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.scene.gaussians import SH_C0, SH_REST, Gaussians
from macrosplat.support.errors import MacrosplatError

CHUNK = 256
SH_RANGE = 8.0  # the bytes of the harmonics span -4 to 4


def is_compressed(elements: Mapping[str, np.ndarray]) -> bool:
    """Whether what a PLY file holds is one of these."""
    return "packed_position" in (elements["vertex"].dtype.names or ())


def from_compressed(path: Path, elements: Mapping[str, np.ndarray]) -> Gaussians:
    """The scene of the elements of `path`, as numpy arrays.

    Raises:
        MacrosplatError: not such a file, or cut short.
    """
    try:
        return _decoded(elements)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise MacrosplatError(f"{path} is not a compressed PLY of Gaussians ({error}); export it again.") from error


def _decoded(elements: Mapping[str, np.ndarray]) -> Gaussians:
    """The scene. What is missing or of another kind raises KeyError, ValueError, IndexError or TypeError."""
    chunks, rows = elements["chunk"], elements["vertex"]
    harmonics = elements.get("sh")
    if harmonics is not None and len(harmonics) != len(rows):
        raise ValueError(f"{len(harmonics)} harmonics of {len(rows)} Gaussians")
    for name in ("packed_position", "packed_rotation", "packed_scale", "packed_color"):
        if rows[name].dtype != np.dtype("<u4"):
            raise ValueError(f"{name} is no word of 32 bit")
    at = np.arange(len(rows)) // CHUNK
    means = _bounded(chunks, at, _three(rows["packed_position"]), ("x", "y", "z"))
    scales = _bounded(chunks, at, _three(rows["packed_scale"]), ("scale_x", "scale_y", "scale_z"))
    word = rows["packed_color"]
    colour = np.stack([(word >> shift & 255) / 255.0 for shift in (24, 16, 8)], 1)
    if "min_r" in (chunks.dtype.names or ()):  # files older than 2024 have none: there 0 to 1 is meant
        colour = _bounded(chunks, at, colour, ("r", "g", "b"))
    rotations = _rotations(rows["packed_rotation"])
    rest = 0 if harmonics is None else len(harmonics.dtype.names or ()) // 3
    if rest not in SH_REST.values():
        raise ValueError(f"{3 * rest} harmonics a Gaussian, which no degree has")
    sh_rest = np.zeros((len(rows), 0, 3))
    if harmonics is not None:
        by_channel = np.stack([harmonics[f"f_rest_{i}"] for i in range(3 * rest)], 1).reshape(-1, 3, rest)
        unit = np.where(by_channel == 255, 1.0, np.where(by_channel == 0, 0.0, (by_channel + 0.5) / 256))
        sh_rest = (SH_RANGE * (unit - 0.5)).transpose(0, 2, 1)
    alpha = np.clip((word & 255) / 255.0, 0.5 / 255, 1 - 0.5 / 255)
    return Gaussians.of_arrays(
        means=means,
        log_scales=scales,
        quats=rotations,
        opacity_logits=np.log(alpha / (1 - alpha)),
        sh0=(colour - 0.5) / SH_C0,
        sh_rest=sh_rest,
    )


def _three(word: NDArray[np.uint32]) -> NDArray[np.float64]:
    """[N, 3] in 0..1 of 11, 10 and 11 bits."""
    return np.stack([(word >> 21) / 2047.0, (word >> 11 & 1023) / 1023.0, (word & 2047) / 2047.0], 1)


def _bounded(chunks: NDArray, at: NDArray, unit: NDArray[np.float64], axes: tuple[str, ...]) -> NDArray[np.float64]:
    """[N, 3] of values in 0..1 between the bounds of their chunks."""
    least, most = (np.stack([chunks[f"{end}_{axis}"] for axis in axes], 1)[at] for end in ("min", "max"))
    return least + unit * (most - least)


def _rotations(word: NDArray[np.uint32]) -> NDArray[np.float64]:
    """[N, 4] w, x, y, z: 2 bits say which is left out as the largest, three times 10 bits the others in order."""
    others = np.stack([(word >> shift & 1023) / 1023.0 for shift in (20, 10, 0)], 1)
    others = (others - 0.5) * np.sqrt(2)
    left = np.sqrt(np.clip(1 - (others**2).sum(1), 0, 1))
    quats = np.zeros((len(word), 4))
    for largest in range(4):
        rows = word >> 30 == largest
        quats[rows] = np.insert(others[rows], largest, left[rows], axis=1)
    return quats
