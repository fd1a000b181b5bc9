"""Points that known cameras see.

In: photos and their `Cameras`, in any unit. Out: `SparsePoints`; the cameras stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.cameras.sfm import mapping, refine
from macrosplat.cameras.sfm.features import GIVEN_SIDE, GUIDED, Features, Progress, extract, within
from macrosplat.cameras.sfm.guided import match_guided
from macrosplat.photos.records import Photo
from macrosplat.support.colmap import pycolmap
from macrosplat.support.errors import MacrosplatError

# Of photos 34 to 42 degrees apart right cameras see so many points in two photos and more, and 4 to 14 times as many as
# by chance; exchanged ones and those of another convention at most twice as many (experiments: far-apart).
CONFIRMED, ABOVE_CHANCE, DRAWS = 30, 4, 3


def key_points(
    photos: Sequence[Photo], names: Sequence[str], workdir: Path, progress: Progress | None = None
) -> list[Features]:
    """What `triangulate` goes by: the features of the photos of these names as taken, in the order of the names.

    Args:
        photos: with their masks.
        workdir: a folder for scratch files; nothing stays in it.

    Raises:
        MacrosplatError: a photo cannot be read, or a name is none of them.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    return extract(_named(photos, names), GUIDED, workdir, progress or silent, GIVEN_SIDE)


def _named(photos: Sequence[Photo], names: Sequence[str]) -> tuple[Photo, ...]:
    known = {photo.name: photo for photo in photos}
    for name in names:
        if name not in known:
            raise MacrosplatError(f"The cameras name {name}, which is not among the photos of the capture.")
    return tuple(known[name] for name in names)


def triangulate(
    photos: Sequence[Photo],
    cameras: Cameras,
    workdir: Path,
    progress: Progress | None = None,
    seed: int = 0,
    taken: Sequence[Features] | None = None,
    least: int = 3,
) -> SparsePoints:
    """Points seen by given cameras, which stay as they are.

    Args:
        photos: with their masks; those that `cameras` names are used.
        cameras: V cameras in any unit.
        workdir: a folder for scratch files; nothing stays in it.
        taken: the `key_points` of the cameras' photos; None: they are found.
        least: photos that see a point.

    Returns:
        Points in the cameras' world, each seen by at least `least` of them; few or none if the cameras are wrong.

    Raises:
        MacrosplatError: a photo cannot be read, or `cameras` names one that the capture does not hold.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    progress = progress or silent
    photos = _named(photos, cameras.names)
    taken = taken or key_points(photos, cameras.names, workdir, within(progress, 0.0, 0.6))
    features = [one.undistorted(lens) for one, lens in zip(taken, cameras.distortion, strict=True)]
    canvas = [_canvas_camera(cameras, n, features[n]) for n in range(len(cameras))]
    views = dict(enumerate(cameras.views))
    matches = match_guided(
        features,
        cameras.views,
        np.stack([camera.calibration_matrix() for camera in canvas]),
        refine.GUIDED_RATIO,
        refine.KNOWN_BAND,
        refine.MAX_TURN,
        within(progress, 0.6, 0.9),
    )
    model = mapping.triangulate_tracks(features, list(cameras.names), canvas, views, matches, workdir, seed, least)
    mapping.thin_out(model, refine.KEEP_ERROR, refine.KEEP_ANGLE)
    progress(1.0, f"{model.num_points3D()} points")
    return points_of(model, features, photos, list(range(len(photos))), least)


def confirmed(own: int, by_chance: int) -> bool:
    """Whether so many points that two photos and more see tell that cameras are those of the photos."""
    return own >= CONFIRMED and own >= ABOVE_CHANCE * by_chance


def by_chance(photos: Sequence[Photo], cameras: Cameras, workdir: Path, seed: int, taken: Sequence[Features]) -> int:
    """Points that two photos and more see under cameras that are each turned about their own axis by another angle:
    they look from where the given ones do and the same way, so that as many pairs are tried, and no pair of them is
    right."""
    rng, most = np.random.default_rng([seed, len(cameras)]), 0
    for _ in range(DRAWS):
        angle = rng.permutation(len(cameras)) * 2 * np.pi / len(cameras)
        turn = np.tile(np.eye(4), (len(cameras), 1, 1))
        turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
        turn[:, 0, 1], turn[:, 1, 0] = -np.sin(angle), np.sin(angle)
        turned = replace(cameras, views=turn @ cameras.views)
        most = max(most, len(triangulate(photos, turned, workdir, None, seed, taken, least=2)))
    return most


def _canvas_camera(cameras: Cameras, n: int, features: Features) -> pycolmap.Camera:
    """Camera `n` as it sees the canvas."""
    fx, fy, cx, cy = cameras.intrinsics[n] * (np.array(features.size) / cameras.sizes[n])[[0, 1, 0, 1]]
    x, y = features.margin
    side = features.side
    return pycolmap.Camera(model="PINHOLE", width=side, height=side, params=[fx, fy, cx + x, cy + y], camera_id=n + 1)


def points_of(
    model: pycolmap.Reconstruction,
    features: list[Features],
    photos: tuple[Photo, ...],
    keep: list[int],
    least: int = 3,
) -> SparsePoints:
    """The model's points of `least` or more observations in the photos `keep`, coloured by the mean of these."""
    place = {i: n for n, i in enumerate(keep)}
    px = [one.photo_px(photo.width, photo.height) for one, photo in zip(features, photos, strict=True)]
    xyz, rgb, point, photo_index, seen = [], [], [], [], []
    for point_id in sorted(model.points3D):
        track = model.points3D[point_id].track.elements
        at = [(e.image_id - 1, e.point2D_idx) for e in track if e.image_id - 1 in place]
        if len({i for i, _ in at}) < least:
            continue
        rgb.append(np.mean([features[i].rgb[row] for i, row in at], axis=0))
        point += [len(xyz)] * len(at)
        photo_index += [place[i] for i, _ in at]
        seen += [px[i][row] for i, row in at]
        xyz.append(model.points3D[point_id].xyz)
    return SparsePoints(
        xyz=np.array(xyz, np.float64).reshape(-1, 3),
        rgb=np.rint(np.array(rgb).reshape(-1, 3)).astype(np.uint8),
        point=np.array(point, np.int64),
        photo=np.array(photo_index, np.int64),
        px=np.array(seen, np.float64).reshape(-1, 2),
    )


def silent(fraction: float, text: str) -> None:
    """Progress that nobody looks at."""
