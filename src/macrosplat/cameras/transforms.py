"""Cameras in nerfstudio's transforms.json: read for a capture, read for rendering, written.

The file holds camera-to-world matrices with OpenGL axes (x right, y up, z backward), intrinsics in px of `w` x `h` for
the whole file or per frame, and OpenCV distortion. `Cameras` holds world-to-camera matrices with OpenCV axes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.undistort import pinhole_of, rescaled
from macrosplat.photos.read import listed, same_shape
from macrosplat.photos.records import Distortion, Photo
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_json

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenCV camera axes to OpenGL's, and back
# How far a rotation's columns may be from orthonormal: files with four digits pass, a scale of 0.1 % does not.
RIGID_TOLERANCE = 1e-3
INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
DISTORTION = ("k1", "k2", "p1", "p2", "k3", "k4")
MOVED_PX = 1.0  # a photo may differ this much from the file's size before it is worth telling


def read_transforms(
    path: Path, photos: Sequence[Photo], unreadable: Collection[str] = (), folder: Path | None = None
) -> tuple[tuple[Photo, ...], Cameras, tuple[str, ...]]:
    """The photos that the file names, with their distortion; their cameras, in the same order; notes for the user.

    Args:
        path: the file.
        photos: the readable photos of the capture.
        unreadable: names of damaged ones: a frame that names one is dropped (its damage has been told already).
        folder: the photo folder that `unreadable` is relative to.

    Raises:
        MacrosplatError: the file is not JSON, names a missing photo, or has NaN, a non-rigid matrix, no intrinsics.
    """
    data = _load(path)
    known = {photo.path.resolve(): photo for photo in photos}
    damaged = {((folder or path.parent) / name).resolve() for name in unreadable}
    found: dict[str, tuple[Photo, NDArray, NDArray]] = {}
    resized = False
    for n, frame in enumerate(data["frames"]):
        where, file_path = _named(path, n, frame)
        target = _on_disk(path, file_path, known, damaged)
        if target in damaged:
            continue
        if target not in known:
            raise MacrosplatError(
                f"{where} names a photo that is missing: {target}; put it there or remove the frame from the file."
            )
        photo = known[target]
        if photo.name in found:
            raise MacrosplatError(f"{where} is the second frame of this photo; remove one of them.")
        intrinsics, size, distortion = _intrinsics(where, {**data, **frame}, (photo.width, photo.height))
        if not same_shape(size, (photo.width, photo.height)):
            raise MacrosplatError(
                f"{where} is for {size[0]} x {size[1]} px, but the photo is {photo.width} x {photo.height} (upright): "
                "use the photos that the file was made from, or resized copies of the same shape."
            )
        resized |= max(abs(size[0] - photo.width), abs(size[1] - photo.height)) > MOVED_PX
        if distortion is not None:
            distortion = rescaled(distortion, photo.width, photo.height)
            intrinsics = pinhole_of(distortion)
        else:
            intrinsics = intrinsics * np.array([photo.width / size[0], photo.height / size[1]])[[0, 1, 0, 1]]
        found[photo.name] = replace(photo, distortion=distortion), _view(where, frame), intrinsics

    kept = [found[photo.name] for photo in photos if photo.name in found]
    notes = []
    unnamed = [photo.name for photo in photos if photo.name not in found]
    if unnamed:
        notes.append(f"Left out because {path.name} does not name them: {listed(unnamed)}.")
    if resized:
        notes.append(f"The photos have another size than {path.name} says; its intrinsics were rescaled to them.")
    cameras = Cameras(
        names=tuple(photo.name for photo, _, _ in kept),
        views=np.array([view for _, view, _ in kept]).reshape(-1, 4, 4),
        intrinsics=np.array([k for _, _, k in kept]).reshape(-1, 4),
        sizes=np.array([(photo.width, photo.height) for photo, _, _ in kept], dtype=np.int64).reshape(-1, 2),
        source="transforms",
    )
    return tuple(photo for photo, _, _ in kept), cameras, tuple(notes)


def read_cameras_file(path: Path) -> Cameras:
    """Cameras to render from: as `read_transforms`, but no photo needs to exist and the size stands in the file.

    Names are the `file_path`s as written; distortion is ignored, since what is rendered is a pinhole's.

    Raises:
        MacrosplatError: as `read_transforms`, or no `w` and `h`.
    """
    data = _load(path)
    names, views, intrinsics, sizes = [], [], [], []
    for n, frame in enumerate(data["frames"]):
        where, file_path = _named(path, n, frame)
        k, size, _ = _intrinsics(where, {**data, **frame}, None)
        names.append(str(PurePosixPath(file_path)))
        views.append(_view(where, frame))
        intrinsics.append(k)
        sizes.append(size)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise MacrosplatError(f"{path} has two frames named {twice}; give each its own file_path.")
    return Cameras(tuple(names), np.array(views), np.array(intrinsics), np.array(sizes, dtype=np.int64), "transforms")


def write_transforms(path: Path, cameras: Cameras, extra: dict[str, Any] | None = None, folder: str = "") -> None:
    """Write `cameras` so that `read_transforms`, nerfstudio and others read them back.

    Args:
        path: the file; it appears whole or not at all.
        cameras: what to write; intrinsics go to the top of the file if all are equal.
        extra: more entries for the top of the file (units, provenance).
        folder: where the photos lie, relative to the file.
    """
    frames: list[dict[str, Any]] = []
    for name, view in zip(cameras.names, cameras.views, strict=True):
        pose = _inverse(view) @ OPENGL
        frames.append({"file_path": str(PurePosixPath(folder) / name), "transform_matrix": pose.tolist()})
    rows = [
        dict(zip(INTRINSICS, [*map(float, k), *map(int, size)], strict=True))
        for k, size in zip(cameras.intrinsics, cameras.sizes, strict=True)
    ]
    shared = bool(rows) and all(row == rows[0] for row in rows)
    if not shared:
        frames = [{**frame, **row} for frame, row in zip(frames, rows, strict=True)]
    write_json(path, {"camera_model": "PINHOLE", **(rows[0] if shared else {}), **(extra or {}), "frames": frames})


def first_folder(path: Path) -> Path:
    """The folder of the first frame's photo."""
    frames = _load(path)["frames"]
    _, file_path = _named(path, 0, frames[0])
    return (path.parent / file_path).parent


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise MacrosplatError(f"{path} cannot be read ({error.strerror}); check the name.") from error
    except (ValueError, RecursionError) as error:
        reason = str(error).split("\n")[0]
        raise MacrosplatError(f"{path} is not JSON ({reason}); export it again, or remove it to use SfM.") from error
    if not isinstance(data, dict) or not isinstance(data.get("frames"), list) or not data["frames"]:
        raise MacrosplatError(f"{path} has no list of frames; it should be a transforms.json as nerfstudio writes it.")
    return data


def _named(path: Path, n: int, frame: Any) -> tuple[str, str]:
    """How to call a frame in a message, and its file_path."""
    file_path = frame.get("file_path") if isinstance(frame, dict) else None
    if not isinstance(file_path, str) or not file_path:
        raise MacrosplatError(f"{path}, frame {n}: there is no file_path; name the photo that the camera took.")
    file_path = file_path.replace("\\", "/")
    return f"{path}, frame {n} ({file_path})", file_path


def _on_disk(path: Path, file_path: str, known: Collection[Path], damaged: Collection[Path]) -> Path:
    """The photo meant: as written, or with the suffix that a photo of that name has."""
    target = (path.parent / file_path).resolve()
    if target in known or target in damaged:
        return target
    for candidate in (*known, *damaged):
        if candidate.with_suffix("") == target:
            return candidate
    return target


def _intrinsics(
    where: str, values: dict[str, Any], photo: tuple[int, int] | None
) -> tuple[NDArray[np.float64], tuple[int, int], Distortion | None]:
    """fx, fy, cx, cy in px of the size that stands in the file (else of the photo), that size, the distortion."""

    def number(key: str) -> float | None:
        value = values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise MacrosplatError(f"{where}: {key} is {value!r}, not a finite number; correct it or export again.")
        return float(value)

    w, h = number("w"), number("h")
    if w is None or h is None:
        if photo is None:
            raise MacrosplatError(f"{where}: there is no w and h, the size to render in px; add them to the file.")
        w, h = photo
    w, h = round(w), round(h)
    fx = number("fl_x")
    angle = number("camera_angle_x")
    if fx is None and angle is not None and 0 < angle < math.pi:
        fx = w / 2 / math.tan(angle / 2)
    if fx is None:
        raise MacrosplatError(f"{where}: there are no intrinsics; add fl_x, the focal length in px, or camera_angle_x.")
    fy, cx, cy = number("fl_y"), number("cx"), number("cy")
    k = np.array([fx, fx if fy is None else fy, w / 2 if cx is None else cx, h / 2 if cy is None else cy])
    if min(k[0], k[1], w, h) <= 0:
        raise MacrosplatError(f"{where}: fl_x, fl_y, w and h must be above 0; correct them or export again.")
    return k, (w, h), _distortion(where, values.get("camera_model", "OPENCV"), k, (w, h), number)


def _distortion(where: str, model: Any, k: NDArray, size: tuple[int, int], number: Any) -> Distortion | None:
    k1, k2, p1, p2, k3, k4 = (number(key) or 0.0 for key in DISTORTION)
    if not any((k1, k2, p1, p2, k3, k4)):
        if isinstance(model, str) and "FISHEYE" in model:
            return Distortion("OPENCV_FISHEYE", (*map(float, k), 0.0, 0.0, 0.0, 0.0), *size)
        return None
    if model == "OPENCV_FISHEYE":
        return Distortion("OPENCV_FISHEYE", (*map(float, k), k1, k2, k3, k4), *size)
    if model not in ("OPENCV", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_PINHOLE", "FULL_OPENCV") or k4:
        raise MacrosplatError(
            f"{where}: distortion of camera_model {model!r} with k4 = {k4:g} is not known; "
            "use OPENCV or OPENCV_FISHEYE, or undistort the photos first."
        )
    if k3:
        return Distortion("FULL_OPENCV", (*map(float, k), k1, k2, p1, p2, k3, 0.0, 0.0, 0.0), *size)
    return Distortion("OPENCV", (*map(float, k), k1, k2, p1, p2), *size)


def _view(where: str, frame: dict[str, Any]) -> NDArray[np.float64]:
    """[4, 4] world to camera, OpenCV axes."""
    try:
        pose = np.array(frame.get("transform_matrix"), dtype=np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape not in ((4, 4), (3, 4)):
        raise MacrosplatError(f"{where}: transform_matrix is not a matrix of 4 x 4 numbers; export the file again.")
    if not np.isfinite(pose).all():
        raise MacrosplatError(f"{where}: transform_matrix holds NaN or infinity; remove the frame or export again.")
    rotation = pose[:3, :3]
    rigid = np.abs(rotation.T @ rotation - np.eye(3)).max() < RIGID_TOLERANCE and np.linalg.det(rotation) > 0
    if not rigid or (len(pose) == 4 and np.abs(pose[3] - (0, 0, 0, 1)).max() > RIGID_TOLERANCE):
        raise MacrosplatError(
            f"{where}: transform_matrix is not a rotation and a shift (it scales, shears or mirrors); "
            "export camera-to-world matrices without scale."
        )
    u, _, v = np.linalg.svd(rotation)  # the nearest true rotation: rounded digits must not shear the scene
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = u @ v, pose[:3, 3]
    return _inverse(whole @ OPENGL)


def _inverse(rigid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a [4, 4] rotation and shift, without the rounding of a general inverse."""
    inverse = np.eye(4)
    inverse[:3, :3] = rigid[:3, :3].T
    inverse[:3, 3] = -rigid[:3, :3].T @ rigid[:3, 3]
    return inverse
