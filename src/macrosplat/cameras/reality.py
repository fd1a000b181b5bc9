"""RealityCapture's (RealityScan's) cameras, exported as CSV "Internal/External camera parameters".

A row is name, x, y, alt, heading, pitch, roll, f, px, py, k1, k2, k3, k4, t1, t2. Angles in degrees: the
camera-to-world rotation with OpenGL's axes is Rz(-heading) Rx(pitch) Ry(roll), as the world's axes are east, north, up.
f, px, py are in mm of a 36 mm wide sensor, measured along the photo's longer side; the principal point from the middle.
k1 to k3 and t1, t2 are Brown's, as OpenCV's k and p.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.assemble import Entry, lens_of, nobody, place, remarks, rigid_inverse
from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.photos.names import plain
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError

NEEDED = ("x", "y", "alt", "heading", "pitch", "roll", "f")
OTHERS = ("px", "py", "k1", "k2", "k3", "k4", "t1", "t2")  # 0, where they are missing
SENSOR_MM = 36.0
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
LONGEST = 1 << 26  # bytes; a row takes 300
LEAST_PX = 0.5  # what k4, which COLMAP's models lack, may move a corner by


def find_reality(root: Path) -> list[Path]:
    """The CSV files of the folder whose first line is RealityCapture's."""
    return [path for path in sorted(root.iterdir()) if is_reality(path)]


def is_reality(path: Path) -> bool:
    return path.suffix.lower() == ".csv" and path.is_file() and _columns(path) is not None


def read_reality(
    path: Path, photos: Sequence[Photo], dropped: Sequence[str] = ()
) -> tuple[tuple[Photo, ...], Cameras, tuple[str, ...]]:
    """The photos that the file knows, their cameras, and notes.

    Raises:
        MacrosplatError: it is damaged, or of other photos.
    """
    columns = _columns(path)
    if columns is None:
        raise MacrosplatError(
            f"{path} is not RealityCapture's CSV of camera parameters; export it again, or remove it."
        )
    try:
        if path.stat().st_size > LONGEST:
            raise ValueError("too long")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    except (OSError, ValueError, csv.Error) as error:
        raise MacrosplatError(f"{path} cannot be read ({error}); export it again, or remove it.") from error
    entries = [_entry(path, n, dict(zip(columns, row, strict=False))) for n, row in enumerate(rows, 2)]
    placed = place(photos, entries, "reality-capture")
    if not placed.photos:
        raise nobody(str(path), entries, photos)
    return placed.photos, placed.cameras, tuple(remarks(placed, path.name, dropped))


def _columns(path: Path) -> list[str] | None:
    """The names of the columns, if it is such a file."""
    try:
        with path.open("rb") as file:
            head = file.readline(4096).decode("utf-8-sig").strip().lower()
            if re.fullmatch(r"#\s*cameras\s+[0-9]+", head):  # written on demand, before the names of the columns
                head = file.readline(4096).decode().strip().lower()
    except (OSError, ValueError):
        return None
    names = [name.strip() for name in head.lstrip("#").split(",")]
    return names if names[0] == "name" and set(NEEDED) <= set(names) else None


def _entry(path: Path, line: int, row: dict[str, str]) -> Entry:
    name = row.get("name", "").strip()
    where = f"{path}, line {line} ({plain(name)})"
    values = {key: _number(where, key, row.get(key)) for key in (*NEEDED, *OTHERS)}
    if not name or values["f"] <= 0:
        raise MacrosplatError(f"{where} has no photo or no focal length; export it again.")
    pose = np.eye(4)
    pose[:3, :3] = _rotation(values["heading"], values["pitch"], values["roll"])
    pose[:3, 3] = values["x"], values["y"], values["alt"]

    def lens(size: tuple[int, int]) -> Distortion:
        scale = max(size) / SENSOR_MM
        focal, radius = values["f"] * scale, math.hypot(*size) / 2 / (values["f"] * scale)
        if focal * abs(values["k4"]) * radius**9 > LEAST_PX:
            raise MacrosplatError(
                f"{where}: k4 is not read, and moves the corners by more than {LEAST_PX} px; align with another lens "
                "model, or export undistorted photos."
            )
        centre = [size[0] / 2 + values["px"] * scale, size[1] / 2 + values["py"] * scale]
        brown = {key: values[key] for key in ("k1", "k2", "k3")}
        return lens_of((focal, focal), centre, {**brown, "p1": values["t1"], "p2": values["t2"]}, size)

    return Entry(where, name, rigid_inverse(pose @ OPENGL), lens)


def _rotation(heading: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """[3, 3] camera to world, OpenGL's axes."""
    (sz, cz), (sx, cx), (sy, cy) = ((math.sin(a), math.cos(a)) for a in map(math.radians, (-heading, pitch, roll)))
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return about_z @ about_x @ about_y


def _number(where: str, key: str, text: str | None) -> float:
    if key in OTHERS and not (text or "").strip():
        return 0.0
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise MacrosplatError(f"{where}: {key} is {(text or '')[:40]!r}, not a finite number; export it again.")
    return value
