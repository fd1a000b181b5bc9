"""How long a scene unit is by coded targets: squares of known size that several photos show.

In: the targets read in photos (`photos.targets`), cameras, and what the user says of their sizes. Out: a `TargetScale`.
Corners are triangulated; the square, or the whole board, is laid on them by the best similarity, whose scale is
sought. How sure it is: what the points are off after that, and what the focal length may be off (`squares`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.squares import focal_by_squares
from macrosplat.photos.names import listed
from macrosplat.photos.targets import DEFAULT, Target
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.json import checked, load_json

Readings = Mapping[str, Sequence[Target]]  # photo name to its targets, px of the undistorted photo at full size
LEAST_MM, MOST_MM = 0.05, 10000.0  # of a side: beyond these it is a slip
LONGEST_NUMBER = 9  # digits of a target's number
REMEDY = "write sides in millimetres, as in docs/targets.md"
# px that a corner may lie from where its point projects: more, and the target was moved, or read wrongly.
MOVED_PX = 5.0
# A target whose scale is off the others' by more than this share, and this many standard deviations, is another size.
OTHER_SIZE, SURELY = 0.03, 5.0
FOCAL_FOUND = 0.02  # relative, of focal lengths found from photos alone (experiments: sfm-seeds)
FEWEST_VIEWS, LEAST_ANGLE = 2, 3.0  # photos that a corner needs, and degrees between their rays


class _File(msgspec.Struct, forbid_unknown_fields=True):
    family: str = DEFAULT
    side_mm: float | None = None  # of all that `tags` does not name
    tags: dict[str, float] = {}  # number: side
    board: dict[str, list[list[float]]] = {}  # number: its four corners in one drawing, mm


@dataclass(frozen=True)
class Sizes:
    """What is known of the targets, in millimetres."""

    family: str = DEFAULT
    side: float | None = None  # of those that `sides` does not name; None: only those count
    sides: dict[int, float] = field(default_factory=dict)
    board: dict[int, NDArray[np.float64]] = field(default_factory=dict)  # [4, 3] corners, of what is one piece

    def corners(self, number: int) -> NDArray[np.float64] | None:
        """[4, 3] of a square by itself."""
        side = self.sides.get(number, self.side)
        return None if side is None else side * np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float64)

    def as_file(self) -> dict[str, object]:
        """What `read_sizes` reads."""
        return {
            "family": self.family,
            "side_mm": self.side,
            "tags": {str(number): side for number, side in self.sides.items()},
            "board": {str(number): corners.tolist() for number, corners in self.board.items()},
        }


@dataclass(frozen=True)
class TargetScale:
    """Millimetres of a scene unit; None: no target tells."""

    mm_per_unit: float | None
    uncertainty: float | None  # relative, one standard deviation
    targets: tuple[int, ...]  # that it rests on
    photos: int  # that show one of them
    notes: tuple[str, ...]


def read_sizes(text: str) -> Sizes:
    """Of a file of sizes, or one side in mm for all.

    Raises:
        MacrosplatError: the file cannot be read, or a size is none.
    """
    with contextlib.suppress(ValueError):
        return Sizes(side=_size(float(text), "--targets"))
    path = Path(text)
    found = load_json(path, finite=True, remedy=REMEDY)
    if isinstance(found, dict) and found and all(str(key).isdecimal() for key in found):
        found = {"tags": found}  # the short form: numbers and sides alone
    file = checked(found, _File, str(path), REMEDY)
    sides = {_number(key, path): _size(value, f"{path}, {key}") for key, value in file.tags.items()}
    board = {}
    for key, corners in file.board.items():
        array = np.array([[*corner, 0.0][:3] for corner in corners if len(corner) in (2, 3)], np.float64)
        if array.shape != (4, 3) or len(corners) != 4 or np.abs(array).max() > MOST_MM:
            raise MacrosplatError(
                f"{path}: the board's target {key[:20]} needs four corners of two or three numbers, in mm, up to "
                f"{MOST_MM:g}."
            )
        board[_number(key, path)] = array
    own = _size(file.side_mm, f"{path}, side_mm") if file.side_mm is not None else None
    if not sides and not board and own is None:
        raise MacrosplatError(f"{path} says no size of a target; give side_mm, tags or a board, as in docs/targets.md.")
    return Sizes(file.family, own, {n: one for n, one in sides.items() if one is not None}, board)


def _size(side: float | None, where: str) -> float | None:
    if side is not None and not LEAST_MM <= side <= MOST_MM:
        raise MacrosplatError(f"{where}: a target's side of {side:g} mm is none; it is {LEAST_MM} to {MOST_MM:g} mm.")
    return side


def _number(key: str, path: Path) -> int:
    if not key.isdecimal() or len(key) > LONGEST_NUMBER:
        raise MacrosplatError(f"{path}: {key[:20]} is no target's number; give its whole number.")
    return int(key)


def scale_by(readings: Readings, cameras: Cameras, sizes: Sizes) -> TargetScale:
    """The scale that the targets tell.

    Args:
        cameras: V, at full size, as they would see undistorted photos.
    """
    points, moved = corner_points(readings, cameras)
    bodies: dict[str, tuple[list[int], NDArray[np.float64], NDArray[np.float64]]] = {}
    numbers = sorted({number for number, _ in points})
    on_board = [n for n in numbers if n in sizes.board]
    for name, members in [("the board", on_board), *((f"target {n}", [n]) for n in numbers if n not in sizes.board)]:
        model, seen = [], []
        for number in members:
            drawn = sizes.board.get(number)
            drawn = sizes.corners(number) if drawn is None else drawn
            for corner in range(4):
                if drawn is not None and (number, corner) in points:
                    model.append(drawn[corner])
                    seen.append(points[number, corner])
        if len(model) >= 3:
            bodies[name] = members, np.array(model), np.array(seen)
    fits = {name: _similar(model, seen) for name, (_, model, seen) in bodies.items()}
    fits = {name: one for name, one in fits.items() if one is not None}
    notes = []
    if moved:
        which = listed(str(n) for n in moved)
        notes.append(f"Coded targets that do not fit one place in space were left out: {which}.")
    if not fits:
        return TargetScale(None, None, (), 0, tuple(notes))
    kept, other = _agreeing(fits)
    if other:
        notes.append(
            f"{listed(other)} {'has' if len(other) == 1 else 'have'} another size than said, as the others see it, and "
            f"{'was' if len(other) == 1 else 'were'} left out of the scale."
        )
    values, deviations = (np.array([kept[name][k] for name in kept]) for k in (0, 1))
    weights = 1 / deviations**2
    value = float((weights * values).sum() / weights.sum())
    propagated = float(weights.sum() ** -0.5)
    spread = float((weights * (values - value) ** 2).sum() / weights.sum()) ** 0.5 / max(1, len(kept) - 1) ** 0.5
    used = tuple(sorted(n for name in kept for n in bodies[name][0]))
    photos = sum(any(one.number in used for one in found) for name, found in readings.items() if name in cameras.names)
    uncertainty = float(np.hypot(max(propagated, spread) / value, focal_doubt(readings, cameras, points)))
    return TargetScale(value, uncertainty, used, photos, tuple(notes))


def focal_doubt(readings: Readings, cameras: Cameras, points: Mapping[tuple[int, int], NDArray[np.float64]]) -> float:
    """Share by which distances from the cameras may be off, one standard deviation: a focal length that is a little
    wrong makes all of them longer, and the targets themselves hardly less true."""
    squares, found = focal_by_squares(readings, cameras, points), cameras.source == "sfm"
    if squares is None:
        return FOCAL_FOUND if found else 0.0
    off = abs(float(np.log(squares.factor)))
    if found:
        return float(np.hypot(off, squares.uncertainty))
    return off if off > 2 * squares.uncertainty else 0.0


def _agreeing(fits: dict[str, tuple[float, float]]) -> tuple[dict[str, tuple[float, float]], list[str]]:
    """Those that tell one scale, and the names of the others."""
    middle = float(np.median([value for value, _ in fits.values()]))
    off = {
        name
        for name, (value, deviation) in fits.items()
        if len(fits) > 2 and abs(value - middle) > max(OTHER_SIZE * middle, SURELY * deviation)
    }
    return {name: one for name, one in fits.items() if name not in off}, sorted(off)


def _similar(model: NDArray[np.float64], seen: NDArray[np.float64]) -> tuple[float, float] | None:
    """mm per scene unit and its standard deviation, of model points [N, 3] mm and where they are seen [N, 3]."""
    a, b = seen - seen.mean(0), model - model.mean(0)
    u, d, vt = np.linalg.svd(b.T @ a)
    flip = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    power = float((a**2).sum())
    scale = float((d * flip).sum()) / max(power, 1e-300)
    off = scale * a @ (u @ np.diag(flip) @ vt).T - b
    free = max(1, a.size - 7)
    if scale <= 0 or not np.isfinite(scale):
        return None
    return scale, max(float((off**2).sum() / free / power) ** 0.5, 1e-6 * scale)


def corner_points(readings: Readings, cameras: Cameras) -> tuple[dict[tuple[int, int], NDArray[np.float64]], list[int]]:
    """(number, corner) to its point in the cameras' world, and the numbers of targets that have no one place."""
    seen: dict[int, list[tuple[int, Target]]] = {}
    for name, found in readings.items():
        if name in cameras.names:
            for one in found:
                seen.setdefault(one.number, []).append((cameras.names.index(name), one))
    points: dict[tuple[int, int], NDArray[np.float64]] = {}
    moved = []
    for number, views in sorted(seen.items()):
        if len(views) < FEWEST_VIEWS:
            continue
        placed = [_point(cameras, [(v, one.corners[k], one.sigma) for v, one in views]) for k in range(4)]
        if any(one is None for one in placed):
            moved.append(number)
            continue
        points.update({(number, k): one[0] for k, one in enumerate(placed) if one is not None and one[1]})
    return points, moved


def _point(
    cameras: Cameras, seen: Sequence[tuple[int, NDArray[np.float64], float]]
) -> tuple[NDArray[np.float64], bool] | None:
    """A point seen at px in photos with a standard deviation, and whether its rays meet at an angle that tells where;
    None if most of the photos disagree."""
    seen = list(seen)
    while len(seen) >= FEWEST_VIEWS:
        views = np.stack([cameras.views[v] for v, _, _ in seen])
        k = np.stack([cameras.intrinsics[v] for v, _, _ in seen])
        px = np.stack([at for _, at, _ in seen])
        weight = 1 / np.hypot([max(sigma, 0.02) for _, _, sigma in seen], 0.1)
        rays = np.column_stack([(px - k[:, 2:]) / k[:, :2], np.ones(len(px))])
        rays = np.einsum("vji,vj->vi", views[:, :3, :3], rays / np.linalg.norm(rays, axis=1, keepdims=True))
        across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
        centres = np.stack([cameras.centres[v] for v, _, _ in seen])
        point = np.linalg.lstsq(across.sum(0), np.einsum("vij,vj->i", across, centres), rcond=None)[0]
        for _ in range(5):
            local = np.einsum("vij,j->vi", views[:, :3, :3], point) + views[:, :3, 3]
            z = np.where(np.abs(local[:, 2]) > 1e-12, local[:, 2], 1e-12)
            off = k[:, :2] * local[:, :2] / z[:, None] + k[:, 2:] - px
            slope = np.zeros((len(seen), 2, 3))
            slope[:, 0, 0], slope[:, 1, 1] = k[:, 0] / z, k[:, 1] / z
            slope[:, :, 2] = -k[:, :2] * local[:, :2] / z[:, None] ** 2
            slope = np.einsum("vij,vjk->vik", slope, views[:, :3, :3]) * weight[:, None, None]
            rows = slope.reshape(-1, 3)
            point = point - np.linalg.lstsq(rows, (off * weight[:, None]).ravel(), rcond=None)[0]
        far = np.linalg.norm(off, axis=1)
        if far.max() <= MOVED_PX:
            angle = np.degrees(np.arccos(np.clip((rays @ rays.T).min(), -1, 1)))
            return point, bool(angle >= LEAST_ANGLE)
        if len(seen) <= 3:
            return None
        seen.pop(int(far.argmax()))
    return None
