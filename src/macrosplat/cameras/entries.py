"""The entries of a transforms.json: which are read, which may be passed over, and which would make the cameras wrong if
they were.

In: the entries of a frame, the file's own included. Out: nothing, or a refusal that names the entry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

import msgspec

from macrosplat.cameras.distort import ENTRIES
from macrosplat.photos.names import plain
from macrosplat.support.errors import MacrosplatError

INTRINSICS = ENTRIES[1:]
# Entries that bend or move rays in ways that are not read here: where they say something, the cameras would be wrong.
CHANGES_RAYS = (
    *("s1", "s2", "s3", "s4", "tau_x", "tau_y", "sx1", "sy1", "b1", "b2", "skew"),
    *("is_latlong", "latlong", "is_equirectangular", "equirectangular", "is_orthographic", "rolling_shutter"),
    *(f"ftheta_p{n}" for n in range(5)),
)
# Entries by which files say that they mean other numbers than nerfstudio's do, and what nerfstudio's would be called.
MEANS = {
    key: ("opengl", "nerf", "nerfstudio", "blender", "c2w", "camera_to_world", "camera-to-world")
    for key in ("camera_convention", "convention", "coordinate_system", "transform_type", "pose_type", "axes")
}
INSTEAD = ("distortion_params", "distortion", "intrinsic_matrix", "camera_matrix", "K", "w2c", "extrinsics")
MOST_NUMBER = 1e300
# What other entries that hold such numbers may be called.
LIKELY = re.compile(
    r"distort|dist_?coef|^dist$|^d$|^f[xy]$|intrinsic|extrinsic|radial|tangential|prism|(^|_)k$|w2c|world_?(2|to_)cam",
    re.IGNORECASE,
)
# Entries that the cameras do not depend on: what programs keep for themselves.
IGNORED = (
    *(
        "frames",
        "aabb_scale",
        "aabb",
        "scale",
        "offset",
        "up",
        "from_na",
        "n_extra_learnable_dims",
        "applied_transform",
    ),
    *(
        "applied_scale",
        "sharpness",
        "colmap_im_id",
        "time",
        "timestamp",
        "rotation",
        "render_aabb",
        "white_transparent",
    ),
    *("black_transparent", "enable_depth_loading", "integer_depth_scale", "depth_unit_scale_factor", "train_filenames"),
    *("val_filenames", "test_filenames", "split", "camera_label", "name", "id", "title", "version", "units"),
    *("camera", "orientation_override", "auto_scale_poses_override", "near", "far", "light"),
)
# Entries that are of use to others; that they were not looked at is said.
UNUSED = {
    "ply_file_path": "points",
    "fisheye_crop_radius": "a fisheye's circle",
    "depth_file_path": "depth maps",
    "rolling_shutter_time": "shutter times",
}


class Lens(msgspec.Struct):
    """Intrinsics, of the file or of one frame; None: the file's, or the default."""

    w: float | None = None
    h: float | None = None
    fl_x: float | None = None
    fl_y: float | None = None
    cx: float | None = None
    cy: float | None = None
    camera_angle_x: float | None = None
    camera_angle_y: float | None = None
    camera_model: str = "OPENCV"
    is_fisheye: bool = False  # instant-ngp's word for it
    k1: float | None = None
    k2: float | None = None
    p1: float | None = None
    p2: float | None = None
    k3: float | None = None
    k4: float | None = None
    k5: float | None = None
    k6: float | None = None
    exif_orientation: str | None = None


class Frame(msgspec.Struct):
    """What every frame has."""

    file_path: str
    transform_matrix: list[list[float]]
    mask_path: str | None = None


KNOWN = {*Lens.__struct_fields__, *Frame.__struct_fields__, *MEANS, *UNUSED, *IGNORED}


def refuse_other_meaning(where: str, merged: dict[str, Any]) -> None:
    """
    Raises:
        MacrosplatError: an entry that is not read bends rays, or tells of another convention than nerfstudio's.
    """
    known = {number for key in Lens.__struct_fields__ for number in _numbers(merged.get(key))}
    for key in sorted(merged.keys() - KNOWN):
        said = merged[key]
        if key not in (*CHANGES_RAYS, *INSTEAD) and not (LIKELY.search(key) and _numbers(said)):
            continue
        if key not in CHANGES_RAYS and _says_the_same(said, known):
            continue
        if _says_something(said):
            raise MacrosplatError(
                f"{where}: {plain(key, 40)} is not read, and without it the cameras would be wrong; undistort the "
                "photos, or export for OPENCV or OPENCV_FISHEYE."
            )
    for key, ours in MEANS.items():
        if isinstance(said := merged.get(key), str) and said.casefold() not in ours:
            raise MacrosplatError(
                f"{where}: {key} is {plain(said, 40)!r}, but matrices are read as camera-to-world with OpenGL's axes "
                f"(x right, y up, z backward); convert them and remove {key}."
            )


def _says_something(value: Any) -> bool:
    """Whether an entry is more than a default: lists of zeros say nothing."""
    if isinstance(value, list):
        return any(_says_something(one) for one in value)
    return value not in (None, 0, False, "")


def _numbers(value: Any) -> list[float]:
    """All numbers of an entry, however deep."""
    if isinstance(value, list):
        return [number for one in value for number in _numbers(one)]
    if isinstance(value, dict):
        return [number for one in value.values() for number in _numbers(one)]
    if not isinstance(value, int | float) or isinstance(value, bool):
        return []
    return [float(value) if abs(value) < MOST_NUMBER else math.inf]  # an integer of 400 digits is no float


def _says_the_same(value: Any, known: Collection[float]) -> bool:
    """Whether an entry repeats numbers that are read, as a camera matrix does beside fl_x; 0 and 1 fill it up."""
    numbers = [number for number in _numbers(value) if number not in (0, 1)]
    return bool(numbers) and all(any(math.isclose(number, one, rel_tol=1e-6) for one in known) for number in numbers)
