"""COLMAP models: read into `Cameras` and `SparsePoints`, and written back.

COLMAP's cameras have our axes (x right, y down, z forward) and its pixels our origin (centres at +0.5). Its lenses may
distort: `Cameras` keep the distortion, their pinholes and the observations speak of the undistorted photo.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.assemble import Entry, Placed, nobody, place, remarks
from macrosplat.cameras.colmap_files import refuse_damaged, refuse_unpaired
from macrosplat.cameras.orient import TURNS, fits, turned_px
from macrosplat.cameras.records import Cameras, Distortion, SparsePoints
from macrosplat.cameras.undistort import colmap_camera, rescaled
from macrosplat.photos.names import matched, plain
from macrosplat.photos.read import read_photo
from macrosplat.photos.records import Photo
from macrosplat.support.colmap import pycolmap
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import whole_folder

COLOUR_WIDTH = 320  # px at which points' colours are compared with a photo's
FEWEST_COLOURS, VOTERS = 10, 5  # points of a photo, photos
SURELY = 0.8  # of the other's difference of colour: what convinces that photos were upright, against the convention


def read_colmap(
    folder: Path, photos: Sequence[Photo], dropped: Collection[str] = (), upright: bool = False
) -> tuple[tuple[Photo, ...], Cameras, SparsePoints, tuple[str, ...]]:
    """The photos that the model knows; their cameras, in that order; its points, as the undistorted photos show them;
    notes for the user.

    Intrinsics and observations are brought to the photos' size if these are resized copies, and to the upright photo:
    COLMAP works on the pixels as stored. Where the model fits both, the colours of its points tell.

    Args:
        dropped: names of photos that are damaged or empty: a camera of theirs is passed over.
        upright: whether the model is known to be of upright photos, as those that runs keep are.

    Raises:
        MacrosplatError: not a model, a model of other photos, or a camera that is no lens's (panorama).
    """
    model = load_model(folder)
    images = [image for _, image in sorted(model.images.items()) if image.has_pose]
    what = f"the COLMAP model {folder}"
    upright = upright or _shows_upright_colours(model, images, photos)
    entries = [
        Entry(
            f"{folder}, image {image.image_id} ({plain(image.name)})",
            image.name,
            np.vstack([image.cam_from_world().matrix(), [0, 0, 0, 1]]),
            lambda size, camera=image.camera: _lens(camera, size),
            (image.camera.width, image.camera.height),
            upright,
        )
        for image in images
    ]
    for entry, image in zip(entries, images, strict=True):
        if image.camera.model.name == "EQUIRECTANGULAR":
            raise MacrosplatError(f"{entry.where} has a panorama camera; only cameras with a lens can be used.")
    placed = place(photos, entries, "colmap")
    if not placed.photos:
        raise nobody(what, entries, photos)
    of = {entry.where: image for entry, image in zip(entries, images, strict=True)}
    points = _points(model, [of[entry.where] for entry in placed.entries], placed)
    return placed.photos, placed.cameras, points, tuple(remarks(placed, what, dropped))


def load_model(folder: Path) -> pycolmap.Reconstruction:
    """The model as pycolmap reads it, binary or text; a missing list of points means none."""
    with contextlib.ExitStack() as stack:
        refuse_damaged(folder)
        if (folder / "images.txt").is_file() and not (folder / "images.bin").is_file():
            refuse_unpaired(folder / "images.txt")
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
    """Write a binary COLMAP model, cameras and observations as of the photos as taken (upright); the folder appears, or
    is replaced atomically.

    Raises:
        MacrosplatError: the disk is full or the folder cannot be written.
    """
    model = to_colmap(cameras, points)
    with whole_folder(folder) as part:
        try:
            model.write_binary(str(part))
            refuse_damaged(part)  # of a disk that became full nothing is said otherwise
        except (RuntimeError, ValueError, MacrosplatError) as error:  # pycolmap's own, which say nothing of the disk
            raise MacrosplatError(
                f"{folder} could not be written: the disk is full, or the folder cannot be written; free some space "
                "or choose another --out."
            ) from error


def to_colmap(cameras: Cameras, points: SparsePoints | None = None) -> pycolmap.Reconstruction:
    """`cameras` and `points` as pycolmap's record; image n + 1 is photo n, point p + 1 is point p."""
    model = pycolmap.Reconstruction()
    camera_ids: dict[Distortion, int] = {}
    # Observations sorted by photo: those of photo n are rows start[n]:start[n + 1], and its 2D points in that order.
    photo = np.empty(0, np.int64) if points is None else points.photo
    order = np.argsort(photo, kind="stable")
    start = np.searchsorted(photo[order], np.arange(len(cameras) + 1))
    for n, name in enumerate(cameras.names):
        lens, size = cameras.distortion[n], tuple(int(s) for s in cameras.sizes[n])
        lens = (
            Distortion("PINHOLE", tuple(cameras.intrinsics[n].tolist()), *size)
            if lens is None
            else rescaled(lens, *size)
        )
        camera = colmap_camera(lens)
        if lens not in camera_ids:
            camera_ids[lens] = len(camera_ids) + 1
            camera.camera_id = camera_ids[lens]
            model.add_camera_with_trivial_rig(camera)
        px = np.empty((0, 2)) if points is None else points.px[order[start[n] : start[n + 1]]]
        if lens.model != "PINHOLE" and len(px):
            rays = (px - cameras.intrinsics[n, 2:]) / cameras.intrinsics[n, :2]
            px = np.asarray(camera.img_from_cam(np.column_stack([rays, np.ones(len(rays))])))
        image = pycolmap.Image(name=name, keypoints=px, camera_id=camera_ids[lens], image_id=n + 1)
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


def _lens(camera: Any, size: tuple[int, int]) -> Distortion:
    return Distortion(camera.model.name, tuple(float(p) for p in camera.params), *size)


def _points(model: pycolmap.Reconstruction, images: Sequence[Any], placed: Placed) -> SparsePoints:
    """The model's points that are finite, with their observations by the placed photos."""
    found = {id: model.points3D[id] for id in sorted(model.points3D)}
    ids = [id for id, point in found.items() if np.isfinite(point.xyz).all()]
    if found and not ids:
        raise MacrosplatError(f"{placed.entries[0].where} sees points that are no numbers; export the model again.")
    row_of = {id: row for row, id in enumerate(ids)}
    point, index, px = [], [], []
    for n, image in enumerate(images):
        seen = [(row_of[p.point3D_id], *p.xy) for p in image.get_observation_points2D() if p.point3D_id in row_of]
        rows = np.array(seen, dtype=np.float64).reshape(-1, 3)
        here = _undistorted(rows[:, 1:], image.camera, n, placed)
        good = np.isfinite(here).all(1)
        point.append(rows[good, 0].astype(np.int64))
        index.append(np.full(int(good.sum()), n, dtype=np.int64))
        px.append(here[good])
    return SparsePoints(
        xyz=np.array([found[id].xyz for id in ids], dtype=np.float64).reshape(-1, 3),
        rgb=np.array([found[id].color for id in ids], dtype=np.uint8).reshape(-1, 3),
        point=np.concatenate(point) if point else np.empty(0, np.int64),
        photo=np.concatenate(index) if index else np.empty(0, np.int64),
        px=np.concatenate(px) if px else np.empty((0, 2)),
    )


def _undistorted(px: NDArray, camera: Any, n: int, placed: Placed) -> NDArray[np.float64]:
    """[O, 2] px of the model's photo to px of the undistorted, upright photo `n`, in its own size."""
    photo, turn = placed.photos[n], placed.turns[n]
    px = turned_px(px, turn, (camera.width, camera.height))
    width, height = (camera.height, camera.width) if turn[0, 0] == 0 else (camera.width, camera.height)
    px = px * (photo.width / width, photo.height / height)
    distortion = placed.cameras.distortion[n]
    if distortion is None or len(px) == 0:
        return px
    k = placed.cameras.intrinsics[n]
    return colmap_camera(distortion).cam_from_img(np.ascontiguousarray(px)) * k[:2] + k[2:]


def _shows_upright_colours(model: pycolmap.Reconstruction, images: Sequence[Any], photos: Sequence[Photo]) -> bool:
    """Of photos that an EXIF orientation turns into their own shape: whether the points have the colours of the upright
    photo at their observations, rather than those of the pixels as stored."""
    pairs = matched([image.name for image in images], [photo.name for photo in photos])
    votes = []
    for n, i in pairs.items():
        photo, camera = photos[i], images[n].camera
        if (
            photo.orientation not in TURNS
            or photo.orientation == 1
            or fits((camera.width, camera.height), photo) != (True, True)
        ):
            continue
        seen = [(model.points3D[p.point3D_id].color, p.xy) for p in images[n].get_observation_points2D()]
        if len(seen) < FEWEST_COLOURS or len(votes) >= VOTERS:
            continue
        colours, px = np.array([c for c, _ in seen], float), np.array([xy for _, xy in seen])
        small = read_photo(photo, COLOUR_WIDTH).astype(float)
        scale = np.array(small.shape[1::-1]) / (camera.width, camera.height)
        off = []
        for turn in (TURNS[1], TURNS[photo.orientation]):
            at = (turned_px(px, turn, (camera.width, camera.height)) * scale).astype(int)
            at = np.clip(at, 0, np.array(small.shape[1::-1]) - 1)
            off.append(float(np.abs(small[at[:, 1], at[:, 0]] - colours).mean()))
        votes.append(off[0] < SURELY * off[1])
    return bool(votes) and sum(votes) > len(votes) / 2
