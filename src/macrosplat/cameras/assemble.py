"""From what a file of another program says of each photo to `Cameras`: the part that all readers share.

In: photos, and per camera a name, a view and a lens of some size. Out: the photos that have one, `Cameras` of these as
they are here (upright, in their own size, undistorted), notes for the user. Whatever the format: names, shape,
orientation, and numbers that no camera has, are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.orient import TURNS, fits, stored_size, turn_of, turned
from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.cameras.undistort import colmap_camera, pinhole_of, rescaled
from macrosplat.photos.names import listed, matched, plain, without_suffix
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError

PINHOLES = ("SIMPLE_PINHOLE", "PINHOLE")
STRAIGHT = ("SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")  # pinholes, where their further parameters are 0
# How far a rotation's columns may be from orthonormal: files with four digits pass, a scale of 0.1 % does not.
RIGID_TOLERANCE = 1e-3
RESIZED = 0.02  # that the factor by which a photo was resized may differ from the others'
MOVED_PX = 1.0  # a photo may differ this much from the file's size before it is worth telling
# Focal lengths in widths of the photo: from a fisheye's to a microscope's at 1000 x. Principal points, in widths off
# the middle: crops from the corner of a large format reach 2.
FOCAL_WIDTHS = (0.05, 1e4)
CENTRE_WIDTHS = 20.0
OBLONG = 1.3  # fx / fy: calibrations have up to 1.02, anamorphic lenses, which are not for macro photos, 1.33
# A lens whose undistorted photo would need another focal length by this factor distorts nothing that a lens does.
BENDS = 3.5
# A camera that is this many times farther from the others than they are from each other is a mistake: even a macro
# shot with an overview from across the room stays below.
ASTRAY = 1e4


@dataclass(frozen=True)
class Entry:
    """What a file says of one camera."""

    where: str  # file and place, for sentences
    name: str  # of the photo, as it stands there
    view: NDArray[np.float64]  # [4, 4] world to camera, OpenCV axes
    lens: Callable[[tuple[int, int]], Distortion]  # of a size (width, height) px, that of the entry if it has one
    size: tuple[int, int] | None = None
    upright: bool = False  # whether it is known that EXIF orientations were applied; else pixels count as stored


@dataclass(frozen=True)
class Placed:
    """Photos with cameras."""

    photos: tuple[Photo, ...]
    cameras: Cameras
    entries: tuple[Entry, ...]  # of each photo
    turns: tuple[NDArray[np.float64], ...]  # [3, 3] of each photo, from the entry's axes
    unplaced: tuple[Entry, ...]  # whose photo is not there, or damaged
    unnamed: tuple[str, ...]  # photos without an entry
    resized: bool  # whether photos have another size than the file says
    notes: tuple[str, ...]


def place(
    photos: Sequence[Photo],
    entries: Sequence[Entry],
    source: str,
    there: Sequence[str] | None = None,
    twice: str = "is the second camera of one photo; remove one of them.",
) -> Placed:
    """Find the photo of every entry, and bring its camera to it.

    Args:
        there: names of the photos as the file would write them; None: `Photo.name`.
        twice: what to say of the second entry of one photo.

    Raises:
        MacrosplatError: one sentence that names the entry: two of one photo, another shape, no lens, no rigid view.
    """
    names = [photo.name for photo in photos] if there is None else list(there)
    wanted = [entry.name for entry in entries]
    first: dict[str, int] = {}
    for n, name in enumerate(wanted):
        if first.setdefault(name, n) != n:
            raise MacrosplatError(f"{entries[n].where} {twice}")
    pairs = matched(wanted, names)
    known = {without_suffix(wanted[n]) for n in pairs}
    for n, entry in enumerate(entries):
        if n not in pairs and without_suffix(entry.name) in known:
            raise MacrosplatError(f"{entry.where} {twice}")
    of = {i: entries[n] for n, i in pairs.items()}
    kept, views, intrinsics, distortions, turns, found = [], [], [], [], [], []
    moved, undecided = False, []
    factors: dict[str, float] = {}
    for i in sorted(of):
        photo, entry = photos[i], of[i]
        size = entry.size or stored_size(photo)
        upright, stored = fits(size, photo)
        if not (upright or stored):
            raise MacrosplatError(
                f"{entry.where} is for {size[0]} x {size[1]} px, but {photo.name} is {photo.width} x {photo.height}: "
                "use the photos that the cameras were made from, or resized copies of the same shape."
            )
        turn = TURNS[1]
        if photo.orientation != 1 and stored and not (upright and entry.upright):
            turn = turn_of(photo, entry.where)
            if upright and entry.size is not None:
                undecided.append(photo.name)
        lens = _turned(entry, entry.lens(size), turn)
        distortion, k = _pinhole(entry, lens, photo)
        moved |= max(abs(lens.width - photo.width), abs(lens.height - photo.height)) > MOVED_PX
        factors[photo.name] = photo.width / lens.width
        kept.append(photo)
        views.append(_rigid(entry, turn))
        intrinsics.append(k)
        distortions.append(distortion)
        turns.append(turn)
        found.append(entry)
    notes = []
    if undecided:
        notes.append(
            f"The cameras of {listed(undecided)} are taken to be of the pixels as stored, before the EXIF orientation "
            "turns them, as COLMAP and nerfstudio have it."
        )
    usual = float(np.median(list(factors.values()))) if factors else 1.0
    odd = [name for name, factor in factors.items() if abs(factor / usual - 1) > RESIZED]
    if odd and 2 * len(odd) < len(factors):
        notes.append(
            f"Resized by another factor than the others, as their cameras have it: {listed(odd)}; if they were cropped "
            "instead, their cameras are wrong."
        )
    cameras = Cameras(
        names=tuple(photo.name for photo in kept),
        views=np.array(views).reshape(-1, 4, 4),
        intrinsics=np.array(intrinsics).reshape(-1, 4),
        sizes=np.array([(photo.width, photo.height) for photo in kept], dtype=np.int64).reshape(-1, 2),
        source=source,
        distortion=tuple(distortions),
    )
    _together(cameras, found)
    unplaced = tuple(entry for n, entry in enumerate(entries) if n not in pairs)
    unnamed = tuple(photo.name for i, photo in enumerate(photos) if i not in of)
    return Placed(tuple(kept), cameras, tuple(found), tuple(turns), unplaced, unnamed, moved, tuple(notes))


def remarks(placed: Placed, what: str, dropped: Collection[str] = ()) -> list[str]:
    """Notes that hold for every format.

    Args:
        what: the file, for sentences. dropped: names of photos that are known to be damaged or empty.
    """
    notes, subject = list(placed.notes), begun(what)
    if placed.unnamed:
        notes.append(f"{subject} has no camera for {listed(placed.unnamed)}.")
    gone = matched([entry.name for entry in placed.unplaced], list(dropped)) if dropped else {}
    absent = len(placed.unplaced) - len(gone)
    if absent > 0:
        notes.append(f"{subject} has cameras of {absent} more photos, which are not in the folder.")
    if placed.resized:
        notes.append(f"The photos have another size than {what} says; its intrinsics were rescaled to them.")
    return notes


def begun(what: str) -> str:
    """What stands at the beginning of a sentence; the name of a file stays as it is."""
    return f"The {what[4:]}" if what.startswith("the ") else what


def nobody(what: str, entries: Sequence[Entry], photos: Sequence[Photo]) -> MacrosplatError:
    """What to raise if no camera of a file is of any photo."""
    names = listed([plain(entry.name, 60) for entry in entries], 3) or "none"
    return MacrosplatError(
        f"{begun(what)} knows none of the photos by name (it knows {names}; the photos are "
        f"{listed([p.name for p in photos], 3)}): remove it to have cameras found from the photos, or bring its photos."
    )


def rigid_inverse(rigid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a [4, 4] rotation and shift, without the rounding of a general inverse."""
    inverse = np.eye(4)
    inverse[:3, :3] = rigid[:3, :3].T
    inverse[:3, 3] = -rigid[:3, :3].T @ rigid[:3, 3]
    return inverse


def is_rotation(matrix: NDArray[np.float64]) -> bool:
    """Whether a finite [3, 3] is one, to the digits of a file."""
    off = np.abs(matrix.T @ matrix - np.eye(3)).max()
    return bool(off < RIGID_TOLERANCE and np.linalg.det(matrix) > 0)


def nearest_rotation(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, 3]: rounded digits must not shear the scene."""
    u, _, v = np.linalg.svd(matrix)
    return u @ v


def lens_of(
    focal: Sequence[float], centre: Sequence[float], more: Mapping[str, float], size: tuple[int, int]
) -> Distortion:
    """The simplest of COLMAP's models for Brown's distortion as OpenCV writes it: k1, k2, p1, p2, k3, k4, k5, k6.

    Args:
        focal: fx, fy px. centre: cx, cy px, a pixel's middle at +0.5.
    """
    given = [float(more.get(key, 0.0)) for key in ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")]
    start = (*map(float, focal), *map(float, centre))
    if not any(given):
        return Distortion("PINHOLE", start, *size)
    if not any(given[4:]):
        return Distortion("OPENCV", (*start, *given[:4]), *size)
    return Distortion("FULL_OPENCV", (*start, *given), *size)


def _turned(entry: Entry, lens: Distortion, turn: NDArray[np.float64]) -> Distortion:
    try:
        return turned(lens, turn)
    except ValueError as error:
        raise MacrosplatError(
            f"{entry.where} has a lens of the kind {lens.model}, and its photo an EXIF orientation: undistort the "
            "photos, or store them upright, before the cameras are made."
        ) from error


def _pinhole(entry: Entry, lens: Distortion, photo: Photo) -> tuple[Distortion | None, NDArray[np.float64]]:
    """The photo's distortion (None if it is a pinhole's already), and the pinhole [4] that it is brought to."""
    refusal = MacrosplatError(
        f"{entry.where} has a lens that no photo was taken through ({lens.model}: "
        f"{', '.join(f'{value:.4g}' for value in lens.params)}); export the cameras again."
    )
    if not (np.isfinite(lens.params).all() and lens.width > 0 and lens.height > 0):
        raise refusal
    camera = colmap_camera(lens)
    k = camera.calibration_matrix()
    intrinsics = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])
    widths = intrinsics / max(lens.width, lens.height)
    low, high = FOCAL_WIDTHS
    if not (low <= widths[:2].min() and widths[:2].max() <= high and np.abs(widths[2:] - 0.5).max() <= CENTRE_WIDTHS):
        raise refusal
    if not 1 / OBLONG < widths[0] / widths[1] < OBLONG:
        raise MacrosplatError(
            f"{entry.where} has a focal length of {intrinsics[0]:.4g} px across and {intrinsics[1]:.4g} px down, and a "
            "photo's pixels are squares; export the cameras again, of photos that are not stretched."
        )
    straight = lens.model in STRAIGHT and not any(lens.params[len(lens.params) - _further(lens) :])
    if lens.model in PINHOLES or straight:
        scale = np.array([photo.width / lens.width, photo.height / lens.height])
        return None, intrinsics * scale[[0, 1, 0, 1]]
    distortion = rescaled(lens, photo.width, photo.height)
    pinhole = pinhole_of(distortion)
    factor = pinhole[0] / (intrinsics[0] * photo.width / lens.width)
    if not (np.isfinite(pinhole).all() and 1 / BENDS < factor < BENDS):
        raise refusal
    return distortion, pinhole


def _further(lens: Distortion) -> int:
    """How many parameters follow the focal length and the principal point."""
    return len(lens.params) - (3 if lens.model in ("SIMPLE_RADIAL", "RADIAL") else 4)


def _rigid(entry: Entry, turn: NDArray[np.float64]) -> NDArray[np.float64]:
    view = np.array(entry.view, np.float64)
    if not (np.isfinite(view).all() and is_rotation(view[:3, :3])):
        raise MacrosplatError(f"{entry.where} has no rotation and shift of finite numbers; export the cameras again.")
    view[:3] = turn @ view[:3]
    return view


def _together(cameras: Cameras, entries: Sequence[Entry]) -> None:
    """
    Raises:
        MacrosplatError: a camera stands absurdly far from all the others.
    """
    if len(cameras) < 3:
        return
    centres = cameras.centres
    away = np.abs(centres - np.median(centres, 0)).max(1)
    worst, usual = int(away.argmax()), float(np.sort(away)[-2])
    if away[worst] > ASTRAY * usual > 0:
        raise MacrosplatError(
            f"{entries[worst].where} stands {away[worst] / usual:.2g} times as far off as the other cameras do; "
            "remove it, or export the cameras again."
        )
