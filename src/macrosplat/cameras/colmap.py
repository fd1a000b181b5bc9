"""COLMAP models: read into `Cameras` and `SparsePoints`, and written back.

COLMAP's cameras have our axes (x right, y down, z forward) and its pixels our origin (centres at +0.5). Its lenses may
distort: the distortion goes to the photo, `Cameras` and the observations speak of the straightened one.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.photos.read import listed, same_shape
from macrosplat.photos.records import Distortion, Photo
from macrosplat.photos.resample import colmap_camera, pinhole_of, rescaled
from macrosplat.support.colmap import pycolmap
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import whole_folder

PINHOLES = ("SIMPLE_PINHOLE", "PINHOLE")


def find_model(root: Path) -> Path | None:
    """`root/sparse/0` or `root/sparse`, whichever holds a model; None if neither does."""
    for folder in (root / "sparse" / "0", root / "sparse"):
        if any((folder / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt")):
            return folder
    return None


def read_colmap(
    folder: Path, photos: Sequence[Photo]
) -> tuple[tuple[Photo, ...], Cameras, SparsePoints, tuple[str, ...]]:
    """The photos that the model knows, with their distortion; their cameras, in that order; its points; notes.

    Intrinsics and observations are brought to the photos' size if these are resized copies.

    Raises:
        MacrosplatError: not a model, a model of other photos, or a camera that is no lens's (panorama).
    """
    model = load_model(folder)
    images = _match([image for image in model.images.values() if image.has_pose], photos)
    if not images:
        names = listed(sorted(image.name for image in model.images.values()), 3) or "none"
        raise MacrosplatError(
            f"The COLMAP model {folder} belongs to other photos (it knows {names}; the photos are "
            f"{listed([p.name for p in photos], 3)}): remove it to use SfM, or bring its photos."
        )
    kept: list[Photo] = []
    intrinsics: list[NDArray] = []
    resized = False
    for photo in (p for p in photos if p.name in images):
        camera = images[photo.name].camera
        if not same_shape((camera.width, camera.height), (photo.width, photo.height)):
            raise MacrosplatError(
                f"The COLMAP model {folder} is of other photos: {photo.name} is {photo.width} x {photo.height} px "
                f"(upright), the model says {camera.width} x {camera.height}; remove it to use SfM."
            )
        resized |= (camera.width, camera.height) != (photo.width, photo.height)
        distortion, k = _lens(folder, camera, photo)
        kept.append(replace(photo, distortion=distortion))
        intrinsics.append(k)
    cameras = Cameras(
        names=tuple(photo.name for photo in kept),
        views=np.array([np.vstack([images[p.name].cam_from_world().matrix(), [0, 0, 0, 1]]) for p in kept]),
        intrinsics=np.array(intrinsics),
        sizes=np.array([(photo.width, photo.height) for photo in kept], dtype=np.int64),
        source="colmap",
    )
    notes = []
    unknown = [photo.name for photo in photos if photo.name not in images]
    if unknown:
        notes.append(f"Left out because the COLMAP model has no camera for them: {listed(unknown)}.")
    absent = model.num_reg_images() - len(kept)
    if absent > 0:
        notes.append(f"The COLMAP model has cameras of {absent} more photos, which are not in the folder.")
    if resized:
        notes.append("The photos have another size than the COLMAP model's; its intrinsics were rescaled to them.")
    return tuple(kept), cameras, _points(model, images, kept, cameras), tuple(notes)


def load_model(folder: Path) -> pycolmap.Reconstruction:
    """The model as pycolmap reads it, binary or text; a missing list of points means none."""
    with contextlib.ExitStack() as stack:
        source = folder
        if not any((folder / f"points3D{suffix}").is_file() for suffix in (".bin", ".txt")):
            source = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="macrosplat-")))
            for file in folder.glob("*.*"):
                if file.suffix in (".bin", ".txt"):
                    shutil.copy(file, source)
            binary = (folder / "cameras.bin").is_file()
            (source / f"points3D{'.bin' if binary else '.txt'}").write_bytes(bytes(8) if binary else b"")
        try:
            return pycolmap.Reconstruction(str(source))
        except (ValueError, RuntimeError, IndexError, MemoryError, OSError) as error:
            raise MacrosplatError(
                f"{folder} cannot be read as a COLMAP model; export it again, or remove it to use SfM."
            ) from error


def write_colmap(folder: Path, cameras: Cameras, points: SparsePoints | None = None) -> None:
    """Write a binary COLMAP model of pinhole cameras; the folder appears, or is replaced, whole or not at all.

    Raises:
        MacrosplatError: the disk is full or the folder cannot be written.
    """
    model = to_colmap(cameras, points)
    with whole_folder(folder) as part:
        try:
            model.write_binary(str(part))
        except (RuntimeError, ValueError) as error:  # pycolmap's own, which say nothing of the disk
            raise MacrosplatError(
                f"{folder} could not be written: the disk is full, or the folder cannot be written; free some space "
                "or choose another --out."
            ) from error


def to_colmap(cameras: Cameras, points: SparsePoints | None = None) -> pycolmap.Reconstruction:
    """`cameras` and `points` as pycolmap's record; image n + 1 is photo n, point p + 1 is point p."""
    model = pycolmap.Reconstruction()
    camera_ids: dict[tuple[float, ...], int] = {}
    # Observations sorted by photo: those of photo n are rows start[n]:start[n + 1], and its 2D points in that order.
    photo = np.empty(0, np.int64) if points is None else points.photo
    order = np.argsort(photo, kind="stable")
    start = np.searchsorted(photo[order], np.arange(len(cameras) + 1))
    for n, name in enumerate(cameras.names):
        key = (*cameras.intrinsics[n].tolist(), *cameras.sizes[n].tolist())
        if key not in camera_ids:
            camera_ids[key] = len(camera_ids) + 1
            width, height = (int(s) for s in cameras.sizes[n])
            model.add_camera_with_trivial_rig(
                pycolmap.Camera(
                    model="PINHOLE",
                    width=width,
                    height=height,
                    params=cameras.intrinsics[n].tolist(),
                    camera_id=camera_ids[key],
                )
            )
        px = np.empty((0, 2)) if points is None else points.px[order[start[n] : start[n + 1]]]
        image = pycolmap.Image(name=name, keypoints=px, camera_id=camera_ids[key], image_id=n + 1)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.ascontiguousarray(cameras.views[n, :3])))
    if points is not None:
        _add_points(model, points, order, start)
    return model


def _add_points(model: pycolmap.Reconstruction, points: SparsePoints, order: NDArray, start: NDArray) -> None:
    tracks: list[list[Any]] = [[] for _ in range(len(points))]
    for row, o in enumerate(order.tolist()):
        n = int(points.photo[o])
        tracks[points.point[o]].append(pycolmap.TrackElement(n + 1, row - int(start[n])))
    for xyz, rgb, track in zip(points.xyz, points.rgb, tracks, strict=True):
        model.add_point3D(xyz, pycolmap.Track(elements=track), rgb)
    model.update_point_3d_errors()


def _match(images: Sequence[Any], photos: Sequence[Photo]) -> dict[str, Any]:
    """Photo name to the model's image: by the same name, else but for upper and lower case, folders and suffix.

    Models are often made in other folders and from other formats (01.JPG developed anew as 01.png); a looser likeness
    counts only where it is unambiguous on both sides.
    """
    likenesses = (
        lambda name: name,
        lambda name: name.casefold(),
        lambda name: PurePosixPath(name.casefold()).name,
        lambda name: PurePosixPath(name.casefold()).stem,
    )
    for like in likenesses:
        by_name: dict[str, list[Any]] = {}
        for image in images:
            by_name.setdefault(like(image.name.replace("\\", "/")), []).append(image)
        keys = [like(photo.name) for photo in photos]
        matched = {
            photo.name: by_name[key][0]
            for photo, key in zip(photos, keys, strict=True)
            if len(by_name.get(key, [])) == 1 and keys.count(key) == 1
        }
        if matched:
            return matched
    return {}


def _lens(folder: Path, camera: Any, photo: Photo) -> tuple[Distortion | None, NDArray[np.float64]]:
    """The photo's distortion (None if it is a pinhole's already), and the pinhole [4] that it is brought to."""
    model = camera.model.name
    if model == "EQUIRECTANGULAR":
        raise MacrosplatError(f"The COLMAP model {folder} has a panorama camera; only cameras with a lens can be used.")
    as_made = Distortion(model, tuple(float(p) for p in camera.params), camera.width, camera.height)
    if model in PINHOLES:
        k = camera.calibration_matrix()
        scale = np.array([photo.width / camera.width, photo.height / camera.height])
        return None, np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]]) * scale[[0, 1, 0, 1]]
    distortion = rescaled(as_made, photo.width, photo.height)
    return distortion, pinhole_of(distortion)


def _points(
    model: pycolmap.Reconstruction, images: dict[str, Any], photos: Sequence[Photo], cameras: Cameras
) -> SparsePoints:
    ids = sorted(model.points3D)
    row_of = {id: row for row, id in enumerate(ids)}
    found = [model.points3D[id] for id in ids]
    point, index, px = [], [], []
    for n, photo in enumerate(photos):
        image = images[photo.name]
        seen = [(row_of[p.point3D_id], *p.xy) for p in image.get_observation_points2D()]
        if not seen:
            continue
        rows = np.array(seen, dtype=np.float64)
        point.append(rows[:, 0].astype(np.int64))
        index.append(np.full(len(rows), n, dtype=np.int64))
        px.append(_straight(rows[:, 1:], image.camera, photo, cameras.intrinsics[n]))
    return SparsePoints(
        xyz=np.array([p.xyz for p in found], dtype=np.float64).reshape(-1, 3),
        rgb=np.array([p.color for p in found], dtype=np.uint8).reshape(-1, 3),
        point=np.concatenate(point) if point else np.empty(0, np.int64),
        photo=np.concatenate(index) if index else np.empty(0, np.int64),
        px=np.concatenate(px) if px else np.empty((0, 2)),
    )


def _straight(px: NDArray, camera: Any, photo: Photo, pinhole: NDArray) -> NDArray[np.float64]:
    """[O, 2] px of the model's photo to px of the straightened photo, in its own size."""
    px = px * (photo.width / camera.width, photo.height / camera.height)
    if photo.distortion is None:
        return px
    rays = colmap_camera(photo.distortion).cam_from_img(np.ascontiguousarray(px))
    return rays * pinhole[:2] + pinhole[2:]
