"""Every format that `macrosplat export` writes, read back by a program that is not macrosplat.

    python benchmarks/read_back.py RUN FOLDER [--splat-transform CLI]

RUN is a finished run with masks, FOLDER where the files are left. Read by: gsply, plyfile, trimesh, pycolmap, usd-core,
Pillow, ffmpeg (all frames of the films; three of them are left as pictures) and, where its `bin/cli.mjs` is named,
splat-transform (npm: @playcanvas/splat-transform). A line for each; the exit code is 1 if one could not be read.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gsply
import numpy as np
import pycolmap
import trimesh
from PIL import Image
from plyfile import PlyData

SCENES = {"ply": "a.ply", "compressed-ply": "a.compressed.ply", "spz": "a.spz", "sog": "a.sog", "splat": "a.splat"}
MESHES = {
    "m.ply": [],
    "closed.stl": ["--watertight"],
    "closed.obj": ["--watertight", "--texture"],
    "t.glb": ["--texture"],
    "t.usdz": [],
}
FILMS = {"orbit.mp4": "orbit", "turntable.mp4": "turntable", "focus.mp4": "focus-pull"}
SECONDS = 2  # of a film


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--splat-transform", type=Path)
    parser.add_argument("--only", nargs="*", default=[], help="names of files, others are left out")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, format, more, read in what(args.folder, args.splat_transform):
        if args.only and name not in args.only:
            continue
        began = time.perf_counter()
        try:
            command = [sys.executable, "-m", "macrosplat", "export", str(args.run), "--format", format, *more]
            done = subprocess.run([*command, "--out", str(args.folder / name)], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr.strip().splitlines()[-1])
            took = time.perf_counter() - began
            print(f"{name} ({format} {' '.join(more)}): {took:.1f} s; {read(args.folder / name)}", flush=True)
        except Exception as error:  # whatever a reader raises is what is looked for
            failed += 1
            print(f"{name} ({format} {' '.join(more)}): FAILED, {type(error).__name__}: {error}", flush=True)
    return min(failed, 1)


def what(folder: Path, transform: Path | None) -> list[tuple[str, str, list[str], Callable[[Path], str]]]:
    """(name, format, further options, reader)."""
    out: list[tuple[str, str, list[str], Callable[[Path], str]]] = []
    for format, name in SCENES.items():
        out.append((name, format, [], lambda path: splats(path, transform)))
    out.append(("a.glb", "gltf", [], gltf))
    out.append(("points.ply", "points", [], points))
    out.append(("colmap", "colmap", [], colmap))
    out.append(("nerfstudio", "nerfstudio", [], nerfstudio))
    out.append(("share.zip", "zip", [], archive))
    out.append(("focus_stack", "focus-stack", [], pictures))
    for name, options in MESHES.items():
        out.append((name, "mesh", options, usdz if name.endswith("usdz") else mesh))
    for name, way in FILMS.items():
        out.append((name, "video", ["--path", way, "--seconds", str(SECONDS)], film))
    return out


def splats(path: Path, transform: Path | None) -> str:
    said = []
    if path.suffix == ".ply":
        said.append(f"gsply: {len(gsply.plyread(str(path)))} Gaussians")
        said.append(f"plyfile: {PlyData.read(str(path))['vertex'].count}")
    if path.suffix == ".spz":
        said.append(f"gsply: {len(gsply.read_spz(str(path)))} Gaussians")
    if transform is not None:
        back = path.with_name("back.ply")
        subprocess.run(["node", str(transform), "-w", str(path), str(back)], check=True, capture_output=True)
        said.append(f"splat-transform: {PlyData.read(str(back))['vertex'].count}")
    return ", ".join([*said, f"{path.stat().st_size / 1e3:,.0f} kB"])


def gltf(path: Path) -> str:
    content = path.read_bytes()
    document = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
    scene: Any = trimesh.load(path)
    geometry = next(iter(scene.geometry.values()))
    return f"trimesh: {type(geometry).__name__} of {len(geometry.vertices)}; {document['extensionsUsed'][0]}"


def points(path: Path) -> str:
    normals = PlyData.read(str(path))["vertex"]
    length = np.linalg.norm(np.stack([normals[axis] for axis in ("nx", "ny", "nz")], 1), axis=1)
    cloud: Any = trimesh.load(path)
    return f"trimesh: {len(cloud.vertices)} points; plyfile: normals of length {length.min():.3f} to {length.max():.3f}"


def colmap(path: Path) -> str:
    model = pycolmap.Reconstruction(str(path / "sparse" / "0"))
    sizes = {Image.open(file).size for file in (path / "images").iterdir()}
    return f"pycolmap: {model.num_images()} images, {model.num_points3D()} points; pictures {sorted(sizes)}"


def nerfstudio(path: Path) -> str:
    frames = json.loads((path / "transforms.json").read_text())["frames"]
    sizes = {Image.open(path / frame["file_path"]).size for frame in frames}
    cloud: Any = trimesh.load(path / "sparse_pc.ply")
    return f"json: {len(frames)} frames; pictures {sorted(sizes)}; trimesh: {len(cloud.vertices)} points"


def archive(path: Path) -> str:
    with zipfile.ZipFile(path) as opened:
        broken, names = opened.testzip(), opened.namelist()
        page = next(name for name in names if name.endswith("index.html"))
        scene = next(name for name in names if name.endswith("scene.ply"))
        count = PlyData.read(io.BytesIO(opened.read(scene)))["vertex"].count
    if broken is not None:
        raise ValueError(f"{broken} is damaged")
    return f"zipfile: {len(names)} files with {page}; plyfile: {count} Gaussians"


def pictures(path: Path) -> str:
    told = json.loads((path / "focus.json").read_text())
    sizes = {Image.open(file).size for file in path.glob("*.png")}
    return f"Pillow: {len(list(path.glob('*.png')))} pictures {sorted(sizes)}; focus.json with {sorted(told)}"


def mesh(path: Path) -> str:
    read: Any = trimesh.load(path)
    one = next(iter(read.geometry.values())) if isinstance(read, trimesh.Scene) else read
    material = getattr(one.visual, "material", None)
    texture = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    whole = trimesh.Trimesh(one.vertices, one.faces)  # a texture's seams double corners
    whole.merge_vertices(merge_tex=True, merge_norm=True)
    extents = read.extents * (1000 if path.suffix == ".glb" else 1)  # glTF is in metres
    return (
        f"trimesh: {len(one.faces)} triangles, {whole.body_count} body, "
        f"{'watertight' if whole.is_watertight else 'open'}, {' x '.join(f'{side:.1f}' for side in extents)} mm, "
        + (f"texture {texture.size[0]} x {texture.size[1]}" if texture is not None else f"colours: {one.visual.kind}")
    )


def usdz(path: Path) -> str:
    usd, geometry = (importlib.import_module(f"pxr.{name}") for name in ("Usd", "UsdGeom"))
    stage = usd.Stage.Open(str(path))
    found = geometry.Mesh(stage.GetPrimAtPath("/object/mesh"))
    size = 1000 * geometry.GetStageMetersPerUnit(stage) * np.ptp(np.array(found.GetPointsAttr().Get()), axis=0)
    count = len(found.GetFaceVertexCountsAttr().Get())
    up = geometry.GetStageUpAxis(stage)
    return f"usd-core: {count} triangles, {' x '.join(f'{side:.1f}' for side in size)} mm, {up} up"


def film(path: Path) -> str:
    import imageio_ffmpeg

    frames = imageio_ffmpeg.read_frames(str(path))
    about = next(frames)
    size, count, before, moved = about["size"], 0, None, []
    for content in frames:
        picture = np.frombuffer(content, np.uint8).reshape(size[1], size[0], 3)
        if before is not None:
            moved.append(float(np.abs(picture[::8, ::8].astype(int) - before).mean()))
        before = picture[::8, ::8].astype(int)
        if count % 16 == 0:
            Image.fromarray(picture).save(path.with_name(f"{path.stem}_{count:03d}.png"))
        count += 1
    return (
        f"ffmpeg: {count} frames of {size[0]} x {size[1]}, {about['fps']:g} a second; from frame to frame "
        f"{np.median(moved):.2f} of 255 differ in the median, {max(moved):.2f} at most"
    )


if __name__ == "__main__":
    sys.exit(main())
