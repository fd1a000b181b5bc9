"""USDZ of a textured mesh, for phones and headsets: by Pixar's own library.

In: a mesh with its texture. Out: one .usdz file; y is up.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.export.gltf import upright
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.extras import install
from macrosplat.support.files import write_whole


def pxr() -> Any:
    """Raises: MacrosplatError: it is not installed."""
    try:
        for name in ("Gf", "Sdf", "Usd", "UsdGeom", "UsdShade", "UsdUtils", "Vt"):
            importlib.import_module(f"pxr.{name}")
    except ImportError as error:
        raise MacrosplatError(f"USDZ needs usd-core; install it with: {install('usd')}.") from error
    return importlib.import_module("pxr")


def write_usdz(
    path: Path,
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    uv: NDArray[np.floating],
    jpeg: bytes,
    metres: float,
    up: Sequence[float],
) -> None:
    """Write it atomically.

    Args:
        vertices: [N, 3]. faces: [M, 3]. uv: [N, 2], from the picture's upper left corner.
        metres: how long a unit of `vertices` is. up: [3] what becomes y.
    """
    library = pxr()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "texture.jpg").write_bytes(jpeg)
        stage = library.Usd.Stage.CreateNew(str(folder / "mesh.usdc"))
        library.UsdGeom.SetStageUpAxis(stage, library.UsdGeom.Tokens.y)
        library.UsdGeom.SetStageMetersPerUnit(stage, metres)
        root = library.UsdGeom.Xform.Define(stage, "/object")
        stage.SetDefaultPrim(root.GetPrim())
        x, y, z, w = upright(up)
        root.AddOrientOp().Set(library.Gf.Quatf(w, x, y, z))
        mesh = library.UsdGeom.Mesh.Define(stage, "/object/mesh")
        arrays = library.Vt
        mesh.CreatePointsAttr(arrays.Vec3fArray.FromNumpy(np.ascontiguousarray(vertices, np.float32)))
        mesh.CreateFaceVertexCountsAttr(arrays.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
        mesh.CreateFaceVertexIndicesAttr(arrays.IntArray.FromNumpy(np.ascontiguousarray(faces.reshape(-1), np.int32)))
        mesh.CreateSubdivisionSchemeAttr(library.UsdGeom.Tokens.none)
        low, high = (edge.astype(float).tolist() for edge in (vertices.min(0), vertices.max(0)))
        mesh.CreateExtentAttr([tuple(low), tuple(high)])
        places = library.UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
            "st", library.Sdf.ValueTypeNames.TexCoord2fArray, library.UsdGeom.Tokens.vertex
        )
        upwards = np.stack([uv[:, 0], 1 - uv[:, 1]], 1)
        places.Set(arrays.Vec2fArray.FromNumpy(np.ascontiguousarray(upwards, np.float32)))
        library.UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(_material(library, stage))
        stage.GetRootLayer().Save()
        packed = folder / "packed.usdz"
        if not library.UsdUtils.CreateNewUsdzPackage(str(folder / "mesh.usdc"), str(packed)):
            raise MacrosplatError(f"{path} could not be written as USDZ.")
        content = packed.read_bytes()
    write_whole(path, lambda part: part.write_bytes(content))


def _material(library: Any, stage: Any) -> Any:
    """Matt, in the colours of texture.jpg."""
    kinds, shade = library.Sdf.ValueTypeNames, library.UsdShade
    material = shade.Material.Define(stage, "/object/material")
    surface, texture, reader = (
        shade.Shader.Define(stage, f"/object/material/{name}") for name in ("surface", "texture", "reader")
    )
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", kinds.String).Set("st")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", kinds.Asset).Set("texture.jpg")
    texture.CreateInput("sourceColorSpace", kinds.Token).Set("sRGB")
    texture.CreateInput("st", kinds.Float2).ConnectToSource(reader.CreateOutput("result", kinds.Float2))
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", kinds.Float).Set(1.0)
    surface.CreateInput("metallic", kinds.Float).Set(0.0)
    light = texture.CreateOutput("rgb", kinds.Float3)
    surface.CreateInput("diffuseColor", kinds.Color3f).ConnectToSource(light)
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", kinds.Token))
    return material
