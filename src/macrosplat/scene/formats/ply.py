"""Scenes as .ply in the layout of the original 3D Gaussian splatting, which every viewer reads.

Vertex properties, float32, little endian: x y z, nx ny nz (zero), f_dc_0..2, f_rest_* (channel by channel: all
coefficients of red, then green, then blue), opacity (logit), scale_0..2 (natural logarithm), rot_0..3 (w x y z).
Source: github.com/graphdeco-inria/gaussian-splatting, `scene/gaussian_model.py`, `save_ply`.

A file says nothing about the space that its colours are composited in; viewers take sRGB (see `viewer_fit`).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from macrosplat.scene.gaussians import SH_REST, Gaussians
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole
from macrosplat.support.reading import read_bytes

# What PLY calls its types, old and new names.
_TYPES = {
    **{"float": "<f4", "float32": "<f4", "double": "<f8", "float64": "<f8", "char": "i1", "int8": "i1", "uchar": "u1"},
    **{"uint8": "u1", "short": "<i2", "int16": "<i2", "ushort": "<u2", "uint16": "<u2", "int": "<i4", "int32": "<i4"},
    **{"uint": "<u4", "uint32": "<u4"},
}
HEADER_END = re.compile(rb"^end_header\r?\n", re.MULTILINE)
MOST_HEADER = 1 << 20  # bytes: a Gaussian has some 60 properties of 25
COUNT = re.compile(r"[0-9]{1,18}")


def properties(rest: int) -> list[str]:
    """The vertex properties in order, for `rest` coefficients above degree 0."""
    return [
        *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"),
        *(f"f_rest_{i}" for i in range(3 * rest)),
        *("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
    ]


def write_ply(path: Path, gaussians: Gaussians) -> None:
    """Write the scene atomically; rotations are normalised.

    Raises:
        MacrosplatError: the disk is full or the folder cannot be written.
    """
    g = gaussians.arrays()
    count, rest = len(gaussians), g["sh_rest"].shape[1]
    rows = np.concatenate(
        [
            g["means"],
            np.zeros((count, 3), np.float32),
            g["sh0"],
            g["sh_rest"].transpose(0, 2, 1).reshape(count, 3 * rest),
            g["opacity_logits"][:, None],
            g["log_scales"],
            g["quats"] / np.linalg.norm(g["quats"], axis=1, keepdims=True).clip(1e-12),
        ],
        axis=1,
        dtype="<f4",
    )
    header = "\n".join(
        [
            "ply",
            "format binary_little_endian 1.0",
            "comment made by macrosplat",
            f"element vertex {count}",
            *(f"property float {name}" for name in properties(rest)),
            "end_header\n",
        ]
    )
    write_whole(path, lambda part: part.write_bytes(header.encode("ascii") + rows.tobytes()))


def read_ply(path: Path) -> Gaussians:
    """Read a scene written by this or any other program in the same layout, as numpy arrays.

    Properties are found by name, in any order and type; others are passed over.

    Raises:
        MacrosplatError: no such file, not a binary little-endian PLY, cut short, or not of Gaussians.
    """
    return gaussians_of(path, read_elements(path)["vertex"])


def gaussians_of(path: Path, table: np.ndarray) -> Gaussians:
    """The scene of a table of vertices, which is that of `path`."""
    present = set(table.dtype.names or ())
    rest = sum(name.startswith("f_rest_") for name in present) // 3
    missing = [name for name in properties(rest) if name not in present and not name.startswith("n")]
    if missing or rest not in SH_REST.values():
        what = f"it lacks {missing[0]}" if missing else f"it has {3 * rest} f_rest properties"
        raise MacrosplatError(f"{path} does not hold Gaussians in the 3D Gaussian splatting layout: {what}.")

    def columns(*names: str) -> np.ndarray:
        stacked = np.stack([table[name] for name in names], axis=1) if names else np.zeros((len(table), 0))
        return stacked.astype(np.float32)

    by_channel = columns(*(f"f_rest_{i}" for i in range(3 * rest)))
    return Gaussians.of_arrays(
        means=columns("x", "y", "z"),
        log_scales=columns(*(f"scale_{i}" for i in range(3))),
        quats=columns(*(f"rot_{i}" for i in range(4))),
        opacity_logits=columns("opacity")[:, 0],
        sh0=columns(*(f"f_dc_{i}" for i in range(3))),
        sh_rest=by_channel.reshape(len(table), 3, rest).transpose(0, 2, 1),
    )


def read_elements(path: Path) -> dict[str, np.ndarray]:
    """The elements of a binary little-endian PLY by name, each a structured array; those after a list are left out.

    Raises:
        MacrosplatError: no such file, of another kind, without vertices, cut short, or with a header that is damaged.
    """
    data = read_bytes(path)
    mark = HEADER_END.search(data, 0, MOST_HEADER)
    lines = [line.split() for line in data[: mark.start() if mark else 0].decode("ascii", "replace").splitlines()]
    if mark is None or not lines or lines[0] != ["ply"] or ["format", "binary_little_endian", "1.0"] not in lines:
        raise MacrosplatError(f"{path} is not a binary little-endian PLY file.")
    tables, at = {}, mark.end()
    for name, (count, fields) in _declared(path, lines).items():
        row = np.dtype(fields)
        if len(data) - at < count * row.itemsize:
            raise MacrosplatError(f"{path} is cut short: {count} of `{name}` were promised.")
        if row.itemsize:
            tables[name] = np.frombuffer(data, row, count, at)
        at += count * row.itemsize
    if "vertex" not in tables:
        raise MacrosplatError(f"{path} is a PLY file without vertices.")
    return tables


def _declared(path: Path, lines: list[list[str]]) -> dict[str, tuple[int, list[tuple[str, str]]]]:
    """Count and fields of every element that the header declares, up to the first list."""
    found: dict[str, tuple[int, list[tuple[str, str]]]] = {}
    name = ""
    for line in (line for line in lines if line and line[0] in ("element", "property")):
        words = " ".join(line)
        if line[0] == "element":
            if len(line) != 3 or not COUNT.fullmatch(line[2]) or line[1] in found:
                raise MacrosplatError(f"{path} has a damaged header: `{words[:80]}` counts nothing; export it again.")
            name = line[1]
            found[name] = int(line[2]), []
        elif not name:
            raise MacrosplatError(f"{path} has a damaged header: `{words[:80]}` is of no element; export it again.")
        elif len(line) != 3 or line[1] not in _TYPES:
            if name == "vertex":
                raise MacrosplatError(f"{path} has a vertex property that no Gaussian has: {words[9:80]}.")
            del found[name]  # faces, say: where a list ends nobody knows, and with it what follows
            break
        elif line[2] in dict(found[name][1]):
            raise MacrosplatError(f"{path} has a damaged header: {line[2][:80]} stands there twice; export it again.")
        else:
            found[name][1].append((line[2], _TYPES[line[1]]))
    return found
