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
from macrosplat.photos.names import listed
from macrosplat.photos.records import Photo
from macrosplat.support.reading import read_bytes

# Files of cameras that are not read, or not where they lie: by pattern, in lower case, and whose they are.
NOT_READ = {
    "transforms*.json": "nerfstudio or Blender",
    "cameras.bin": "COLMAP",
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
}
DEEPEST = 3  # folders below the capture that are looked into
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


def not_read(root: Path, folder: Path) -> list[str]:
    """A sentence on files of cameras in forms or places that are not read, where no other is there."""
    found = []
    for path in _below(root):
        whose = next((who for pattern, who in NOT_READ.items() if fnmatch(path.name.casefold(), pattern)), None)
        if whose is not None:
            found.append((path.relative_to(root).as_posix(), whose))
    for pattern, word in NOT_READ_BESIDE.items():
        for path in sorted(folder.glob(pattern))[:1]:
            if path.is_file() and word in read_bytes(path)[: 1 << 16]:
                found.append((path.name, "RealityCapture, which exports cameras as CSV"))
    if not found:
        return []
    which = listed(f"{name} (of {whose})" for name, whose in found)
    move = (
        " (what lies in other folders may be moved up to the capture's own)" if any("/" in n for n, _ in found) else ""
    )
    return [f"Not read, though it may hold cameras: {which}; they are found from the photos{move}."]


def _below(root: Path) -> Iterator[Path]:
    """The files of a capture and its folders; runs that lie in it are left out."""
    for base, folders, files in os.walk(root):
        here = Path(base)
        deep = len(here.relative_to(root).parts) >= DEEPEST
        run = here != root and "config.json" in files
        folders[:] = [] if deep or run else sorted(name for name in folders if not name.startswith("."))
        if not run:
            yield from (here / name for name in sorted(files))
