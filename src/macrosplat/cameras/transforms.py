"""Cameras in nerfstudio's transforms.json, and what Blender and instant-ngp write alike: read for a capture, read for
rendering, written.

The file holds camera-to-world matrices with OpenGL axes (x right, y up, z backward), intrinsics in px of `w` x `h` for
the whole file or per frame, and OpenCV distortion. `Cameras` holds world-to-camera matrices with OpenCV axes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.assemble import RIGID_TOLERANCE, Entry, is_rotation, lens_of, nearest_rotation, place, remarks
from macrosplat.cameras.assemble import rigid_inverse as _inverse
from macrosplat.cameras.distort import ENTRIES, keeps_frame, opencv_entries
from macrosplat.cameras.entries import (
    CHANGES_RAYS,
    INSTEAD,
    INTRINSICS,
    KNOWN,
    UNUSED,
    Frame,
    Lens,
    refuse_other_meaning,
)
from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.cameras.undistort import pinhole_of
from macrosplat.photos.names import forward, listed, matched, plain
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_json
from macrosplat.support.json import checked, load_json

NAMES = ("transforms.json", "transforms_train.json")  # the first one that a capture has counts
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenCV camera axes to OpenGL's, and back
MOST_PX = 1e9  # of a size, a focal length or a principal point: more is no number of a camera
BROWN = ("OPENCV", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_PINHOLE", "PERSPECTIVE")
FISHEYES = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
UPRIGHT = {"exif_orientation": "applied"}  # in files written here


@dataclass(frozen=True)
class _Read:
    """A frame, checked as far as no photo is needed for it."""

    where: str
    name: str  # relative to the file's folder, forward slashes
    pose: NDArray[np.float64]  # [4, 4] world to camera, OpenCV axes
    lens: Lens
    mask: str | None

    @property
    def size(self) -> tuple[int, int] | None:
        if self.lens.w is None or self.lens.h is None:
            return None
        return round(self.lens.w), round(self.lens.h)


@dataclass(frozen=True)
class Given:
    """What a file says of a capture's photos."""

    photos: tuple[Photo, ...]  # those that it names, in order
    cameras: Cameras
    masks: dict[str, Path]  # photo name to the file that `mask_path` names; it may be missing
    notes: tuple[str, ...]


def find_transforms(root: Path) -> list[Path]:
    """The files in `root`, the one that counts first; upper and lower case alike."""
    there = sorted(root.iterdir(), key=lambda path: (path.name not in NAMES, path.name))
    return [path for name in NAMES for path in there if path.name.casefold() == name]


def named_files(path: Path) -> list[Path]:
    """Where the file's photos would lie, suffix or not; none of them need exist.

    Raises:
        MacrosplatError: as `read_transforms`.
    """
    return [Path(os.path.normpath(path.parent.absolute() / frame.name)) for frame in _frames(path)]


def read_transforms(path: Path, photos: Sequence[Photo], dropped: Collection[Path] = ()) -> Given:
    """The photos that the file names, and their cameras, in the same order.

    Args:
        path: the file.
        photos: the readable photos of the capture.
        dropped: damaged and empty ones: a frame that names one is passed over (it has been told of already).

    Raises:
        MacrosplatError: the file is not JSON, names a missing photo, or has NaN, a non-rigid matrix, no intrinsics.
    """
    frames = _frames(path)
    paths = [*(photo.path for photo in photos), *dropped]
    there = [os.path.relpath(one.absolute(), path.parent.absolute()) for one in paths]
    pairs = matched([frame.name for frame in frames], there)
    frames = [frame for n, frame in enumerate(frames) if pairs.get(n, 0) < len(photos)]
    entries = [
        Entry(f.where, f.name, f.pose, lambda size, f=f: _lens(f, size), f.size, f.lens.exif_orientation == "applied")
        for f in frames
    ]
    placed = place(photos, entries, "transforms", there[: len(photos)], "is the second frame of this photo; remove it.")
    if placed.unplaced:
        entry = placed.unplaced[0]
        raise MacrosplatError(f"{entry.where} {_why_not(path.parent, entry.name, len(placed.unplaced) - 1)}")
    by_where = {frame.where: frame for frame in frames}
    masks = {}
    for photo, entry in zip(placed.photos, placed.entries, strict=True):
        mask = by_where[entry.where].mask
        if mask is not None:
            masks[photo.name] = path.parent / forward(mask)
    return Given(placed.photos, placed.cameras, masks, (*remarks(placed, path.name), *_unused(path)))


def read_cameras_file(path: Path, as_taken: bool = False) -> Cameras:
    """Cameras to render from: as `read_transforms`, but no photo needs to exist and the size stands in the file.

    Names are the `file_path`s as written.

    Args:
        as_taken: whether the file's distortion is that of the photos it names, and pinholes are those of the photos
            undistorted; else it is ignored, since what is rendered is a pinhole's.

    Raises:
        MacrosplatError: as `read_transforms`, no `w` and `h`, or a camera that is no pinhole.
    """
    names, views, intrinsics, sizes, lenses = [], [], [], [], []
    for frame in _frames(path):
        if frame.lens.is_fisheye or frame.lens.camera_model not in (*BROWN, "FULL_OPENCV"):
            model = "a fisheye" if frame.lens.is_fisheye else f"camera_model {plain(frame.lens.camera_model, 40)}"
            raise MacrosplatError(f"{frame.where}: {model} is not rendered, only pinholes are; write PINHOLE.")
        if frame.size is None:
            raise MacrosplatError(f"{frame.where}: there is no w and h, the size to render in px; add them.")
        names.append(str(PurePosixPath(frame.name)))
        views.append(frame.pose)
        lens = _lens(frame, frame.size) if as_taken else None
        lens = lens if keeps_frame(lens) else None
        lenses.append(lens)
        intrinsics.append(_pinhole(frame, frame.size) if lens is None else pinhole_of(lens))
        sizes.append(frame.size)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise MacrosplatError(f"{path} has two frames named {twice}; give each its own file_path.")
    arrays = np.array(views), np.array(intrinsics), np.array(sizes, dtype=np.int64)
    return Cameras(tuple(names), *arrays, "transforms", tuple(lenses))


def write_transforms(path: Path, cameras: Cameras, extra: dict[str, Any] | None = None, folder: str = "") -> None:
    """Write `cameras` so that `read_transforms`, nerfstudio and others read them back.

    They are of the photos as taken, with their distortion; where a file cannot name it (`keeps_frame`), and where
    `cameras` has none, pinholes of the undistorted photos.

    Args:
        path: the file; it is written atomically.
        cameras: what to write; intrinsics go to the top of the file if all are equal.
        extra: more entries for the top of the file (units, provenance).
        folder: where the photos lie, relative to the file.
    """
    frames: list[dict[str, Any]] = []
    for name, view in zip(cameras.names, cameras.views, strict=True):
        pose = _inverse(view) @ OPENGL
        frames.append({"file_path": str(PurePosixPath(folder) / name), "transform_matrix": pose.tolist()})
    rows: list[dict[str, Any]] = [
        opencv_entries(lens, int(w), int(h))
        if keeps_frame(lens)
        else dict(zip(ENTRIES, ["PINHOLE", *map(float, k), int(w), int(h)], strict=True))
        for k, (w, h), lens in zip(cameras.intrinsics, cameras.sizes, cameras.distortion, strict=True)
    ]
    shared = bool(rows) and all(row == rows[0] for row in rows)
    if not shared:
        frames = [{**frame, **row} for frame, row in zip(frames, rows, strict=True)]
    top = {**({} if not shared else rows[0]), **UPRIGHT, **(extra or {})}
    write_json(path, {**top, "frames": frames})


def _frames(path: Path) -> list[_Read]:
    """The file's frames, each checked.

    Raises:
        MacrosplatError: one sentence that names the file, the frame, and what is wrong.
    """
    data = load_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("frames"), list) or not data["frames"]:
        raise MacrosplatError(f"{path} has no list of frames; it should be a transforms.json as nerfstudio writes it.")
    top = {
        key: value for key, value in data.items() if key != "frames" and (value is not None or key == "camera_model")
    }
    checked(top, Lens, str(path))
    return [_frame(path, n, frame, top) for n, frame in enumerate(data["frames"])]


def _frame(path: Path, n: int, value: Any, top: dict[str, Any]) -> _Read:
    where = f"{path}, frame {n}"
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("file_path"), str)
        or not value["file_path"].strip("./\\ ")
    ):
        raise MacrosplatError(f"{where}: there is no file_path; name the photo that the camera took.")
    frame = checked(value, Frame, where)
    where = f"{where} ({plain(frame.file_path)})"
    merged = {**top, **value}
    refuse_other_meaning(where, merged)
    lens = checked({key: one for key, one in merged.items() if one is not None or key == "camera_model"}, Lens, where)
    lens.camera_model = lens.camera_model.upper()
    for key in lens.__struct_fields__:
        number = getattr(lens, key)
        if isinstance(number, float) and not math.isfinite(number):
            raise MacrosplatError(f"{where}: {key} is {number!r}, not a finite number; correct it or export again.")
        if key in INTRINSICS and isinstance(number, float) and abs(number) > MOST_PX:
            raise MacrosplatError(f"{where}: {key} is {number:g} px, which no camera has; correct it or export again.")
    name = os.path.normpath(forward(frame.file_path))
    if os.path.isabs(name):
        name = os.path.relpath(name, path.parent.absolute())
    return _Read(where, name, _view(where, frame.transform_matrix), lens, frame.mask_path)


def _view(where: str, matrix: list[list[float]]) -> NDArray[np.float64]:
    """[4, 4] world to camera, OpenCV axes."""
    if [len(row) for row in matrix] not in ([4] * 4, [4] * 3):
        raise MacrosplatError(f"{where}: transform_matrix is not a matrix of 4 x 4 numbers; export the file again.")
    pose = np.array(matrix, np.float64)
    if not np.isfinite(pose).all():
        raise MacrosplatError(f"{where}: transform_matrix holds NaN or infinity; remove the frame or export again.")
    with np.errstate(over="ignore", invalid="ignore"):
        rigid = is_rotation(pose[:3, :3])
    if not rigid or (len(pose) == 4 and np.abs(pose[3] - (0, 0, 0, 1)).max() > RIGID_TOLERANCE):
        raise MacrosplatError(
            f"{where}: transform_matrix is not a rotation and a shift (it scales, shears or mirrors); "
            "export camera-to-world matrices without scale."
        )
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = nearest_rotation(pose[:3, :3]), pose[:3, 3]
    return _inverse(whole @ OPENGL)


def _pinhole(frame: _Read, size: tuple[int, int]) -> NDArray[np.float64]:
    """fx, fy, cx, cy in px of `size`."""
    lens, (w, h), where = frame.lens, size, frame.where
    fx, fy = lens.fl_x, lens.fl_y
    angles = lens.camera_angle_x, lens.camera_angle_y
    from_x, from_y = (
        side / 2 / math.tan(angle / 2) if angle is not None and 0 < angle < math.pi else None
        for side, angle in zip((w, h), angles, strict=True)
    )
    if fx is None:
        fx = from_x if from_x is not None else from_y
        fy = fy if fy is not None else from_y
    if fx is None and (wrong := [angle for angle in angles if angle is not None]):
        raise MacrosplatError(f"{where}: a camera_angle of {wrong[0]:g} is none; angles are in radians, 0 to pi.")
    if fx is None:
        raise MacrosplatError(f"{where}: there are no intrinsics; add fl_x, the focal length in px, or camera_angle_x.")
    k = np.array(
        [
            fx,
            fx if fy is None else fy,
            *(s / 2 if c is None else c for s, c in zip(size, (lens.cx, lens.cy), strict=True)),
        ]
    )
    if min(k[0], k[1], w, h) <= 0:
        raise MacrosplatError(f"{where}: fl_x, fl_y, w and h must be above 0; correct them or export again.")
    return k


def _lens(frame: _Read, size: tuple[int, int]) -> Distortion:
    k, lens, where = _pinhole(frame, size), frame.lens, frame.where
    more = {key: getattr(lens, key) or 0.0 for key in ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")}
    if lens.camera_model in FISHEYES or lens.is_fisheye:
        return Distortion("OPENCV_FISHEYE", (*k.tolist(), *(more[key] for key in ("k1", "k2", "k3", "k4"))), *size)
    if lens.camera_model != "FULL_OPENCV" and (
        lens.camera_model not in BROWN or any(more[k] for k in ("k4", "k5", "k6"))
    ):
        raise MacrosplatError(
            f"{where}: distortion of camera_model {lens.camera_model!r} with k4 = {more['k4']:g} is not known; "
            "use OPENCV or OPENCV_FISHEYE, or undistort the photos first."
        )
    return lens_of(k[:2].tolist(), k[2:].tolist(), more, size)


def _why_not(folder: Path, name: str, others: int) -> str:
    """What to say of a photo that a frame names and that was not found, as those of `others` were not."""
    too = f", as {others} more do{'es' if others == 1 else ''}," if others else ""
    path = os.path.normpath(folder.absolute() / name)
    try:
        if os.path.isfile(path):
            where = f"of a kind that is not read, or in a folder that is not looked into: {path}"
            return f"names a photo{too} {where}; move or convert it."
    except ValueError:  # a name that no disk takes
        pass
    what = "it there or remove the frame" if not others else "them there or remove the frames"
    return f"names a photo{too} that is missing: {plain(path, 300)}; put {what} from the file."


def _unused(path: Path) -> list[str]:
    """What else the file names, and the files beside it that go with it."""
    data = load_json(path)
    found = [what for key, what in UNUSED.items() if key in data or any(key in frame for frame in data["frames"])]
    notes = [f"{path.name} names {listed(found)}, which are not read."] if found else []
    others = sorted({key for entries in (data, *data["frames"]) for key in entries} - KNOWN - {*INSTEAD, *CHANGES_RAYS})
    if others:
        notes.append(f"{path.name} has entries that are not read: {listed(plain(key, 40) for key in others)}.")
    beside = [one.name for one in sorted(path.parent.glob("transforms_*.json")) if one != path and one.is_file()]
    if beside and path.name == "transforms_train.json":
        notes.append(f"Only the photos of {path.name} are taken; {listed(beside)} were left alone.")
    return notes
