"""What crosses the walls of this room: `Capture`, a checked folder, and `TrainingInput`, what training starts from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.photos.records import Photo


@dataclass(frozen=True)
class Capture:
    """A folder of photos, checked."""

    root: Path
    photos: tuple[Photo, ...]  # those that can be read, sorted by name
    cameras: Cameras | None = None  # given with the capture (transforms.json, COLMAP); None: SfM has to find them
    points: SparsePoints | None = None  # given with a COLMAP model
    found: tuple[str, ...] = ()  # names of all the photos of the folder, those included that were left out
    notes: tuple[str, ...] = field(default=())  # sentences for the user: what was left out or assumed
    unplaced: tuple[Photo, ...] = ()  # of the folder, that the file of cameras does not name


@dataclass(frozen=True)
class TrainingInput:
    """What training starts from: V photos with cameras, at the training width."""

    photos: tuple[Photo, ...]  # V
    cameras: Cameras  # V, full size
    held_out: Cameras | None  # photos that are not trained on
    points: SparsePoints  # observations index the V photos
    width: int
