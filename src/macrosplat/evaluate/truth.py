"""A truth folder: what `evaluate` knows that a reconstruction never sees, matched photo by photo.

In: a capture with some of `sharp/` (a sharp twin of every photo, or one per pose), `novel.json` and `novel/` (held-out
views), `masks/`, `novel_masks/`, `transforms.json` (true cameras), `truth.json` (pupil, focus of each photo, in mm),
`depth/` (16 bit camera z of each photo).
Out: sRGB floats in [0, 1] and bool masks, brought to a width by area averaging in linear light.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.distort import keeps_frame
from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.cameras.transforms import read_cameras_file
from macrosplat.cameras.undistort import read_undistorted, read_undistorted_mask
from macrosplat.capture.open import open_capture
from macrosplat.photos.find import find_photos
from macrosplat.photos.folders import PHOTO_FOLDERS
from macrosplat.photos.names import plain
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.json import checked, load_json

Key = tuple[str, ...]  # the parts of a photo's path below its folder, without the suffix


@dataclass(frozen=True)
class Taken(Photo):
    """A photo that is undistorted when it is read: to be compared with what a pinhole sees."""

    lens: Distortion | None = None


class KnownPhoto(msgspec.Struct):
    """An entry of truth.json."""

    photo: str
    focus_mm: float | None = None
    pose: str | None = None  # of a focus bracket's slice: the name of its sharp twin


class KnownTruth(msgspec.Struct):
    """What of truth.json is read."""

    photos: list[KnownPhoto] = []
    pupil_diameter_mm: float | None = None
    depth_scale_mm: float | None = None  # mm per level of depth/


@dataclass(frozen=True)
class LensTruth:
    """The lens that took the photos, mm."""

    pupil_diameter: float
    focus_distances: dict[Key, float]


@dataclass(frozen=True)
class Truth:
    """What is known about a capture; every part may be missing."""

    root: Path
    photos: dict[Key, Photo]  # undistorted
    sharp: dict[Key, Photo]  # sharp twins, by photo, taken by the same camera: as the run shows its sharp photos
    novel: dict[Key, Photo]  # held-out views, with masks from `novel_masks/`
    novel_cameras: Cameras | None  # names as in novel.json
    cameras: Cameras | None  # of the photos, names as in transforms.json
    lens: LensTruth | None
    depth: dict[Key, Path] = field(default_factory=dict)  # 16 bit maps of camera z, by photo; 0: nothing there
    depth_scale: float = 1.0  # mm per level

    def as_shown(self) -> dict[Key, Photo]:
        """The photos as a run shows its own: as they were taken, but where a lens makes it undistort them."""
        return {key: _as_shown(photo, _lens_of(photo)) for key, photo in self.photos.items()}


def key_of(name: str) -> Key:
    """`rows/007.jpg` -> (rows, 007)."""
    path = PurePosixPath(name)
    return path.with_suffix("").parts if path.name else ()


def matching(name: str, keys: Iterable[Key]) -> Key | None:
    """The photo that a camera named `name` is of: a path's last parts, since files call it from different folders."""
    parts = key_of(name)
    found = [key for key in keys if parts[-len(key) :] == key]
    return max(found, key=len, default=None)


def open_truth(root: Path) -> Truth:
    """Find everything in a truth folder.

    Raises:
        MacrosplatError: no such folder, nothing in it to compare with, or a broken file.
    """
    if not root.is_dir():
        raise MacrosplatError(f"{root} is not a folder; --truth takes a capture folder with its truth.")
    pictures = (root / "sharp").is_dir()
    photos: dict[Key, Photo] = {}
    if not pictures or any((root / name).is_dir() for name in PHOTO_FOLDERS):
        capture = open_capture(root)
        lenses = capture.cameras.distortion if capture.cameras else (None,) * len(capture.photos)
        taken = (Taken(**vars(photo), lens=lens) for photo, lens in zip(capture.photos, lenses, strict=True))
        photos = _by_key(taken)
    known = _known(root / "truth.json")
    twins = _by_key(find_photos(root, folder=root / "sharp").photos) if pictures else {}
    poses = {key_of(p.photo): key_of(p.pose) for p in known.photos if p.pose is not None}
    # Slices of a focus bracket share the twin of their pose.
    sharp = {
        key: _as_shown(twins[poses.get(key, key)], _lens_of(photos.get(key)))
        for key in (photos or twins)
        if poses.get(key, key) in twins
    }
    novel: dict[Key, Photo] = {}
    novel_cameras = None
    if (root / "novel.json").is_file() and (root / "novel").is_dir():
        novel_cameras = read_cameras_file(root / "novel.json")
        # masks/ belongs to the photos, whose names are the same.
        novel = _by_key(find_photos(root, masks=False, folder=root / "novel").photos)
        novel = {key: replace(photo, mask=_picture(root / "novel_masks", key)) for key, photo in novel.items()}
    transforms = root / "transforms.json"
    cameras = read_cameras_file(transforms) if transforms.is_file() else None
    lens, scale = _lens(root / "truth.json", known), known.depth_scale_mm
    depth = {key: path for key in photos if (path := _picture(root / "depth", key))} if scale else {}
    return Truth(root, photos, sharp, novel, novel_cameras, cameras, lens, depth, scale or 1.0)


def read_srgb(photo: Photo, width: int | None) -> NDArray[np.float64]:
    """[H, W, 3] sRGB in [0, 1], 8 bit steps."""
    return read_undistorted(photo, _lens_of(photo), width).astype(np.float64) / 255.0


def read_where(photo: Photo, width: int | None) -> NDArray[np.bool_] | None:
    """[H, W] the pixels that the mask covers by half or more; None without a mask."""
    return None if photo.mask is None else read_undistorted_mask(photo, _lens_of(photo), width) >= 128


def _lens_of(photo: Photo | None) -> Distortion | None:
    return photo.lens if isinstance(photo, Taken) else None


def _as_shown(photo: Photo, lens: Distortion | None) -> Photo:
    return Taken(**{**vars(photo), "lens": None if keeps_frame(lens) else lens})


def _by_key(photos: Iterable[Photo]) -> dict[Key, Photo]:
    return {key_of(photo.name): photo for photo in photos}


def _picture(folder: Path, key: Key) -> Path | None:
    path = folder.joinpath(*key).with_name(f"{key[-1]}.png")
    return path if path.is_file() else None


def _known(path: Path) -> KnownTruth:
    if not path.is_file():
        return KnownTruth()
    known = checked(load_json(path), KnownTruth, str(path))
    for n, photo in enumerate(known.photos):
        if not PurePosixPath(photo.photo).name:
            raise MacrosplatError(f"{path}: photos[{n}] names no photo; correct it, or remove the entry.")
        if photo.focus_mm is not None and not 0 < photo.focus_mm < math.inf:
            raise MacrosplatError(
                f"{path}: {plain(photo.photo)} has focus_mm {photo.focus_mm}; it is above 0, and finite."
            )
    if known.pupil_diameter_mm is not None and not 0 < known.pupil_diameter_mm < math.inf:
        raise MacrosplatError(f"{path}: pupil_diameter_mm is {known.pupil_diameter_mm}; it is above 0, and finite.")
    if known.depth_scale_mm is not None and not 0 < known.depth_scale_mm < math.inf:
        raise MacrosplatError(f"{path}: depth_scale_mm is {known.depth_scale_mm}; it is above 0, and finite.")
    return known


def _lens(path: Path, known: KnownTruth) -> LensTruth | None:
    if known.pupil_diameter_mm is None:
        return None
    focus = {key_of(p.photo): p.focus_mm for p in known.photos if p.focus_mm is not None}
    if len(focus) < max(1, len(known.photos)):
        raise MacrosplatError(f"{path} lacks a focus_mm for each of its photos; add them, or remove pupil_diameter_mm.")
    return LensTruth(known.pupil_diameter_mm, focus)
