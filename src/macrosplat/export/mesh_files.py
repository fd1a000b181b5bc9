"""A coloured triangle mesh as a file: PLY, OBJ and STL by trimesh, GLB by `gltf.py` (its colours are linear light).

In: vertices, faces, linear colours, perhaps a texture. Out: one file, whole or not at all; an OBJ with a texture has
its .mtl and .jpg beside it. STL has no colours.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrosplat.export.gltf import DOWN, write_mesh_gltf, write_textured_gltf
from macrosplat.export.shape import TEXTURED, Shape
from macrosplat.export.texture import xatlas
from macrosplat.export.tidy import packages
from macrosplat.export.usdz import pxr, write_usdz
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole

SUFFIXES = (".ply", ".glb", ".obj", ".stl", ".usdz")
JPEG_QUALITY = 92


@dataclass(frozen=True)
class Mesh:
    """N vertices, M faces, counter-clockwise seen from outside."""

    vertices: NDArray[np.float64]  # [N, 3]
    faces: NDArray[np.int64]  # [M, 3]
    colours: NDArray[np.float32]  # [N, 3] linear light
    uv: NDArray[np.float32] | None = None  # [N, 2] where a vertex lies in the picture, from its upper left corner
    picture: NDArray[np.uint8] | None = None  # [H, W, 3] sRGB
    up: Sequence[float] = DOWN  # [3] for formats that know what that is


def check_suffix(path: Path, shape: Shape) -> None:
    """That a mesh can be written so, and that what it takes is installed.

    Raises:
        MacrosplatError: it cannot.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise MacrosplatError(
            f"A mesh is written as .ply, .glb, .obj, .stl or .usdz, not as {path}; give --out such a suffix."
        )
    if shape.texture and kind not in TEXTURED:
        raise MacrosplatError(f"A texture goes into .glb, .obj or .usdz, not into {path}; give --out such a suffix.")
    packages()
    if shape.texture:
        xatlas()
    if kind == ".usdz":
        pxr()


def write_mesh_file(path: Path, mesh: Mesh, mm: bool) -> None:
    """Write it by the path's suffix; `mm`: its lengths are millimetres (GLB counts metres)."""
    kind = path.suffix.lower()
    if mesh.uv is not None and mesh.picture is not None:
        _write_textured(path, mesh, mesh.uv, mesh.picture, 1e-3 if mm else 1.0)
        return
    if kind == ".glb":
        write_mesh_gltf(path, mesh.vertices, mesh.faces, mesh.colours, 1e-3 if mm else 1.0, mesh.up)
        return
    trimesh, _ = packages()
    rgb = to_bytes(to_srgb(mesh.colours))
    # Without texture coordinates: other readers want none.
    made = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=rgb, process=False)
    content = made.export(file_type=kind[1:])
    content = content.encode("utf-8") if isinstance(content, str) else content
    write_whole(path, lambda part: part.write_bytes(content))


def _write_textured(path: Path, mesh: Mesh, uv: NDArray[np.float32], picture: NDArray[np.uint8], metres: float) -> None:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    jpeg, kind = content.getvalue(), path.suffix.lower()
    if kind == ".glb":
        write_textured_gltf(path, mesh.vertices, mesh.faces, uv, jpeg, metres, mesh.up)
    elif kind == ".usdz":
        write_usdz(path, mesh.vertices, mesh.faces, uv, jpeg, metres, mesh.up)
    else:
        _write_textured_obj(path, mesh, uv, jpeg)


def _write_textured_obj(path: Path, mesh: Mesh, uv: NDArray[np.float32], jpeg: bytes) -> None:
    """OBJ's texture coordinates count from the lower left corner."""
    material, texture = path.with_suffix(".mtl"), path.with_suffix(".jpg")
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in path.stem)
    lines = [f"mtllib {material.name}", f"usemtl {name}"]
    lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices]
    lines += [f"vt {u:.6f} {1 - v:.6f}" for u, v in uv]
    lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in mesh.faces + 1]
    write_whole(texture, lambda part: part.write_bytes(jpeg))
    told = f"newmtl {name}\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nmap_Kd {texture.name}\n"
    write_whole(material, lambda part: part.write_text(told, encoding="utf-8"))
    write_whole(path, lambda part: part.write_text("\n".join(lines) + "\n", encoding="utf-8"))
