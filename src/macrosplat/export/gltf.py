"""glTF binaries (.glb): Gaussians as KHR_gaussian_splatting has them, and triangle meshes with vertex colours.

In: Gaussians whose colours are sRGB, or a mesh, and which way is up. Out: one .glb file. glTF's y points up: the node
turns the scene so, the numbers stay those of scene.ply.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.scene.gaussians import SH_C0, Gaussians
from macrosplat.support.files import write_whole

EXTENSION = "KHR_gaussian_splatting"
FLOAT, UNSIGNED = 5126, 5125  # componentType
KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
POINTS, TRIANGLES = 0, 4  # mode of a primitive
LINEAR, MIPMAPS, CLAMP = 9729, 9987, 33071  # of a sampler
DOWN = (0.0, -1.0, 0.0)  # up, where y points down as in a camera


def upright(up: Sequence[float]) -> list[float]:
    """x, y, z, w of the turn that makes `up` [3] y: so that up is -y, on the shortest way, then half round about x."""
    x, y, z = np.asarray(up, float) / np.linalg.norm(up)
    if y > 1 - 1e-9:
        return [0.0, 0.0, 0.0, 1.0]
    # The first is up x (-y) = (z, 0, -x) with w = 1 + up . (-y); that, multiplied by (1, 0, 0, 0) from the left:
    turn = np.array([1 - y, x, 0.0, -z])
    return [float(value) for value in turn / np.linalg.norm(turn)]


def write_gltf(path: Path, gaussians: Gaussians, up: Sequence[float] = DOWN) -> None:
    """Write the scene atomically. Readers that do not know the extension show coloured points."""
    g = gaussians.arrays()
    quats = g["quats"] / np.linalg.norm(g["quats"], axis=1, keepdims=True).clip(1e-12)
    alpha = 1 / (1 + np.exp(-g["opacity_logits"][:, None]))
    colour = np.concatenate([np.clip(0.5 + SH_C0 * g["sh0"], 0, 1), alpha], 1)
    attributes = {
        "POSITION": g["means"],
        "COLOR_0": colour,
        f"{EXTENSION}:ROTATION": quats[:, [1, 2, 3, 0]],
        f"{EXTENSION}:SCALE": np.exp(g["log_scales"]),
        f"{EXTENSION}:OPACITY": alpha,
        f"{EXTENSION}:SH_DEGREE_0_COEF_0": g["sh0"],
    }
    for k in range(g["sh_rest"].shape[1]):
        degree = int(np.sqrt(k + 1))
        attributes[f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{k + 1 - degree**2}"] = g["sh_rest"][:, k]
    extension = {
        "kernel": "ellipse",
        "colorSpace": "srgb_rec709_display",
        "projection": "perspective",
        "sortingMethod": "cameraDistance",
    }
    primitive = {"mode": POINTS, "extensions": {EXTENSION: extension}}
    _write(path, primitive, attributes, None, [EXTENSION], {"rotation": upright(up)})


def write_mesh_gltf(
    path: Path,
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    linear: NDArray[np.floating],
    metres: float,
    up: Sequence[float] = DOWN,
) -> None:
    """Write a mesh [N, 3], [F, 3] with the vertices' colours [N, 3], which glTF wants in linear light.

    `metres`: how long a unit of `vertices` is; glTF counts metres.
    """
    attributes = {"POSITION": vertices, "COLOR_0": np.clip(linear, 0, 1)}
    node = {"rotation": upright(up), "scale": [metres] * 3}
    _write(path, {"mode": TRIANGLES, "material": 0}, attributes, faces, [], node)


def write_textured_gltf(
    path: Path,
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    uv: NDArray[np.floating],
    jpeg: bytes,
    metres: float,
    up: Sequence[float] = DOWN,
) -> None:
    """Write a mesh [N, 3], [F, 3] with a picture: `uv` [N, 2] from its upper left corner."""
    attributes = {"POSITION": vertices, "TEXCOORD_0": uv}
    node = {"rotation": upright(up), "scale": [metres] * 3}
    _write(path, {"mode": TRIANGLES, "material": 0}, attributes, faces, [], node, jpeg)


def _write(
    path: Path,
    primitive: dict[str, Any],
    attributes: dict[str, NDArray],
    faces: NDArray | None,
    extensions: list[str],
    node: dict[str, Any],
    jpeg: bytes | None = None,
) -> None:
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    blobs: list[bytes] = []

    def add(values: NDArray, component: int, dtype: str, bounds: bool) -> int:
        values = np.ascontiguousarray(values, dtype=dtype)
        width = 1 if values.ndim == 1 else values.shape[1]
        views.append({"buffer": 0, "byteOffset": sum(map(len, blobs)), "byteLength": values.nbytes})
        accessor: dict[str, Any] = {"bufferView": len(views) - 1, "componentType": component, "count": len(values)}
        accessor["type"] = KINDS[width]
        if bounds and len(values):
            accessor |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        accessors.append(accessor)
        blobs.append(values.tobytes())  # of 4 byte numbers: every view begins where it has to, at a multiple of 4
        return len(accessors) - 1

    found = {name: add(values, FLOAT, "<f4", name == "POSITION") for name, values in attributes.items()}
    primitive = {**primitive, "attributes": found}
    if faces is not None:
        primitive["indices"] = add(faces.reshape(-1), UNSIGNED, "<u4", False)
    # Matt, as what was photographed mostly is.
    matt: dict[str, Any] = {"metallicFactor": 0, "roughnessFactor": 1}
    pictures: dict[str, Any] = {}
    if jpeg is not None:
        views.append({"buffer": 0, "byteOffset": sum(map(len, blobs)), "byteLength": len(jpeg)})
        blobs.append(jpeg + b"\0" * (-len(jpeg) % 4))
        matt["baseColorTexture"] = {"index": 0}
        pictures = {
            "images": [{"bufferView": len(views) - 1, "mimeType": "image/jpeg"}],
            "samplers": [{"magFilter": LINEAR, "minFilter": MIPMAPS, "wrapS": CLAMP, "wrapT": CLAMP}],
            "textures": [{"source": 0, "sampler": 0}],
        }
    document = {
        "asset": {"version": "2.0", "generator": "macrosplat"},
        **({"extensionsUsed": extensions} if extensions else {}),
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **node}],
        "meshes": [{"primitives": [primitive]}],
        **({"materials": [{"pbrMetallicRoughness": matt}]} if faces is not None else {}),
        **pictures,
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": sum(map(len, blobs))}],
    }
    text = json.dumps(document, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(blobs)
    size = 12 + 8 + len(text) + 8 + len(binary)
    parts = [
        struct.pack("<4sII", b"glTF", 2, size),
        *(struct.pack("<I4s", len(text), b"JSON"), text),
        *(struct.pack("<I4s", len(binary), b"BIN\0"), binary),
    ]
    write_whole(path, lambda part: part.write_bytes(b"".join(parts)))
