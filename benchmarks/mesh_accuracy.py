"""How far a mesh made of a run is from the truth.

    python benchmarks/mesh_accuracy.py RUN CAPTURE [--mesh MESH.ply] [--picture FOLDER]

CAPTURE holds `transforms.json`, `depth/NNN.png` (camera z, unit in `truth.json`) and `masks/`: the truth, read here
only to compare. The mesh (made by `macrosplat export RUN --format mesh` unless given) is brought to the truth's world
by the similarity that fits RUN's cameras to the true ones, and seen by the true cameras: wherever the truth has the
object, camera z of the mesh is compared with that of the truth. A grazing ray makes much more of it than the surfaces
are apart: so the distances from true places to the nearest of the mesh are told, too, and from the places of the mesh
that a true camera sees, within its mask, to the nearest true ones. `--picture` writes shaded views, to look at.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import KDTree
from sfm_accuracy import similarity

from macrosplat.cameras.transforms import read_cameras_file
from macrosplat.output.lens_report import read_lens
from macrosplat.run import Run
from macrosplat.support.numba import njit

FAR = np.float32(3e38)
PLACES, ASKED = 3_000_000, 100_000  # on the mesh; and how many distances are measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--mesh", type=Path)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        mesh = args.mesh
        if mesh is None:
            from macrosplat.export import export

            mesh = export(args.run, "mesh", Path(scratch) / "mesh.ply")
        vertices, faces, colours = read_mesh(mesh)
    report = read_lens(Run(args.run))
    unit = report.mm_per_unit if report is not None and report.mm_per_unit else 1.0
    print(measure(args.run, args.capture, vertices / unit, faces, colours, args.picture))


def measure(
    run: Path, capture: Path, vertices: NDArray, faces: NDArray, colours: NDArray, picture: Path | None = None
) -> str:
    """One line of figures; `vertices` in scene units of the run."""
    truth, own = read_cameras_file(capture / "transforms.json"), read_cameras_file(run / "transforms.json")
    stems = [PurePosixPath(name).stem for name in truth.names]
    index = [stems.index(PurePosixPath(name).stem) for name in own.names]
    vertices = similarity(own.centres, truth.centres[index]) * vertices
    unit = json.loads((capture / "truth.json").read_text())["depth_scale_mm"]
    errors, missing, all_of, true_places, own_places = [], 0, 0, [], []
    for v, stem in enumerate(stems):
        true = np.asarray(Image.open(capture / "depth" / f"{stem}.png")).astype(np.float64) * unit
        size = (true.shape[1], true.shape[0])
        mask = Image.open(capture / "masks" / f"{stem}.png").convert("L").resize(size, Image.Resampling.BOX)
        k = truth.intrinsics[v] * np.array(size * 2) / np.tile(truth.sizes[v], 2)
        depth, face = z_buffer(vertices, faces, truth.views[v], k, size)
        there = (true > 0) & (np.asarray(mask) == 255)  # whole pixels of the object, none of its rim
        seen = there & (face >= 0)
        errors.append((depth - true)[seen])
        true_places.append(_places(true, there, truth.views[v], k))
        own_places.append(_places(depth, (np.asarray(mask) == 255) & (face >= 0), truth.views[v], k))
        missing += int((there & ~seen).sum())
        all_of += int(there.sum())
        if picture is not None and v % 6 == 0:
            picture.mkdir(parents=True, exist_ok=True)
            big = int(truth.sizes[v][0]), int(truth.sizes[v][1])
            shaded, coloured = draw(vertices, faces, colours, truth.views[v], truth.intrinsics[v], big)
            Image.fromarray(np.concatenate([shaded, coloured], 1)).save(picture / f"{stem}.png")
    off = np.concatenate(errors)
    away = np.abs(off)
    true_at, own_at = np.concatenate(true_places), np.concatenate(own_places)
    to_mesh, to_truth = _nearest(true_at, _dense(vertices, faces)), _nearest(own_at, true_at)
    return (
        f"{len(vertices)} vertices, {len(faces)} faces; off by {np.median(away):.3f} mm (median), "
        f"{np.percentile(away, 90):.3f} mm (90 %), bias {np.median(off):+.3f} mm; "
        f"{missing / all_of:.2%} of the object is missing; from true places to the mesh {_summary(to_mesh)}, "
        f"from places of the mesh to the truth {_summary(to_truth)}"
    )


def _places(depth: NDArray, there: NDArray[np.bool_], view: NDArray, k: NDArray) -> NDArray[np.float64]:
    """[N, 3] world, of the pixels that are `there`, of camera z `depth`."""
    rows, columns = np.nonzero(there)
    z = depth[rows, columns].astype(np.float64)
    local = np.stack([(columns + 0.5 - k[2]) / k[0] * z, (rows + 0.5 - k[3]) / k[1] * z, z], 1)
    return (local - view[:3, 3]) @ view[:3, :3]


def _dense(vertices: NDArray, faces: NDArray) -> NDArray[np.float64]:
    """[N, 3] places all over a mesh, at random: the nearest of them is hardly farther than the mesh."""
    corner = vertices[faces]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    chance = np.random.default_rng(0)
    face = chance.choice(len(faces), PLACES, p=area / area.sum())
    u, v = chance.random((2, PLACES, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return corner[face, 0] * (1 - u - v) + corner[face, 1] * u + corner[face, 2] * v


def _nearest(asked: NDArray, places: NDArray) -> NDArray[np.float64]:
    """[N] mm from each place asked for (ASKED of them) to the nearest other."""
    if len(asked) > ASKED:
        asked = asked[np.random.default_rng(1).choice(len(asked), ASKED, replace=False)]
    return KDTree(places).query(asked)[0]


def _summary(away: NDArray) -> str:
    return f"{np.median(away):.3f} mm (median), {np.percentile(away, 90):.3f} mm (90 %)"


def read_mesh(path: Path) -> tuple[NDArray, NDArray, NDArray]:
    """Vertices [N, 3], faces [M, 3] and 8 bit colours [N, 3] of a binary PLY, by another reader."""
    from plyfile import PlyData

    data = PlyData.read(str(path))
    vertex = data["vertex"]
    faces = np.stack(data["face"]["vertex_indices"])
    stacked = [
        np.stack([np.asarray(vertex[n]) for n in names], 1) for names in (("x", "y", "z"), ("red", "green", "blue"))
    ]
    return stacked[0].astype(np.float64), faces.astype(np.int64), stacked[1]


def z_buffer(
    vertices: NDArray, faces: NDArray, view: NDArray, intrinsics: NDArray, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Camera z [H, W] of the nearest face at each pixel's centre, and which one it is; -1: none."""
    local = vertices @ view[:3, :3].T + view[:3, 3]
    px = local[:, :2] / local[:, 2:] * intrinsics[:2] + intrinsics[2:]
    depth, face = np.full((size[1], size[0]), FAR), np.full((size[1], size[0]), -1, np.int64)
    _fill(px, local[:, 2].copy(), faces, depth, face)
    return depth, face


@njit
def _fill(px, z, faces, depth, face):
    height, width = depth.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        if min(min(z[a], z[b]), z[c]) <= 0:
            continue
        area = (px[b, 0] - px[a, 0]) * (px[c, 1] - px[a, 1]) - (px[b, 1] - px[a, 1]) * (px[c, 0] - px[a, 0])
        if area == 0:
            continue
        x0 = max(0, int(np.ceil(min(min(px[a, 0], px[b, 0]), px[c, 0]) - 0.5)))
        x1 = min(width - 1, int(np.floor(max(max(px[a, 0], px[b, 0]), px[c, 0]) - 0.5)))
        y0 = max(0, int(np.ceil(min(min(px[a, 1], px[b, 1]), px[c, 1]) - 0.5)))
        y1 = min(height - 1, int(np.floor(max(max(px[a, 1], px[b, 1]), px[c, 1]) - 0.5)))
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                dx, dy = x + 0.5 - px[a, 0], y + 0.5 - px[a, 1]
                v = (dx * (px[c, 1] - px[a, 1]) - dy * (px[c, 0] - px[a, 0])) / area
                w = (dy * (px[b, 0] - px[a, 0]) - dx * (px[b, 1] - px[a, 1])) / area
                u = 1 - v - w
                if u < -1e-9 or v < -1e-9 or w < -1e-9:
                    continue
                at = 1 / (u / z[a] + v / z[b] + w / z[c])
                if at < depth[y, x]:
                    depth[y, x], face[y, x] = at, f


def draw(
    vertices: NDArray, faces: NDArray, colours: NDArray, view: NDArray, intrinsics: NDArray, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The mesh in grey under a lamp beside the camera (back faces red), and in its colours."""
    _, face = z_buffer(vertices, faces, view, intrinsics, size)
    corner = vertices[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-30)
    centre = -view[:3, :3].T @ view[:3, 3]
    to_camera = centre - corner.mean(1)
    to_camera /= np.linalg.norm(to_camera, axis=1, keepdims=True)
    facing = (normal * to_camera).sum(1)
    grey = 40 + 200 * np.abs(facing)
    shade = np.where(facing[:, None] > 0, grey[:, None].repeat(3, 1), grey[:, None] * (1, 0.3, 0.3))
    own = colours[faces].astype(np.float64).mean(1)
    out = []
    for table in (shade, own):
        picture = np.full((size[1], size[0], 3), 20.0)
        picture[face >= 0] = table[face[face >= 0]]
        out.append(np.rint(picture).clip(0, 255).astype(np.uint8))
    return out[0], out[1]


if __name__ == "__main__":
    main()
