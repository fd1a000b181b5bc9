"""A coloured triangle mesh as a file: PLY, OBJ and STL by trimesh, GLB by `gltf.py` (its colours are linear light).

In: vertices, faces, linear colours. Out: one file, whole or not at all. STL has no colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.export.gltf import write_mesh_gltf
from macrosplat.export.tidy import packages
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole

SUFFIXES = (".ply", ".glb", ".obj", ".stl")


@dataclass(frozen=True)
class Mesh:
    """N vertices, M faces, counter-clockwise seen from outside."""

    vertices: NDArray[np.float64]  # [N, 3]
    faces: NDArray[np.int64]  # [M, 3]
    colours: NDArray[np.float32]  # [N, 3] linear light


def check_suffix(path: Path) -> None:
    """Raises: MacrosplatError: the format is none of these."""
    if path.suffix.lower() not in SUFFIXES:
        raise MacrosplatError(
            f"A mesh is written as .ply, .glb, .obj or .stl, not as {path}; give --out such a suffix."
        )


def write_mesh_file(path: Path, mesh: Mesh, mm: bool) -> None:
    """Write it by the path's suffix; `mm`: its lengths are millimetres (GLB counts metres)."""
    check_suffix(path)
    kind = path.suffix.lower()
    if kind == ".glb":
        write_mesh_gltf(path, mesh.vertices, mesh.faces, mesh.colours, 1e-3 if mm else 1.0)
        return
    trimesh, _ = packages()
    rgb = to_bytes(to_srgb(mesh.colours))
    # Without texture coordinates: other readers want none.
    made = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=rgb, process=False)
    content = made.export(file_type=kind[1:])
    content = content.encode("utf-8") if isinstance(content, str) else content
    write_whole(path, lambda part: part.write_bytes(content))
