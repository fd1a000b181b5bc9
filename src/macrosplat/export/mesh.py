"""A triangle mesh of a run, for those who measure or print: depth from all around, fused, coloured by the sharp photos.

In: a finished RUN. Out: PLY, GLB, OBJ, STL or USDZ by the file's suffix; millimetres where lens.json knows the scale,
else scene units; the axes are those of the cameras. It is of the object alone, in one piece: what most photos have in
the frame, white in their masks, without the ground that it stands on. What no photo shows is left open, or closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.vertical import vertical
from macrosplat.export import texture, tidy
from macrosplat.export.depths import Station, box, fuse, look, pixel_of
from macrosplat.export.mesh_files import Mesh, check_suffix, write_mesh_file
from macrosplat.export.region import region, within
from macrosplat.export.shape import Shape
from macrosplat.export.tsdf import NO_SURFACE, Surface, Volume
from macrosplat.export.vertex_colours import WIDEST, Colours, of_photo, of_scene, sharp_pictures
from macrosplat.output.lens_report import read_lens
from macrosplat.output.subject import masks_of
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.progress import Face, Progress
from macrosplat.train import checkpoint

SPECK = 300  # faces: a part as small as this and touching nothing is dust of the reconstruction
VIEWS_LEAST = 2  # that must agree that a place is empty or full
BLUR = 1.0  # voxels by which the field of a closed surface is smoothed
ERROR = 0.5  # voxels that a triangle may be off, if nobody says,
LEFT_FOR_COLOURS = 0.1  # and so many of the triangles stay: colours stand at their corners, on flat parts, too
NO_MASKS = (
    "The run has no masks: the mesh is of all that most photos have in the frame, the ground, too. With masks "
    "(CAPTURE/masks, white = object) it is of the object alone."
)
HIDDEN, SPREAD = 0.3, 8  # a place fewer of whose neighbours are seen is open; rounds that neighbours are counted over


def write_mesh(folder: Path, out: Path, shape: Shape | None = None, shown: Sequence[Face] = ()) -> None:
    """Make the mesh of RUN and write it as PLY, GLB, OBJ, STL or USDZ, by the suffix of `out`.

    Raises:
        MacrosplatError: RUN is not finished, a package is missing, another suffix, or there is no surface.
    """
    shape = shape or Shape()
    if out.suffix.lower() == ".usdz":  # which phones show with a texture only
        shape = replace(shape, texture=True)
    check_suffix(out, shape)
    shape = replace(shape, coloured=out.suffix.lower() != ".stl")
    run = Run(folder)
    state = checkpoint.load(run.checkpoint)
    report = read_lens(run)
    unit = report.mm_per_unit if report is not None else None
    with Progress(more=shown) as progress:
        mesh = make_mesh(run, state, shape, unit, progress)
        if unit is None:
            progress.note("Nothing says how long a scene unit is: the mesh is in scene units (see --scale-mm).")
        else:
            progress.note(f"The mesh is in mm; a scene unit is {unit:.4g} mm.")
    mesh = replace(mesh, up=vertical(run.cameras().views).tolist())
    write_mesh_file(out, mesh, mm=unit is not None)


def make_mesh(run: Run, state: checkpoint.Checkpoint, shape: Shape, unit: float | None, progress: Progress) -> Mesh:
    """The mesh of what a run learned, in mm where `unit` (mm of a scene unit) is known."""
    stations = look(state, progress)
    volume, surface = _surface(run, state, stations, shape, progress)
    vertices = tidy.smoothed(surface.vertices, surface.faces)
    colours = _Colouring(run, state, stations, volume.truncation)
    if shape.whole:
        faces = _without_specks(
            _seen_faces(surface.faces, colours.of(vertices, surface.faces, progress)[1]), len(vertices)
        )
    elif shape.watertight:
        faces = surface.faces
    else:
        faces = _opened(surface.faces, colours.of(vertices, surface.faces, progress)[1])
    if not len(faces):
        raise MacrosplatError(NO_SURFACE)
    vertices, faces = _used(vertices, faces)
    progress.stage("simplifying the mesh")
    before, error = len(faces), shape.error if shape.error is not None else ERROR * volume.voxel * (unit or 1.0)
    off = 0.0
    if error:
        by_corner = shape.coloured and not shape.texture
        fewest = round(LEFT_FOR_COLOURS * before) if shape.error is None and by_corner else 0
        vertices, faces, off = tidy.decimated(vertices, faces, error / (unit or 1.0), fewest)
        vertices, faces = _used(vertices, faces if shape.whole else tidy.largest(faces, len(vertices)))
    progress.note(
        f"{len(faces):,} triangles in {_pieces(faces, len(vertices))} of {before:,}; 99 % of the surface is within "
        f"{off * (unit or 1.0):.2g} {'mm' if unit else 'scene units'} of the finer one."
    )
    light, seen = colours.of(vertices, faces, progress)
    mesh = Mesh(vertices * (unit or 1.0), faces, _spread(light, seen, faces))
    if not shape.texture:
        return mesh
    progress.stage("unwrapping the mesh")
    opened = texture.unwrapped(vertices, faces, state.pixel * _shrunk(run, state))
    picture = texture.painted(
        vertices, faces, mesh.colours, opened, lambda places, normals: colours.at(places, normals, progress)
    )
    progress.note(f"The texture has {opened.size[0]} x {opened.size[1]} px.")
    return Mesh(mesh.vertices[opened.source], opened.faces, mesh.colours[opened.source], opened.uv, picture)


def _shrunk(run: Run, state: checkpoint.Checkpoint) -> float:
    """px of the training width that a px of the photos is, as colours are read from them; at most 1."""
    widest = max((photo.width for photo in run.manifest.photos), default=0)
    return min(1.0, state.model.rig.frames[0].width / max(1, min(widest, WIDEST)))


def _pieces(faces: NDArray[np.int64], count: int) -> str:
    number = tidy.pieces(faces, count)
    return "one piece" if number == 1 else f"{number} pieces"


def _surface(
    run: Run, state: checkpoint.Checkpoint, stations: list[Station], shape: Shape, progress: Progress
) -> tuple[Volume, Surface]:
    photos = stations[: len(state.names)]
    low, high = box(photos)
    pixel = pixel_of(state, stations)
    least = min(VIEWS_LEAST, len(stations))
    if shape.whole:
        volume = fuse(stations, low, high, pixel, progress)
        progress.stage("making the mesh")
        return volume, volume.surface(least)
    cameras = run.cameras()
    masks = masks_of(run, cameras.names)
    if not any(masks):
        progress.note(NO_MASKS)
    volume = fuse(stations, *within(low, high, cameras, masks), pixel, progress)
    progress.stage("making the mesh")
    inside = region(volume.origin, volume.voxel, volume.shape, cameras, masks)
    return volume, volume.closed(least, inside, BLUR)


class _Colouring:
    """Colours of places on the surface, from the sharp photos where they are there."""

    def __init__(self, run: Run, state: checkpoint.Checkpoint, stations: list[Station], reach: float) -> None:
        self._stations, self._reach, self._count = stations, reach, len(state.names)
        self._photos = sharp_pictures(run, state.names)
        self._drawn = of_scene(state.model.gaussians.detach())

    def of(
        self, vertices: NDArray[np.float64], faces: NDArray[np.int64], progress: Progress
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Linear light [N, 3], and whether any view sees it [N]."""
        return self.at(vertices, tidy.normals_of(vertices, faces), progress)

    def at(
        self, places: NDArray[np.float64], normals: NDArray[np.float64], progress: Progress
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """As `of`, for places on the surface [N, 3] with normals [N, 3]."""
        asked = self._stations if self._photos is None else self._stations[: self._count]
        progress.stage("colouring the mesh", len(asked))
        colours = Colours(places, normals, self._reach)
        for n, station in enumerate(asked):
            photo = self._photos[n] if self._photos is not None else None
            colours.add(station, self._drawn(station) if photo is None else of_photo(*photo, station.depth))
            progress.advance()
        return colours.mean()


def _opened(faces: NDArray[np.int64], seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The largest piece of what is seen, or surrounded by what is seen."""
    near = tidy.neighbours(faces, len(seen))
    degree = np.maximum(near.sum(1), 1)
    share = seen.astype(np.float64)
    for _ in range(SPREAD):
        share = 0.5 * share + 0.5 * (near @ share) / degree
    kept = faces[(share[faces] > HIDDEN).all(1)]
    return tidy.largest(kept, len(seen)) if len(kept) else kept


def _seen_faces(faces: NDArray[np.int64], seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return faces[seen[faces].any(1)]


def _without_specks(faces: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    if not len(faces):
        return faces
    part = tidy.connected(faces, count)
    size = np.bincount(part)
    return faces[size[part] > min(SPECK, size.max() - 1)]


def _used(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    used, index = np.unique(faces, return_inverse=True)
    return vertices[used], index.reshape(-1, 3)


def _spread(light: NDArray[np.float32], seen: NDArray[np.bool_], faces: NDArray[np.int64]) -> NDArray[np.float32]:
    """What no view sees takes the colour of what lies around it."""
    if seen.all() or not seen.any():
        return light
    near = tidy.neighbours(faces, len(light))
    known, colours = seen.astype(np.float64), np.where(seen[:, None], light, 0.0).astype(np.float64)
    while not known.all():
        around = near @ known
        reached = (known == 0) & (around > 0)
        if not reached.any():
            break
        colours[reached] = (near @ colours)[reached] / around[reached, None]
        known[reached] = 1
    colours[known == 0] = light[seen].mean(0)
    return colours.astype(np.float32)
