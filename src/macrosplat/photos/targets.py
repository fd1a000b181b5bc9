"""Coded targets in a photo: squares of black and white cells, each with a number, printed and laid around an object.

In: a photo's pixels. Out: a `Target` for every one that can be told for sure: its number and where its corners lie,
px with pixel centres at +0.5. Needs OpenCV, which finds the quadrilaterals; what they are is decided here, so that blur
does not hide them: a target is rendered as a lens would photograph it, with the blur, the light and the corners free,
and compared with the pixels in linear light. Read is what fits well, and any other number far worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from macrosplat.photos.resample import area_average
from macrosplat.support.colour import to_linear
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.extras import install

DEFAULT = "APRILTAG_36h11"  # of OpenCV's names
# Cells of white about a target that belong to it, and samples per cell in which numbers are compared.
QUIET, SAMPLES = 1, 2
# Radii of discs, in cells, that the numbers are blurred by before they are compared with what is seen.
RADII = (0.0, 0.5, 0.9, 1.3, 1.7)
# Shares of the photo's size at which quadrilaterals are sought: outlines wider than a few px are none to OpenCV.
SCALES = (1.0, 0.5, 0.25)
SMALLEST = 12.0  # px: a side of less has no cells left to read
# Correlation of the cells with a number's, before and after its corners are fitted, and by how much the next number
# has to be worse (experiments: coded-targets).
LIKELY, FITS, APART = 0.55, 0.96, 0.12
FITTED_SIDE = 32  # px: a larger target is reduced to this before it is fitted
FEWEST_PX = 50  # that a fit needs
# Of the fit, px of the reduced picture: by what the slope is taken, the longest step, and when it has settled.
STEPS, STEP, LONGEST, SETTLED = 8, 0.05, 1.0, 0.01
OVERSAMPLED = 2  # per px, of a rendered target
WORST_PX = 1.0  # of a corner's standard deviation: a tie point worse than this is none


@dataclass(frozen=True)
class Target:
    """A target that was read."""

    number: int
    corners: NDArray  # [4, 2] px, the first of the drawing first, clockwise
    sigma: float  # px, standard deviation of a corner's coordinate
    blur: float  # px, radius of the disc that it is blurred by
    fit: float  # correlation of the pixels with the rendered target, 1: alike


class Family:
    """The targets of a dictionary."""

    def __init__(self, name: str) -> None:
        """Args: name: as OpenCV calls it, without DICT_.

        Raises:
            MacrosplatError: there is none of this name, or OpenCV is missing.
        """
        aruco = opencv().aruco
        known = {
            one.removeprefix("DICT_").lower(): getattr(aruco, one) for one in dir(aruco) if one.startswith("DICT_")
        }
        if name.lower() not in known:
            some = "APRILTAG_36h11, APRILTAG_25h9, ARUCO_ORIGINAL, 4X4_50, 5X5_100, 6X6_250"
            raise MacrosplatError(f"{name} is no family of coded targets; known are {some} and others of OpenCV.")
        self.name = name
        self.dictionary = aruco.getPredefinedDictionary(known[name.lower()])
        self.count = len(self.dictionary.bytesList)
        self.cells = self.dictionary.markerSize + 2  # black border included

    def drawing(self, number: int, px: int = 1) -> NDArray[np.uint8]:
        """[cells * px, cells * px] 0 or 255: the target as it is printed, without its white margin."""
        cells = opencv().aruco.generateImageMarker(self.dictionary, number, self.cells, borderBits=1)
        return np.kron(cells, np.ones((px, px), np.uint8))

    @property
    def patterns(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """[N, S] of unit length and zero mean, of every number, turn and blur, and [N, 2] which number and turn."""
        return _patterns(self.name)


def opencv() -> Any:
    """The package.

    Raises:
        MacrosplatError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MacrosplatError(f"Coded targets need OpenCV; install it with: {install('targets')}.") from error
    return cv2


def read_targets(photo: NDArray[np.uint8], family: Family) -> list[Target]:
    """The targets in a photo [H, W, 3] or [H, W] sRGB, by number; those that are not sure are left out.

    A number that is seen twice is left out, too: one of them is a copy.
    """
    light = to_linear(photo.astype(np.float32) / 255)
    light = np.ascontiguousarray(light.mean(2) if light.ndim == 3 else light, np.float64)
    read: dict[int, Target] = {}
    twice: set[int] = set()
    done: list[NDArray] = []
    for quad in _quads(photo, family):
        if any(_inside(quad.mean(0), other) for other in done):
            continue
        target = _read(light, quad, family)
        if target is None:
            continue
        done.append(target.corners)
        if target.number in read:
            twice.add(target.number)
        read[target.number] = target
    return [read[number] for number in sorted(read) if number not in twice]


def _quads(photo: NDArray[np.uint8], family: Family) -> list[NDArray]:
    """[4, 2] each: quadrilaterals that may be targets, the largest first (a target has others inside)."""
    cv2 = opencv()
    grey = photo if photo.ndim == 2 else cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    found = []
    for scale in SCALES:
        size = round(grey.shape[1] * scale), round(grey.shape[0] * scale)
        if min(size) < 4 * SMALLEST:
            break
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if scale < 1 else grey
        options = cv2.aruco.DetectorParameters()
        options.adaptiveThreshWinSizeMin, options.adaptiveThreshWinSizeMax = 5, max(45, min(size) // 8)
        options.adaptiveThreshWinSizeStep = 10 if scale < 1 else 20
        options.minMarkerPerimeterRate = 4 * SMALLEST / max(size)
        options.polygonalApproxAccuracyRate = 0.06
        options.minCornerDistanceRate, options.minMarkerDistanceRate = 0.02, 0.01
        options.minDistanceToBorder = 1
        corners, _, others = cv2.aruco.ArucoDetector(family.dictionary, options).detectMarkers(small)
        shares = np.array([grey.shape[1], grey.shape[0]]) / size
        found += [(np.asarray(one, np.float64).reshape(4, 2) + 0.5) * shares for one in (*corners, *others)]
    return sorted(found, key=lambda quad: -_area(quad))


def _read(light: NDArray, quad: NDArray, family: Family) -> Target | None:
    """The target that a quadrilateral is of, with its corners where they fit best."""
    if min(np.linalg.norm(quad - np.roll(quad, 1, 0), axis=1)) < SMALLEST:
        return None
    found = _numbered(light, quad, family)
    if found is None or found[2] < LIKELY:
        return None
    for _ in range(2):
        number, turn, _, _ = found
        target = _fitted(light, np.roll(quad, -turn, 0), family, number)
        if target is None:
            return None
        again = _numbered(light, target.corners, family)
        if again is None:
            return None
        if again[:2] == (number, 0):
            sure = target.fit >= FITS and again[2] - again[3] >= APART and target.sigma <= WORST_PX
            return target if sure else None
        quad, found = target.corners, again
    return None


def _numbered(light: NDArray, quad: NDArray, family: Family) -> tuple[int, int, float, float] | None:
    """Number, quarter turns, its correlation with what is seen, and the best of any other number's; None: nothing."""
    seen = _sampled(light, quad, family.cells)
    if seen is None:
        return None
    patterns, which = family.patterns
    alike = patterns @ seen
    best = int(alike.argmax())
    number, turn = which[best]
    others = alike[which[:, 0] != number]
    return int(number), int(turn), float(alike[best]), float(others.max(initial=-1.0))


def _sampled(light: NDArray, quad: NDArray, cells: int) -> NDArray[np.float32] | None:
    """[S] the inner cells of a quadrilateral, of zero mean and unit length; None if they are alike, or outside."""
    map_ = homography(_square(cells), quad)
    at = np.arange(1, cells - 1, 1 / SAMPLES) + 0.5 / SAMPLES
    x, y = _mapped(map_, *np.meshgrid(at, at))
    if x.min() < 0 or y.min() < 0 or x.max() > light.shape[1] or y.max() > light.shape[0]:
        return None
    seen = map_coordinates(light, [y - 0.5, x - 0.5], order=1, mode="nearest").ravel()
    seen = seen - seen.mean()
    length = np.linalg.norm(seen)
    return None if length < 1e-3 * len(seen) ** 0.5 else (seen / length).astype(np.float32)


@cache
def _patterns(name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Blur is linear: what every cell by itself is seen as, for each radius, makes all numbers."""
    family, fine = Family(name), 6  # samples per cell before the blur
    side = family.cells + 2 * QUIET
    drawn = np.stack([np.pad(family.drawing(n) / 255.0, QUIET, constant_values=1.0) for n in range(family.count)])
    border, step = (1 + QUIET) * fine, fine // SAMPLES
    rows, which = [], []
    for radius in RADII:
        spread = []
        for cell in np.eye(side * side).reshape(-1, side, side):
            blurred = _blurred(np.kron(np.pad(cell, 2, mode="edge"), np.ones((fine, fine))), radius * fine)
            inner = blurred[2 * fine + border : -2 * fine - border, 2 * fine + border : -2 * fine - border]
            spread.append(inner.reshape(len(inner) // step, step, -1, step).mean((1, 3)))
        seen = np.tensordot(drawn.reshape(len(drawn), -1), np.stack(spread), 1)
        for turn in range(4):
            # As the corners stand when the first of the drawing is the quadrilateral's corner `turn`.
            turned = np.rot90(seen, -turn, (1, 2)).reshape(len(seen), -1)
            turned = turned - turned.mean(1, keepdims=True)
            rows.append(turned / np.linalg.norm(turned, axis=1, keepdims=True))
            which += [(number, turn) for number in range(family.count)]
    return np.concatenate(rows).astype(np.float32), np.array(which)


def _fitted(light: NDArray, quad: NDArray, family: Family, number: int) -> Target | None:
    """The corners, blur and light with which the rendered target is most like the pixels about it."""
    low = np.floor(quad.min(0) - 0.3 * np.ptp(quad, 0)).astype(int).clip(0)
    high = np.ceil(quad.max(0) + 0.3 * np.ptp(quad, 0)).astype(int).clip(0, np.array(light.shape[::-1]))
    if (high - low).min() < SMALLEST:
        return None
    crop = light[low[1] : high[1], low[0] : high[0]]
    reduced = min(1.0, FITTED_SIDE / float(np.sqrt(_area(quad))))
    rows, columns = (max(8, round(n * reduced)) for n in crop.shape)
    size = columns, rows
    crop = area_average(crop[..., None].astype(np.float32), size)[..., 0].astype(np.float64)
    shares = np.array(size) / (high - low)
    cells = np.pad(family.drawing(number) / 255.0, QUIET, constant_values=1.0)
    found = np.concatenate([((quad - low) * shares).ravel(), [1.0]])
    weight = np.zeros_like(crop)

    def residual(values: NDArray) -> NDArray:
        drawn = _rendered(values, cells, crop.shape)
        return ((_lit(drawn, crop, weight)[0] - crop) * weight).ravel()

    # Gauss and Newton: the residuals are nearly linear in what is sought, within half a cell.
    off, jacobian, worst = np.zeros(0), np.zeros((0, 9)), np.inf
    for turn in range(STEPS):
        if turn in (0, 2):  # what counts depends on where the target is
            weight = _known(found, family.cells, crop.shape)
            if weight.sum() < FEWEST_PX:
                return None
        off = residual(found)
        jacobian = np.stack([(residual(found + step) - off) / STEP for step in STEP * np.eye(9)], 1)
        change = np.linalg.lstsq(jacobian.T @ jacobian + 1e-9 * np.eye(9), -jacobian.T @ off, rcond=None)[0]
        worst = float(np.abs(change).max())
        found = found + change * min(1.0, LONGEST / max(worst, 1e-9))
        if worst < SETTLED and turn > 2:
            break
    if not np.isfinite(found).all() or worst > 0.5:
        return None
    off = residual(found)
    level = _lit(_rendered(found, cells, crop.shape), crop, weight)[1]
    if level <= 0:
        return None
    count = float(weight.sum())
    mean = (crop * weight).sum() / count
    fit = 1 - float((off**2).sum() / max(1e-30, (((crop - mean) * weight) ** 2).sum()))
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * (off**2).sum() / max(1.0, count - 13)
    sigma = float(np.sqrt(np.diag(covariance)[:8].mean())) / float(shares.mean())
    corners = found[:8].reshape(4, 2) / shares + low
    return Target(number, corners, sigma, abs(float(found[8])) / float(shares.mean()), max(0.0, fit) ** 0.5)


def _rendered(values: NDArray, cells: NDArray, shape: tuple[int, ...]) -> NDArray:
    """[h, w] the target between 0 and 1, blurred by a disc.

    Args: values: [9] four corners, px, and the radius of the disc.
    """
    side, radius = len(cells) - 2 * QUIET, abs(values[8])
    margin = int(np.ceil(radius)) + 1
    u, v = _cells_at(values, side, shape, margin, OVERSAMPLED)
    # Cells change over a sample, not at once: the corners would have no gradient else.
    width = side / np.sqrt(max(1e-9, _area(values[:8].reshape(4, 2)))) / OVERSAMPLED
    drawn = _blurred(_soft(cells, u + QUIET, v + QUIET, width), radius * OVERSAMPLED)
    inner = slice(margin * OVERSAMPLED, -margin * OVERSAMPLED)
    return drawn[inner, inner].reshape(shape[0], OVERSAMPLED, shape[1], OVERSAMPLED).mean((1, 3))


def _known(values: NDArray, side: int, shape: tuple[int, ...]) -> NDArray:
    """[h, w] 1 where the target and its white margin alone are seen, through the disc, too."""
    margin = int(np.ceil(abs(values[8]))) + 1
    u, v = _cells_at(values, side, shape, margin, 1)
    inside = ((u > -QUIET) & (v > -QUIET) & (u < side + QUIET) & (v < side + QUIET)).astype(np.float64)
    return (_blurred(inside, abs(values[8]))[margin:-margin, margin:-margin] > 0.99).astype(np.float64)


def _cells_at(values: NDArray, side: int, shape: tuple[int, ...], margin: int, fine: int) -> tuple[NDArray, NDArray]:
    """The cell that every sample lies in, `fine` of them per px, `margin` px about the picture, too."""
    rows, columns = ((np.arange(-margin * fine, (n + margin) * fine) + 0.5) / fine for n in shape)
    back = np.linalg.pinv(homography(_square(side), values[:8].reshape(4, 2)))
    return _mapped(back, *np.meshgrid(columns, rows))


def _soft(cells: NDArray, u: NDArray, v: NDArray, width: float) -> NDArray:
    """The cells at (u, v), each edge a ramp of `width` cells."""
    last = len(cells) - 1

    def along(x: NDArray) -> tuple[NDArray, NDArray]:
        nearest = np.clip(np.rint(x), 1, last)  # the edge that is nearest
        share = np.clip((x - nearest) / width + 0.5, 0, 1)
        return nearest.astype(int), share

    (column, right), (row, down) = along(u), along(v)
    return (
        cells[row - 1, column - 1] * (1 - right) * (1 - down)
        + cells[row - 1, column] * right * (1 - down)
        + cells[row, column - 1] * (1 - right) * down
        + cells[row, column] * right * down
    )


def _lit(drawn: NDArray, seen: NDArray, weight: NDArray) -> tuple[NDArray, float]:
    """The drawing in the light that fits best: black and white, and a fall of light across both; and how far white
    is above black."""
    y, x = np.mgrid[-1 : 1 : seen.shape[0] * 1j, -1 : 1 : seen.shape[1] * 1j]
    basis = np.stack([np.ones_like(drawn), drawn, drawn * x, drawn * y], -1)
    weighted = (basis * weight[..., None]).reshape(-1, 4)
    normal = weighted.T @ weighted + 1e-9 * np.eye(4)
    factors = np.linalg.solve(normal, weighted.T @ (seen * weight).ravel())
    return basis @ factors, float(factors[1])


def _blurred(picture: NDArray, radius: float) -> NDArray:
    if radius <= 0:
        return picture
    return np.asarray(opencv().filter2D(picture, -1, disc(radius), borderType=opencv().BORDER_REPLICATE))


def disc(radius: float) -> NDArray:
    """A disc of a radius in px whose sum is 1, its rim over a px."""
    reach = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    weight = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return weight / weight.sum()


def homography(source: NDArray, target: NDArray) -> NDArray:
    """[3, 3] that takes four points [4, 2] to four others."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), target.ravel()), 1.0).reshape(3, 3)


def _mapped(map_: NDArray, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    w = map_[2, 0] * x + map_[2, 1] * y + map_[2, 2]
    return (map_[0, 0] * x + map_[0, 1] * y + map_[0, 2]) / w, (map_[1, 0] * x + map_[1, 1] * y + map_[1, 2]) / w


def _square(side: float) -> NDArray:
    return np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float64)


def _area(quad: NDArray) -> float:
    x, y = quad.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _inside(point: NDArray, quad: NDArray) -> bool:
    edges, to_point = np.roll(quad, -1, 0) - quad, point - quad
    cross = edges[:, 0] * to_point[:, 1] - edges[:, 1] * to_point[:, 0]
    return bool((cross > 0).all() or (cross < 0).all())
