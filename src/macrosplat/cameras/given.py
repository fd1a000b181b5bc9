"""Cameras that come with a capture: which files of other programs there are, and the one that is read.

In: the capture's folder, its photos. Out: `Given`. Of several files one counts; the others, and files of cameras in
forms that are not read, are named in the notes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from macrosplat.cameras import colmap, colmap_files, llff, metashape, reality, transforms
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.cameras.unknown import going_with
from macrosplat.photos.names import listed
from macrosplat.photos.records import Photo
from macrosplat.support.reading import read_bytes

# Files of cameras that are not read, or not where they lie: by pattern, in lower case, and whose they are.
NOT_READ = {
    "transforms*.json": "nerfstudio or Blender",
    "cameras.bin": "COLMAP",
    "cameras.txt": "COLMAP",
    "images.bin": "COLMAP, without its cameras",
    "database.db": "COLMAP, without a model",
    "cameras.sfm": "Meshroom",
    "sfm_data.json": "OpenMVG",
    "reconstruction.json": "OpenSfM",
    "cameras*.npz": "NeuS",
    "poses_bounds.npy": "LLFF",
    "*.nvm": "VisualSFM",
    "bundle*.out": "Bundler",
    "blocks*.xml": "ContextCapture",
    "*omega*phi*kappa*.txt": "Metashape, which exports cameras as XML",
    "*.p4p": "Pix4D",
    "*.psx": "Metashape, which exports cameras as XML",
    "*.rcproj": "RealityCapture, which exports cameras as CSV",
    "cameras.json": "3DGS",
    "poses.*": "another program",
    "intrinsics.*": "another program",
    "*.zep": "3DF Zephyr",
    "*.mvs": "OpenMVS",
    "synth_*.out": "MVE",
    "mesh_info.json": "Polycam",
    "*_cam.txt": "MVSNet",
    "*.r3d": "Record3D",
}
CONTAIN = {"metadata.json": (b'"poses"', "Record3D")}  # of files of common names, what they contain
DEEPEST = 4  # folders below the capture that are looked into
NOT_READ_BESIDE = {"*.xmp": b"Position"}  # RealityCapture's sidecars: among the photos, and what they contain


@dataclass(frozen=True)
class Source:
    """A file, or a folder, of cameras."""

    kind: str  # "transforms" | "colmap" | "metashape" | "reality" | "llff"
    path: Path
    others: tuple[str, ...] = ()  # what else is there, for a sentence

    @property
    def what(self) -> str:
        """How to call it."""
        return f"the COLMAP model {self.path}" if self.kind == "colmap" else self.path.name

    def named_files(self) -> list[Path]:
        """Where its photos would lie, if it says so."""
        return transforms.named_files(self.path) if self.kind == "transforms" else []


@dataclass(frozen=True)
class Given:
    """What a capture's cameras are, by a file of it."""

    photos: tuple[Photo, ...]  # those that it knows
    cameras: Cameras | None  # of these; None: the file cannot be used, and the notes say why
    points: SparsePoints | None
    masks: dict[str, Path]  # photo name to the mask that it names
    notes: tuple[str, ...]


def find_given(root: Path) -> Source | None:
    """The file of cameras that counts, with the names of the others."""
    found: list[tuple[str, Path]] = []
    by_name = transforms.find_transforms(root)
    whole = [path for path in by_name if path.name.casefold() == transforms.NAMES[0]]
    found += [("transforms", path) for path in whole]
    found += [("colmap", path) for path in colmap_files.find_models(root)]
    found += [("transforms", path) for path in by_name if path not in whole]
    found += [("metashape", path) for path in metashape.find_metashape(root)]
    found += [("reality", path) for path in reality.find_reality(root)]
    found += [("llff", path) for path in llff.find_llff(root)]
    if not found:
        return None
    others = [path.relative_to(root).as_posix() or path.name for _, path in found[1:]]
    return Source(*found[0], tuple(others))


def read_given(source: Source, photos: tuple[Photo, ...], folder: Path, dropped: Sequence[str]) -> Given:
    """Read it.

    Args:
        folder: what photo names are relative to.
        dropped: names of photos of the folder that are damaged or empty.

    Raises:
        MacrosplatError: it is damaged, or of other photos.
    """
    notes: tuple[str, ...] = ()
    points, masks = None, {}
    if source.kind == "transforms":
        given = transforms.read_transforms(source.path, photos, [folder / name for name in dropped])
        photos, cameras, masks, notes = given.photos, given.cameras, given.masks, given.notes
    elif source.kind == "colmap":
        photos, cameras, points, notes = colmap.read_colmap(source.path, photos, dropped)
    elif source.kind == "metashape":
        photos, cameras, notes = metashape.read_metashape(source.path, photos, dropped)
    elif source.kind == "reality":
        photos, cameras, notes = reality.read_reality(source.path, photos, dropped)
    else:
        photos, cameras, notes = llff.read_llff(source.path, photos, dropped)
    if source.others:
        notes = (*notes, f"Cameras were taken from {source.what}; left alone: {listed(source.others)}.")
    return Given(photos, cameras, points, masks, notes)


def not_read(root: Path, folder: Path, photos: Sequence[Photo] = ()) -> list[str]:
    """Sentences on files of cameras in forms or places that are not read, where no other is there."""
    there = list(_below(root))
    found = {path: whose for path in there if (whose := _whose(path)) is not None}
    for pattern, word in NOT_READ_BESIDE.items():
        for path in sorted(folder.glob(pattern))[:1]:
            if path.is_file() and word in read_bytes(path)[: 1 << 16]:
                found[path] = "RealityCapture, which exports cameras as CSV"
    notes = []
    if found:
        names = {path: path.relative_to(root).as_posix() for path in found}
        which = listed(f"{names[path]} (of {whose})" for path, whose in found.items())
        inner = any("/" in name for name in names.values())
        move = " (what lies in other folders may be moved up to the capture's own)" if inner else ""
        notes.append(f"Not read, though it may hold cameras: {which}; they are found from the photos{move}.")
    others = going_with([path for path in there if path not in found], photos)
    if others:
        which = listed(path.relative_to(root).as_posix() for path in others)
        notes.append(
            f"Not read, though it goes with the photos by their names: {which}; if it holds cameras, export them in a "
            "form that is read (transforms.json, COLMAP, Metashape's XML, RealityCapture's CSV)."
        )
    return notes


def _whose(path: Path) -> str | None:
    """Whose cameras a file may hold that is not read where it lies."""
    name = path.name.casefold()
    if name == "images.bin" and path.with_name("cameras.bin").is_file():
        return None  # one of the two is enough to say
    if name == "cameras.txt" and not path.with_name("images" + path.suffix).is_file():
        return None  # anybody's
    for pattern, whose in NOT_READ.items():
        if fnmatch(name, pattern):
            return whose
    if name in CONTAIN and path.is_file() and CONTAIN[name][0] in read_bytes(path):
        return CONTAIN[name][1]
    if metashape.is_metashape(path):
        return "Metashape"
    return "RealityCapture" if reality.is_reality(path) else None


def _below(root: Path) -> Iterator[Path]:
    """The files of a capture and its folders; runs that lie in it are left out."""
    for base, folders, files in os.walk(root):
        here = Path(base)
        deep = len(here.relative_to(root).parts) >= DEEPEST
        run = here != root and "config.json" in files
        folders[:] = [] if deep or run else sorted(name for name in folders if not name.startswith("."))
        if not run:
            yield from (here / name for name in sorted(files))
