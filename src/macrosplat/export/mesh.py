"""A triangle mesh of a run, for those who measure: depth from all around, fused, and coloured by what the views show.

In: a finished RUN. Out: PLY, GLB, OBJ or STL by the file's suffix; millimetres where lens.json knows the scale, else
scene units; the axes are those of the cameras. It is cropped to what most photos have in the frame, and of that the
largest piece. Parts that no photo shows are left open.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from macrosplat.cameras.records import Cameras
from macrosplat.export.gltf import write_mesh_gltf
from macrosplat.export.orbit import orbit, pivot_of
from macrosplat.export.tsdf import Volume
from macrosplat.output.lens_report import read_lens
from macrosplat.output.subject import masks_of, where_framed
from macrosplat.render import Camera, render
from macrosplat.render.surface import surface_depth
from macrosplat.run import Run
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole
from macrosplat.support.numba import kernel_lock, njit, prange
from macrosplat.support.progress import Progress
from macrosplat.train import checkpoint

MOST_VOXELS = 32_000_000  # of 8 bytes
MOST_PIXELS = 1_000_000  # of a depth map: a finer one than the voxels says nothing new
MOST_PIXELS_IN_ALL = 120_000_000  # of all depth maps, 4 bytes each
VOXEL, TRUNCATION = 1.0, 6.0  # px of the depth maps at the object: single maps are mostly within that
# Transmittance at which a ray has met the surface. The surfaces of a trained scene are hazes some pixels deep, whose
# middle (0.5) lies behind what they stand for.
LEFT = 0.65
ORBIT_VIEWS = 12
FACING_LEAST = 0.05  # cosine between normal and ray: what is seen from the side alone gets its colour from there
SPECK = 300  # faces: a part as small as this and touching nothing is dust of the reconstruction
SMOOTHINGS = 5  # rounds: what is rougher than some voxels is noise of the depth
VIEWS_LEAST = 2  # that must agree that a place is empty or full


@dataclass(frozen=True)
class Mesh:
    """N vertices, M faces, counter-clockwise seen from outside."""

    vertices: NDArray[np.float64]  # [N, 3] world
    faces: NDArray[np.int64]  # [M, 3]
    colours: NDArray[np.float32]  # [N, 3] linear light


def write_mesh(run: Path, out: Path, whole: bool = False) -> None:
    """Make the mesh of RUN and write it as PLY, GLB, OBJ or STL, by the suffix of `out`.

    Args:
        whole: all that the photos show, in however many pieces.

    Raises:
        MacrosplatError: RUN is not finished, scikit-image is missing, another suffix, or there is no surface.
    """
    kind = out.suffix.lower()
    if kind not in (".ply", ".glb", ".obj", ".stl"):
        raise MacrosplatError(f"A mesh is written as .ply, .glb, .obj or .stl, not as {out}; give --out such a suffix.")
    trimesh = _trimesh() if kind in (".obj", ".stl") else None
    state = checkpoint.load(Run(run).checkpoint)
    report = read_lens(Run(run))
    unit = report.mm_per_unit if report is not None else None
    with Progress() as progress:
        mesh = make_mesh(state, progress)
        if not whole:
            cameras = Run(run).cameras()
            mesh = cropped(mesh, cameras, masks_of(Run(run).manifest, cameras.names))
        progress.note(f"{len(mesh.faces):,} triangles in {_pieces(mesh)} piece(s).")
        if unit is None:
            progress.note("Nothing says how long a scene unit is: the mesh is in scene units (see --scale-mm).")
        else:
            assert report is not None
            progress.note(f"The mesh is in mm; a scene unit is {unit:.4g} mm.")
    vertices = mesh.vertices * (unit or 1.0)
    if trimesh is not None:
        rgb = to_bytes(to_srgb(mesh.colours))
        made = trimesh.Trimesh(vertices, mesh.faces, vertex_colors=rgb, process=False)
        content = made.export(file_type=kind[1:])
        content = content.encode("utf-8") if isinstance(content, str) else content
        write_whole(out, lambda part: part.write_bytes(content))
    elif kind == ".glb":
        write_mesh_gltf(out, vertices, mesh.faces, mesh.colours, 1.0 if unit is None else 1e-3)
    else:
        write_mesh_ply(out, vertices, mesh.faces, to_bytes(to_srgb(mesh.colours)))


def make_mesh(state: checkpoint.Checkpoint, progress: Progress) -> Mesh:
    """The mesh of what a run learned, in scene units."""
    gaussians = state.model.gaussians.detach()
    stations = _stations(state)
    pixel = state.pixel * state.model.rig.frames[0].width / stations[0].frame.width
    progress.stage("measuring depth", len(stations))
    depths = []
    for station in stations:
        depths.append(surface_depth(gaussians, station, LEFT).astype(np.float32))
        progress.advance()
    low, high = _box(stations[: len(state.names)], depths)
    volume = Volume.around(low, high, VOXEL * pixel, TRUNCATION * pixel, MOST_VOXELS)
    progress.stage("fusing depth", len(stations))
    for station, depth in zip(stations, depths, strict=True):
        volume.add(depth, *_numbers(station))
        progress.advance()
    progress.stage("making the mesh")
    vertices, faces, normals = volume.surface(min(VIEWS_LEAST, len(stations)))
    colours, seen = _colours(gaussians, stations, depths, vertices, normals, volume.truncation, progress)
    vertices, faces, colours = _tidied(vertices, faces, colours, seen)
    if not len(faces):
        raise MacrosplatError("The scene has no surface to make a mesh of.")
    return Mesh(vertices, faces, colours)


def cropped(mesh: Mesh, cameras: Cameras, masks: Sequence[Path | None] = ()) -> Mesh:
    """The largest piece of what most photos have in the frame, white in their masks; all where they share nothing."""
    inside = where_framed(mesh.vertices, cameras, masks)
    faces = mesh.faces[inside[mesh.faces].all(1)]
    if len(faces) < SPECK:
        return mesh
    part = connected_components(_neighbours(faces, len(mesh.vertices)), directed=False)[1][faces[:, 0]]
    faces = faces[part == np.bincount(part).argmax()]
    used, index = np.unique(faces, return_inverse=True)
    return Mesh(mesh.vertices[used], index.reshape(-1, 3), mesh.colours[used])


def _pieces(mesh: Mesh) -> int:
    part = connected_components(_neighbours(mesh.faces, len(mesh.vertices)), directed=False)[1][mesh.faces[:, 0]]
    return len(np.unique(part))


def _trimesh() -> Any:
    try:
        return importlib.import_module("trimesh")
    except ImportError as error:
        raise MacrosplatError("OBJ and STL need trimesh; install it by: pip install 'macrosplat[mesh]'.") from error


def write_mesh_ply(
    path: Path, vertices: NDArray[np.floating], faces: NDArray[np.integer], rgb: NDArray[np.uint8]
) -> None:
    """A binary PLY of vertices [N, 3], their colours [N, 3] (8 bit sRGB) and faces [M, 3] atomically."""
    rows = np.zeros(len(vertices), [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    rows["xyz"], rows["rgb"] = vertices, rgb
    lists = np.zeros(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    lists["count"], lists["corners"] = 3, faces
    names = [*(f"property float {axis}" for axis in "xyz"), *(f"property uchar {c}" for c in ("red", "green", "blue"))]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}", *names]
    header += [f"element face {len(lists)}", "property list uchar int vertex_indices", "end_header\n"]
    content = "\n".join(header).encode("ascii") + rows.tobytes() + lists.tobytes()
    write_whole(path, lambda part: part.write_bytes(content))


def _stations(state: checkpoint.Checkpoint) -> list[Camera]:
    """The photos' cameras, then some between and around them."""
    model = state.model
    out = [_limited(camera, len(state.names)) for camera in model.cameras()]
    views = np.stack([camera.view.numpy() for camera in out]).astype(np.float64)
    around = orbit(views, pivot_of(views, model.rig.pivot_depth.numpy()), ORBIT_VIEWS)
    return out + [out[0].at(torch.tensor(view, dtype=torch.float32)) for view in around]


def _limited(camera: Camera, photos: int) -> Camera:
    most = min(MOST_PIXELS, MOST_PIXELS_IN_ALL / (photos + ORBIT_VIEWS))
    width, height = camera.frame.width, camera.frame.height
    factor = min(1.0, (most / (width * height)) ** 0.5)
    return camera.scaled(round(width * factor), round(height * factor))


def _numbers(station: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return station.view.numpy().astype(np.float64), station.intrinsics.numpy().astype(np.float64)


def _box(stations: list[Camera], depths: list[NDArray[np.float32]]) -> tuple[NDArray, NDArray]:
    """The corners [3] of a box that holds what the photos show, but for the farthest stragglers."""
    points = []
    for station, depth in zip(stations, depths, strict=False):
        view, k = _numbers(station)
        rows, columns = np.nonzero(depth)
        step = max(1, len(rows) // 5000)
        rows, columns = rows[::step], columns[::step]
        z = depth[rows, columns].astype(np.float64)
        local = np.stack([(columns + 0.5 - k[2]) / k[0] * z, (rows + 0.5 - k[3]) / k[1] * z, z], 1)
        points.append((local - view[:3, 3]) @ view[:3, :3])
    found = np.concatenate(points) if points else np.empty((0, 3))
    if not len(found):
        raise MacrosplatError("The scene has no surface to make a mesh of.")
    low, high = np.percentile(found, [0.5, 99.5], axis=0)
    margin = 0.03 * float((high - low).max())
    return low - margin, high + margin


def _colours(
    gaussians: Gaussians,
    stations: list[Camera],
    depths: list[NDArray[np.float32]],
    vertices: NDArray[np.float64],
    normals: NDArray[np.float64],
    reach: float,
    progress: Progress,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Linear light [N, 3] of every vertex, a mean over the views that see it, and whether any does."""
    total, weight = np.zeros((len(vertices), 3)), np.zeros(len(vertices))
    progress.stage("colouring the mesh", len(stations))
    for station, depth in zip(stations, depths, strict=True):
        with torch.no_grad():
            drawn = render(gaussians, station)
        with kernel_lock:
            _gather(
                *(total, weight, vertices, normals, *_numbers(station), depth, drawn.colour.numpy()),
                *(drawn.alpha.numpy(), reach),
            )
        progress.advance()
    seen = weight > 0
    return (total / np.where(seen, weight, 1.0)[:, None]).clip(0, 1).astype(np.float32), seen


@njit(parallel=True)
def _gather(total, weight, vertices, normals, view, intrinsics, depth, colour, alpha, reach):
    """Add what a view sees of each vertex, weighted by the squared cosine between normal and ray."""
    height, width = depth.shape
    for n in prange(vertices.shape[0]):
        x, y, z = view[0, 3], view[1, 3], view[2, 3]
        nx = ny = nz = 0.0
        for k in range(3):
            x += view[0, k] * vertices[n, k]
            y += view[1, k] * vertices[n, k]
            z += view[2, k] * vertices[n, k]
            nx += view[0, k] * normals[n, k]
            ny += view[1, k] * normals[n, k]
            nz += view[2, k] * normals[n, k]
        if z <= 0:
            continue
        column = int(np.floor(intrinsics[0] * x / z + intrinsics[2]))
        row = int(np.floor(intrinsics[1] * y / z + intrinsics[3]))
        if column < 0 or row < 0 or column >= width or row >= height:
            continue
        facing = -(nx * x + ny * y + nz * z) / np.sqrt(x * x + y * y + z * z)
        at = depth[row, column]
        if at <= 0 or abs(at - z) > reach:
            continue
        facing = max(facing, FACING_LEAST)
        # The colour is premultiplied: a pixel that is half haze counts half.
        weight[n] += facing * facing * alpha[row, column]
        for c in range(3):
            total[n, c] += facing * facing * colour[row, column, c]


def _tidied(
    vertices: NDArray[np.float64], faces: NDArray[np.int64], colours: NDArray[np.float32], seen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float32]]:
    """Without faces that no view sees and without specks, smoothed; only vertices that are used."""
    faces = faces[seen[faces].any(1)]
    if not len(faces):
        return vertices[:0], faces, colours[:0]
    part = connected_components(_neighbours(faces, len(vertices)), directed=False)[1][faces[:, 0]]
    size = np.bincount(part)
    faces = faces[size[part] > min(SPECK, size.max() - 1)]
    used, index = np.unique(faces, return_inverse=True)
    faces, seen = index.reshape(-1, 3), seen[used]
    near = _neighbours(faces, len(used))
    # What no view sees itself is of a face of which one does: it takes its neighbours' colour.
    around = near @ seen.astype(np.float64)
    mean = near @ np.where(seen[:, None], colours[used], 0) / around.clip(1)[:, None]
    return _smoothed(vertices[used], near), faces, np.where(seen[:, None], colours[used], mean).astype(np.float32)


def _neighbours(faces: NDArray[np.int64], count: int) -> csr_array:
    """[count, count]: 1 where an edge joins two vertices."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (count, count)).tocsr()
    links.data[:] = 1
    return links


def _smoothed(vertices: NDArray[np.float64], near: csr_array) -> NDArray[np.float64]:
    """Taubin's smoothing (1995), a step towards the neighbours' mean and a larger one back: noise goes, size stays."""
    degree = np.maximum(near.sum(1), 1)[:, None]
    for _ in range(SMOOTHINGS):
        for step in (0.5, -0.53):
            vertices = vertices + step * (near @ vertices / degree - vertices)
    return vertices
