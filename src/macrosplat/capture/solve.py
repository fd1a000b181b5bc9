"""Cameras and points of a capture, as they were given or found from the photos, and what training starts from.

In: a `Capture`. Out: `Cameras`, `SparsePoints`, and the `TrainingInput` of those photos that are not held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from macrosplat.brackets.composite import has_brackets, one_per_pose, spread
from macrosplat.brackets.recognise import poses_of
from macrosplat.cameras.breathes import with_breathing
from macrosplat.cameras.calibrate import as_taken, undistorted
from macrosplat.cameras.corrected import corrected, settled
from macrosplat.cameras.plausible import refuse_impossible
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.cameras.targets import Readings
from macrosplat.capture.records import Capture, TrainingInput
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.progress import Progress

if TYPE_CHECKING:
    from macrosplat.cameras.sfm.features import Features
    from macrosplat.capture.ahead import Ahead

# Degrees between neighbours: beyond which few points are seen by three photos; as it should be.
FAR_APART, GOOD_STEP = 25.0, 15
FEWEST = 3  # photos to train on
FEWEST_POINTS = 10  # photos of whatever agree on a few by chance; of a thing with any texture they agree on a hundred


@dataclass(frozen=True)
class Solved:
    """Cameras and points of a capture."""

    cameras: Cameras
    points: SparsePoints
    source: str  # where the cameras came from: `transforms`, `colmap` or `sfm`
    unsure: tuple[str, ...] = ()  # photos whose cameras few others hold
    doubted: tuple[str, ...] = ()  # photos that contradict the others, and are so many that the others may be wrong


def solve(
    opened: Capture,
    scratch: Path,
    seed: int,
    progress: Progress,
    targets: Readings | None = None,
    composed: bool = False,
    finer: bool = True,
    ahead: Ahead | None = None,
) -> Solved:
    """Cameras and points, as they were given or from the photos.

    Args:
        scratch: a folder for what structure from motion keeps on the way.
        targets: coded targets read in the photos.
        finer: whether structure from motion takes its time over photos that few points hold.
        composed: whether the photos are joined of several slices each, so that they are focused nowhere.
        ahead: has sought feature points, perhaps.

    Raises:
        MacrosplatError: no cameras can be found, or the given ones do not belong to the photos.
    """
    from macrosplat.cameras.sfm.features import within
    from macrosplat.cameras.sfm.known import key_points, triangulate
    from macrosplat.cameras.sfm.solve import solve_cameras

    given = _told(opened, progress)
    if opened.points is None and has_brackets(opened.photos):
        progress.stage("joining the slices of each pose", 1)
        poses = one_per_pose(opened.photos, opened.cameras, scratch / "composites")
        alone = Capture(opened.root, poses.photos, poses.cameras)
        found = solve(alone, scratch, seed, progress, composed=True, finer=finer)
        slices, seen = spread(poses, found.cameras, found.points, opened.photos)
        # Given cameras stay as they were given: a lens may zoom as it focuses.
        return Solved(opened.cameras or slices, seen, found.source, found.unsure, found.doubted)
    if opened.cameras is None:
        progress.stage("finding the cameras", 100)
        cameras, points, report = solve_cameras(opened.photos, scratch, _advance(progress), seed, targets, finer)
        for line in report.sentences:
            progress.note(line)
        if not composed:
            cameras, points = _breathing(opened, report.alike, progress) or (cameras, points)
        return Solved(cameras, points, "sfm", report.unsure, report.doubted)
    if given is not None:
        return Solved(opened.cameras, given, opened.cameras.source)
    cameras, found = opened.cameras, None
    progress.stage("triangulating points", 100)
    tell = _advance(progress)
    by_name = {photo.name: photo for photo in opened.photos}
    photos = [by_name[name] for name in cameras.names]
    taken = None if ahead is None else ahead.features(photos)
    taken = taken or key_points(opened.photos, cameras.names, scratch, within(tell, 0.0, 0.6))
    for again in ("", "triangulating points of corrected cameras"):
        if again:
            progress.stage(again, 100)
            tell = _advance(progress)
        points = triangulate(opened.photos, cameras, scratch, tell, seed, taken)
        if len(points) < FEWEST_POINTS:
            return _of_pairs(opened, cameras, points, scratch, seed, taken, progress)
        if any(opened.cameras.distortion):  # whoever knew it knew the focal lengths
            return Solved(cameras, points, opened.cameras.source)
        seen = as_taken(points, cameras)
        found = corrected(opened.cameras, seen, photos, found)
        if not found.changed:
            return Solved(cameras, points, opened.cameras.source)
        cameras = found.cameras
    found = settled(opened.cameras, seen, photos, found)
    cameras = found.cameras
    for line in found.sentences():
        progress.note(line)
    return Solved(cameras, undistorted(seen, cameras), opened.cameras.source)


def _breathing(
    opened: Capture, found_alike: tuple[Cameras, SparsePoints] | None, progress: Progress
) -> tuple[Cameras, SparsePoints] | None:
    """Cameras found from the photos, with a focal length each; None: it is not sure that the lens breathes."""
    if found_alike is None:
        return None
    cameras, points = found_alike
    by_name = {photo.name: photo for photo in opened.photos}
    found = with_breathing(cameras, points, [by_name[name] for name in cameras.names])
    if found is None:
        return None
    progress.note(found.sentence)
    return found.cameras, replace(points, xyz=found.xyz)


def _told(opened: Capture, progress: Progress) -> SparsePoints | None:
    """The points that the cameras came with, if a scene can begin with them: a model may hold cameras only, or points
    of which it is not told who sees them."""
    if opened.points is None or len(opened.points) == 0:
        return None
    if len(opened.points) >= FEWEST_POINTS and len(opened.points.photo):
        return opened.points
    why = "it is not told which photos see them" if len(opened.points) >= FEWEST_POINTS else "so few tell nothing"
    progress.note(f"The {len(opened.points):,} points given with the cameras are found anew: {why}.")
    return None


def _of_pairs(
    opened: Capture,
    cameras: Cameras,
    points: SparsePoints,
    scratch: Path,
    seed: int,
    taken: Sequence[Features],
    progress: Progress,
) -> Solved:
    """Given cameras under which next to no point is seen by three photos: with the points that two see, if these are
    far more than chance.

    Raises:
        MacrosplatError: they look from so far apart that nothing tells whether they are those of the photos.
    """
    from macrosplat.cameras.sfm.known import by_chance, confirmed, triangulate

    seen = triangulate(opened.photos, cameras, scratch, None, seed, taken, least=2)
    apart = between_neighbours(cameras)
    if len(seen) and confirmed(len(seen), by_chance(opened.photos, cameras, scratch, seed, taken)):
        count = {0: "no point", 1: "only one point"}.get(len(points), f"only {len(points)} points")
        progress.note(
            f"Three photos alike see {count}: neighbours look from {apart:.0f} degrees apart. The scene begins "
            f"with {len(seen)} points of two photos, which tell little of how deep it is, and nothing tells whether "
            f"the focal lengths are right; take photos every {GOOD_STEP} degrees."
        )
        return Solved(cameras, seen, cameras.source)
    if apart > FAR_APART:
        raise MacrosplatError(
            f"By its cameras the photos of {opened.root} look from {apart:.0f} degrees apart, and share too little for "
            f"a scene to begin with, or for telling whether the cameras are right: take photos every {GOOD_STEP} "
            "degrees. If they were taken so, the cameras belong to other photos, or follow another convention; remove "
            "them to have them found."
        )
    return Solved(cameras, points, cameras.source)


def between_neighbours(cameras: Cameras) -> float:
    """Degrees between the viewing directions of a photo and the one nearest to it, in the median."""
    axes = cameras.views[:, 2, :3]
    cosines = np.clip(axes @ axes.T, -1, 1)
    np.fill_diagonal(cosines, -1)
    return float(np.median(np.degrees(np.arccos(cosines.max(1)))))


def training_input(
    opened: Capture, cameras: Cameras, points: SparsePoints, hold_out: int, width: int | None
) -> TrainingInput:
    """What training starts from.

    Args:
        hold_out: every so many-th pose is held out; 0: none.
        width: px that the photos are trained at; None: their own.

    Raises:
        MacrosplatError: there are next to no points, cameras that no capture has, or too few photos are left.
    """
    if len(points) < FEWEST_POINTS or len(points.photo) == 0:
        some = f"only {len(points)} points" if len(points) else "no point"
        raise MacrosplatError(
            f"The cameras of {opened.root} agree on {some} of the photos: they belong to other photos, or follow "
            "another convention; remove them to have them found from the photos."
            if opened.cameras is not None
            else f"No point of {opened.root} is seen by three photos alike, so that there is no scene to begin with: "
            "take more photos around the object, with texture in focus."
        )
    refuse_impossible(cameras, points, str(opened.root))
    by_name = {photo.name: photo for photo in opened.photos}
    # A bracket is held out as a whole: its other slices would show the view that was held out.
    groups = poses_of([by_name[name] for name in cameras.names])
    apart = {i for group in (groups[::hold_out] if hold_out else ()) for i in group}
    held_out = [name for i, name in enumerate(cameras.names) if i in apart]
    kept = [name for i, name in enumerate(cameras.names) if i not in apart]
    if len(kept) < FEWEST:
        raise MacrosplatError(
            f"Only {len(kept)} photos of {opened.root} are left to train on; at least {FEWEST} are needed."
        )
    return TrainingInput(
        photos=tuple(by_name[name] for name in kept),
        cameras=cameras.select(kept),
        held_out=cameras.select(held_out) if held_out else None,
        points=seen_by(points, cameras, kept),
        width=min(width or 10**9, max(by_name[name].width for name in kept)),
    )


def seen_by(points: SparsePoints, cameras: Cameras, kept: Sequence[str]) -> SparsePoints:
    """The points as the kept photos see them; those seen by none of them go."""
    new = np.full(len(cameras), -1)
    for i, name in enumerate(kept):
        new[cameras.names.index(name)] = i
    seen = new[points.photo] >= 0
    used, point = np.unique(points.point[seen], return_inverse=True)
    return SparsePoints(points.xyz[used], points.rgb[used], point, new[points.photo[seen]], points.px[seen])


def _advance(progress: Progress):
    """A callback (fraction, text) that moves a stage of 100."""
    at = 0

    def advance(fraction: float, text: str = "") -> None:
        nonlocal at
        now = int(100 * fraction)
        progress.advance(max(0, now - at), text)
        at = max(at, now)

    return advance
