"""From a first model to accurate cameras: more matches under the poses found, photos placed anew, bundle adjustment.

In: a model as the mapper left it. Out: `Refined`: the better model, its cameras (with the focal length found), and how
far it agrees with pairs of photos.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.records import centres_of
from macrosplat.cameras.sfm import mapping
from macrosplat.cameras.sfm.features import Extraction, Features, Matches, Progress, extract, within
from macrosplat.cameras.sfm.guided import match_guided
from macrosplat.cameras.sfm.pairs import FOLLOWERS_OF_COPIES, joined, match_all, near
from macrosplat.cameras.sfm.verify import Agreement, agreement
from macrosplat.photos.records import Photo
from macrosplat.support.colmap import pycolmap

# Ratio test among the points of an epipolar band. Under fly's true cameras 0.95 gives 1270 points, of whose
# observations 9.1 % lie over 3 mm off in depth, since false matches cut true tracks; 0.9 gives 1905 (2.8 %), this 1791
# (1.9 %), 0.8 gives 1529 (1.1 %).
GUIDED_RATIO = 0.85
# px on either side of an epipolar line: poses off by 1 % of the distance move it by about 3 px; known poses by none,
# but the key points of blurred photos scatter.
FOUND_BAND, KNOWN_BAND = 4.0, 3.0
# Degrees between viewing directions. 75 takes twice the time, and its false matches double the points that are off.
MAX_TURN = 50.0
# px and degrees: an observation farther from its point's projection, or a point whose rays meet at less, is left out.
KEEP_ERROR = 3.0
KEEP_ANGLE = 2.0
# px of the Cauchy loss: the scatter of good observations is 0.9 px.
LOSS = 1.0
# Share of its telling matches that the model must explain; below, a photo is placed anew or given up, and a model is
# wrong. Right models of fly, chess and skull explain 0.94 to 1.00, their worst photos 0.68. A model of chess that was
# 75 % off (near and far exchanged, which a narrow field of view hardly tells apart) explained 0.62; one of the tests'
# corner, 0.81.
AGREES, MODEL_AGREES = 0.55, 0.87
# Share of *all* verified matches: those of views far apart, too, where the same rim or collar seen from another side
# may have been taken for one. On cat a sixth of all are such.
ALL_AGREE = 0.7
# Rounds of matching under the poses found, at most, and the median movement of the centres (share of their distance to
# the points) at which they end.
ROUNDS, SETTLED = 4, 0.002
# Photos that look closer together with one that could not be registered.
RESCUERS = 4
# A photo placed from points: inliers within 8 px (loose: the next adjustment moves it), and their number.
PLACE_ERROR, PLACE_INLIERS = 8.0, 15


@dataclass(frozen=True)
class Refined:
    """A model, its cameras (one per photo, registered or not) and how far it agrees with pairs of photos."""

    model: pycolmap.Reconstruction
    cameras: list[pycolmap.Camera]
    judged: Agreement  # with pairs that the model was made from
    of_all: float  # share of all verified matches

    @property
    def right(self) -> bool:
        """Whether the model as a whole can be believed."""
        return self.judged.share >= MODEL_AGREES and self.of_all >= ALL_AGREE

    @property
    def agreeing(self) -> list[int]:
        """Photo indices that the model holds and that do not contradict others; none if the model is wrong."""
        return [i for i in sorted(mapping.views_of(self.model)) if agrees(self.judged, i)] if self.right else []


def agrees(judged: Agreement, photo: int) -> bool:
    """Whether a registered photo may be trusted. One without verified pairs may not: nothing speaks for it."""
    return bool(judged.per_photo[photo] >= AGREES)


def improve(
    model: pycolmap.Reconstruction,
    features: list[Features],
    names: list[str],
    cameras: list[pycolmap.Camera],
    begun: Matches,
    verified: Matches,
    sure: Matches,
    folder: Path,
    progress: Progress,
    seed: int,
) -> Refined:
    """Adjust; drop contradicting photos, place missing ones, match along epipolar lines, adjust; until it settles.

    Args:
        begun: the verified matches that the model was made from.
        verified: all that pairs agreed on, by which the model is judged.
        sure: those of strong pairs, which count however far apart the model has their photos: a bent ring hides what it
            contradicts that way.
    """
    begun_px = {camera.camera_id: camera.focal_length_x for camera in cameras}
    _adjust(model, begun_px)
    cameras = cameras_of(model, cameras)
    for turn in range(ROUNDS):
        views = mapping.views_of(model)
        # Of photos that are missing all pairs count: which are true is told by the points that they lead to.
        trusting = near(verified, views, verified, MAX_TURN, sure) if turn else begun
        judged = agreement(features, trusting, views, calibrations(cameras))
        trusted = {i: view for i, view in views.items() if agrees(judged, i)}
        if len(trusted) < 3:
            trusted = views
        placed = trusted | _place(model, features, cameras, trusting, trusted, seed)
        tell = within(progress, turn / ROUNDS, (turn + 1) / ROUNDS)
        found = _guided(features, cameras, placed, trusting, tell)
        model = mapping.triangulate_tracks(features, names, cameras, placed, found, folder, seed)
        for error in (2 * KEEP_ERROR, KEEP_ERROR):
            mapping.thin_out(model, error, KEEP_ANGLE)
            _adjust(model, begun_px)
        mapping.thin_out(model, KEEP_ERROR, KEEP_ANGLE)
        mapping.leave_out_weak(model, mapping.POSE_INLIERS)
        cameras = cameras_of(model, cameras)
        now = mapping.views_of(model)
        if moved(views, now, model) < SETTLED:
            break
    now = mapping.views_of(model)
    judged = agreement(features, near(verified, now, verified, MAX_TURN, sure), now, calibrations(cameras))
    return Refined(model, cameras, judged, agreement(features, verified, now, calibrations(cameras)).share)


def _adjust(model: pycolmap.Reconstruction, begun_px: Mapping[int, float]) -> None:
    """Bundle adjustment in which focal lengths grow no further from those that all began with than in one (px, by
    camera): in several in turn they would run away all the same."""
    left = [mapping.RUNS_AWAY * begun_px[i] / camera.focal_length_x for i, camera in model.cameras.items()]
    mapping.adjust(model, LOSS, most=max(1.0, min(left)))


def with_focal(model: pycolmap.Reconstruction, cameras: list[pycolmap.Camera], factor: float) -> list[pycolmap.Camera]:
    """Make all focal lengths `factor` times what they are, and adjust the model to that; its cameras."""
    for camera in model.cameras.values():
        camera.params = [factor * camera.params[0], *camera.params[1:]]
    for _ in range(2):
        mapping.adjust(model, LOSS, focal=False)
        mapping.thin_out(model, KEEP_ERROR, KEEP_ANGLE)
    return cameras_of(model, cameras)


def moved(
    before: dict[int, NDArray[np.float64]], after: dict[int, NDArray[np.float64]], model: pycolmap.Reconstruction
) -> float:
    """Median distance of the centres after the best similarity, as a share of their distance from the points; infinite
    where a photo was lost or placed."""
    if before.keys() != after.keys():
        return float("inf")
    a, b = (centres_of(np.stack([v for _, v in sorted(views.items())])) for views in (before, after))
    found = pycolmap.estimate_sim3d(a, b)
    if found is None:
        return float("inf")
    apart = np.linalg.norm(a @ found.matrix()[:, :3].T + found.matrix()[:, 3] - b, axis=1)
    middle = np.median([point.xyz for point in model.points3D.values()], axis=0) if model.num_points3D() else b.mean(0)
    return float(np.median(apart) / np.median(np.linalg.norm(b - middle, axis=1)))


def _guided(
    features: list[Features],
    cameras: list[pycolmap.Camera],
    views: dict[int, NDArray[np.float64]],
    verified: Matches,
    progress: Progress,
) -> Matches:
    """Matches along the epipolar lines of `views`, and those verified ones that they leave out (see `match_guided`)."""
    along = along_lines_of(views, features, cameras, FOUND_BAND, progress)
    added = {}
    for (i, j), rows in verified.items():
        if i in views and j in views:
            own = (rows[:, 0] < len(features[i].first())) & (rows[:, 1] < len(features[j].first()))
            if not own.all():
                added[i, j] = rows[~own]
    return joined(along, added)


def along_lines_of(
    views: dict[int, NDArray[np.float64]],
    features: list[Features],
    cameras: list[pycolmap.Camera],
    band: float,
    progress: Progress,
) -> Matches:
    """Matches within `band` px of the epipolar lines of `views`."""
    placed, k = sorted(views), calibrations(cameras)
    found = match_guided(
        [features[i] for i in placed],
        np.stack([views[i] for i in placed]),
        np.stack([k[i] for i in placed]),
        GUIDED_RATIO,
        band,
        MAX_TURN,
        progress,
    )
    return {(placed[i], placed[j]): rows for (i, j), rows in found.items()}


def rescue(
    registered: Collection[int],
    photos: tuple[Photo, ...],
    features: list[Features],
    matches: Matches,
    copies: Extraction,
    folder: Path,
    progress: Progress,
) -> tuple[list[Features], Matches]:
    """Look closer at photos that could not be registered, and at those that they have most in common with.

    Args:
        copies: how their blurred copies are looked at.

    Returns:
        All features, with rows added to those photos, and the matches of the added rows.
    """
    missing = [i for i in range(len(photos)) if i not in registered]
    chosen = set(missing)
    for photo in missing:
        common = {i + j - photo: len(rows) for (i, j), rows in matches.items() if photo in (i, j)}
        chosen.update(sorted(common, key=lambda other: -common[other])[:RESCUERS])
        # Photos are mostly taken in order: the neighbours by name, too.
        chosen.update(i for i in (photo - 2, photo - 1, photo + 1, photo + 2) if 0 <= i < len(photos))
    rows = sorted(chosen)
    own = [features[i].first() for i in rows]
    both = extract(tuple(photos[i] for i in rows), copies, folder, within(progress, 0.0, 0.8), own=own)
    begin = np.array([len(one) for one in own])
    behind = np.array([len(features[i]) for i in rows]) - begin
    added = {}
    for (i, j), pair in match_all(both, within(progress, 0.8, 1.0), FOLLOWERS_OF_COPIES).items():
        new = pair >= begin[[i, j]]
        added[rows[i], rows[j]] = (pair + new * behind[[i, j]])[new.any(1)]
    features = list(features)
    for i, one, count in zip(rows, both, begin.tolist(), strict=True):
        features[i] = features[i].with_more(one.after(count))
    return features, added


def calibrations(cameras: list[pycolmap.Camera]) -> list[NDArray[np.float64]]:
    """[3, 3] of every photo, canvas px."""
    return [camera.calibration_matrix() for camera in cameras]


def cameras_of(model: pycolmap.Reconstruction, cameras: list[pycolmap.Camera]) -> list[pycolmap.Camera]:
    """One camera per photo, as the model has adjusted it."""
    return [model.cameras[c.camera_id] if model.exists_camera(c.camera_id) else c for c in cameras]


def _place(
    model: pycolmap.Reconstruction,
    features: list[Features],
    cameras: list[pycolmap.Camera],
    matches: Matches,
    trusted: dict[int, NDArray[np.float64]],
    seed: int,
) -> dict[int, NDArray[np.float64]]:
    """Views of photos that are not in `trusted`, from the points that its photos see."""
    point_of = {}
    for i in trusted:
        ids = [p.point3D_id if p.has_point3D() else -1 for p in model.images[i + 1].points2D]
        point_of[i] = np.array(ids, dtype=np.int64)  # "no point" is the largest unsigned number, which -1 stands for
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error = PLACE_ERROR
    options.ransac.random_seed = seed
    placed = {}
    for photo in range(len(features)):
        if photo in trusted:
            continue
        seen: dict[tuple[int, int], None] = {}
        for (i, j), rows in matches.items():
            other = j if i == photo else i
            if photo not in (i, j) or other not in trusted:
                continue
            mine, theirs = (rows[:, 0], rows[:, 1]) if i == photo else (rows[:, 1], rows[:, 0])
            points = point_of[other][theirs]
            seen.update(dict.fromkeys(zip(mine[points >= 0].tolist(), points[points >= 0].tolist(), strict=True)))
        if len(seen) < PLACE_INLIERS:
            continue
        px = features[photo].px[[row for row, _ in seen]]
        xyz = np.array([model.points3D[point].xyz for _, point in seen])
        found = pycolmap.estimate_and_refine_absolute_pose(px, xyz, cameras[photo], options)
        if found is not None and found["num_inliers"] >= PLACE_INLIERS:
            placed[photo] = np.vstack([found["cam_from_world"].matrix(), [0, 0, 0, 1]])
    return placed
