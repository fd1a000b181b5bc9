"""Compressed PLY: 16 bytes a Gaussian and its harmonics in bytes, in chunks of 256 (PlayCanvas).

A chunk holds the least and greatest position, scale and colour; each Gaussian four words of 32 bit: position and scale
as 11, 10 and 11 bits within those bounds, the rotation's smallest three components as 10 bits, colour and opacity as 8.
Source: github.com/playcanvas/splat-transform, `src/lib/writers/compressed-chunk.ts` and `write-compressed-ply.ts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.scene.formats.curve import along_curve
from macrosplat.scene.gaussians import SH_C0, SH_REST, Gaussians
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole

CHUNK = 256
SH_RANGE = 8.0  # the bytes of the harmonics span -4 to 4
LOG_SCALE_MOST = 20.0  # natural logarithm, either way: what has no width has the logarithm of 0
BOUNDS = {"means": ("x", "y", "z"), "log_scales": ("scale_x", "scale_y", "scale_z"), "colours": ("r", "g", "b")}


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


def write_compressed(path: Path, gaussians: Gaussians) -> None:
    """Write the scene atomically; neighbours come into one chunk."""
    g = gaussians.arrays(np.float64)
    order = along_curve(g["means"])
    g = {name: values[order] for name, values in g.items()}
    g["log_scales"] = g["log_scales"].clip(-LOG_SCALE_MOST, LOG_SCALE_MOST)
    g["colours"] = SH_C0 * g["sh0"] + 0.5
    count, rest = len(order), g["sh_rest"].shape[1]
    starts = np.arange(0, count, CHUNK)
    chunks, unit = [], {}
    for name in BOUNDS:
        # The bounds are float32, and what is packed is between those.
        low, high = (end.reduceat(g[name], starts, axis=0).astype("<f4") for end in (np.minimum, np.maximum))
        chunks += [low, high]
        size = (high.astype(np.float64) - low).repeat(CHUNK, axis=0)[:count]
        unit[name] = np.where(size > 0, (g[name] - low.repeat(CHUNK, axis=0)[:count]) / np.where(size > 0, size, 1), 0)
    alpha = 1 / (1 + np.exp(-g["opacity_logits"]))
    rows = np.stack(
        [
            _packed(unit["means"], (11, 10, 11)),
            _packed_rotations(g["quats"]),
            _packed(unit["log_scales"], (11, 10, 11)),
            _packed(np.concatenate([unit["colours"], alpha[:, None]], 1), (8, 8, 8, 8)),
        ],
        axis=1,
        dtype="<u4",
    )
    harmonics = (256 * (g["sh_rest"].transpose(0, 2, 1).reshape(count, 3 * rest) / SH_RANGE + 0.5)).clip(0, 255)
    content = [np.concatenate(chunks, 1).astype("<f4"), rows, harmonics.astype(np.uint8)]
    header = "\n".join(
        [
            "ply",
            "format binary_little_endian 1.0",
            "comment made by macrosplat",
            f"element chunk {len(starts)}",
            *(f"property float {end}_{axis}" for axes in BOUNDS.values() for end in ("min", "max") for axis in axes),
            f"element vertex {count}",
            *(f"property uint packed_{name}" for name in ("position", "rotation", "scale", "color")),
            *([f"element sh {count}"] if rest else []),
            *(f"property uchar f_rest_{i}" for i in range(3 * rest)),
            "end_header\n",
        ]
    )
    whole = header.encode("ascii") + b"".join(part.tobytes() for part in content)
    write_whole(path, lambda part: part.write_bytes(whole))


def _packed(unit: NDArray[np.float64], bits: tuple[int, ...]) -> NDArray[np.uint32]:
    """[N] words of numbers in 0..1 [N, K], the first in the highest bits."""
    word = np.zeros(len(unit), np.uint32)
    for column, size in zip(unit.T, bits, strict=True):
        most = (1 << size) - 1
        word = (word << np.uint32(size)) | np.rint(column * most).clip(0, most).astype(np.uint32)
    return word


def _packed_rotations(quats: NDArray[np.float64]) -> NDArray[np.uint32]:
    """[N] words, as `_rotations` reads them."""
    unit = quats / np.linalg.norm(quats, axis=1, keepdims=True).clip(1e-12)
    largest = np.abs(unit).argmax(1)
    unit = unit * np.where(np.take_along_axis(unit, largest[:, None], 1) < 0, -1.0, 1.0)
    kept = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest]
    others = np.take_along_axis(unit, kept, 1) / np.sqrt(2) + 0.5
    return (largest.astype(np.uint32) << np.uint32(30)) | _packed(others, (10, 10, 10))
