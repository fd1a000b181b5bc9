"""Where the lens starts: a focus distance per photo and a pupil, from how sharp each photo shows the same points.

Every observation of a track (photo, pixel, depth) has a local sharpness; divided by the sharpest one of the same
track, its texture cancels. What is left peaks, over 1 / depth, where the photo is in focus, and the peak's width is the
pupil: sharpness falls like the contrast of an edge, 1 / sqrt(1 + (r / r_half)^2), with r = (D / 2) fx |1 / d0 - 1 / d|.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.lens.model import LensStart
from macrosplat.lens.prior import WIDE, PupilPrior, pupil_prior
from macrosplat.photos.decode import TABLE_8
from macrosplat.photos.records import Photo
from macrosplat.photos.resample import area_average
from macrosplat.support.threads import ordered

# px of width that sharpness is judged at, whatever the photos have: there an edge that nothing blurred is R_EDGE wide.
# At 640 px the pupil is found at 0.4 of its width (fly, fly_brackets), at 200 px at 0.6 to 1.3.
JUDGED_AT = 200
WINDOW = 9  # px: sharpness is the mean gradient over this square
R_EDGE = 2.0  # px: an unblurred edge of a photo is about as wide as a circle of confusion of this radius
# A pupil that starts too small stays so, one that is too large is shrunk by training (experiments: pupil-rate).
START_HIGH = 1.5
# Slices of one pose show the same pixels with the focus moved: they tell the pupil to a fifth (too wide).
BRACKETS_HIGH = 1.1
USUAL = 0.05  # of the distance: a pupil of which nothing is known; f/2.8 of 60 mm and f/11 of 100 mm are 0.15 and 0.04
LEAST = 12  # observations without which a photo's focus is taken from the others
CANDIDATES = 64  # focus distances tried per photo


def start_lens(
    points: SparsePoints,
    depths: NDArray[np.float64],  # [O] camera z of every observation
    cameras: Cameras,  # V, at the training width
    full_sizes: NDArray[np.int64],  # [V, 2] that `points.px` counts in
    photos: Sequence[NDArray[np.uint8]],  # V of [H, W, 3] sRGB at the training width
    records: Sequence[Photo],  # V, for their EXIF
) -> LensStart:
    """A start for the lens of V photos."""
    width = int(cameras.sizes[0, 0])
    cameras = cameras.resized(JUDGED_AT)
    sizes = [(int(w), int(h)) for w, h in cameras.sizes]
    light = ordered(lambda v: area_average(photos[v], sizes[v], TABLE_8), range(len(photos)))
    sharpness = _sharpness(points, cameras, full_sizes, light)
    best = np.zeros(len(points))
    np.maximum.at(best, points.point, sharpness)
    views = np.bincount(points.point, minlength=len(points))
    usable = (views[points.point] >= 3) & (best[points.point] > 0)
    if usable.sum() < LEAST * len(cameras):  # photos far apart: of two the sharper one tells less, and tells something
        usable = (views[points.point] >= 2) & (best[points.point] > 0)
    relative = sharpness[usable] / best[points.point[usable]]
    photo, inverse = points.photo[usable], 1 / depths[usable]
    aperture = _relative_apertures(records)
    slope = cameras.intrinsics[photo, 0] / 2 * aperture[photo]  # r = D * slope * |1/d0 - 1/d|
    exif = pupil_prior(records, cameras)
    distance = float(np.median(depths)) if len(depths) else 1.0
    bounds = (0.0, np.inf) if exif is None else (exif.least * distance, exif.most * distance)
    pupil, focus = _fit(photo, inverse, relative, slope, len(cameras), distance, bounds)
    pupil *= BRACKETS_HIGH if any(r.pose is not None for r in records) else START_HIGH
    focused = float(np.median(1 / focus))
    return LensStart(
        pupil=float(pupil) if exif is None else _within(float(pupil), exif, focused),
        focus=tuple((1 / focus).tolist()),
        aperture=tuple(aperture.tolist()),
        width=width,
        exif=exif,
    )


def _within(pupil: float, exif: PupilPrior, focused: float) -> float:
    """Where the pupil starts if EXIF knows something: high of what is expected, else within its bound."""
    if exif.expected is None:
        return min(pupil, exif.most * focused)
    return min(exif.expected * math.exp(WIDE * exif.spread), exif.most) * focused


def _fit(
    photo, inverse, relative, slope, count: int, distance: float, bounds: tuple[float, float] = (0.0, np.inf)
) -> tuple[float, NDArray[np.float64]]:
    """The pupil, within bounds, and the focus [V] (as 1 / d0) under which `relative` is least wrong, in the mean
    absolute sense; of too few observations a usual pupil, focused at `distance`."""
    if len(inverse) < LEAST:
        return float(np.clip(USUAL * distance, *bounds)), np.full(count, 1 / distance)
    low, high = np.percentile(inverse, [2, 98])
    candidates = np.linspace(low, high, CANDIDATES)
    # Across the whole range of depths r is between a fifth of an edge's width and 50 times that.
    reach = np.median(slope) * max(high - low, 1e-9 * high)
    by_photo = csr_array((np.ones(len(photo)), (photo, np.arange(len(photo)))), shape=(count, len(photo)))
    best = (np.inf, 0.0, np.empty(0))
    for pupil in np.unique(np.clip(np.geomspace(0.2, 50, 40) * R_EDGE / reach, *bounds)):
        r = pupil * slope[:, None] * np.abs(candidates - inverse[:, None])  # [O, candidates]
        wrong = np.abs(relative[:, None] - 1 / np.sqrt(1 + (r / R_EDGE) ** 2))
        per_photo = by_photo @ wrong
        seen = np.bincount(photo, minlength=count)
        choice = per_photo.argmin(1)
        choice[seen < LEAST] = np.argmin(per_photo.sum(0))
        error = per_photo[np.arange(count), choice].sum()
        if error < best[0]:
            best = (error, pupil, candidates[choice])
    return best[1], best[2]


def _sharpness(points, cameras, full_sizes, photos) -> NDArray[np.float64]:
    """[O] mean gradient of photos [H, W, 3] (linear light) around every observation, relative to the light there."""
    out = np.zeros(len(points.photo))
    for v, photo in enumerate(photos):
        seen = np.flatnonzero(points.photo == v)
        if len(seen) == 0:
            continue
        light = photo.mean(2)
        gy, gx = np.gradient(light)
        gradient, brightness = _box(np.hypot(gx, gy)), _box(light)
        px = (points.px[seen] * (cameras.sizes[v] / full_sizes[v])).astype(int)
        x, y = np.clip(px[:, 0], 0, light.shape[1] - 1), np.clip(px[:, 1], 0, light.shape[0] - 1)
        out[seen] = gradient[y, x] / (brightness[y, x] + 1e-3)
    return out


def _box(x: NDArray) -> NDArray:
    """Mean over a WINDOW x WINDOW square, edges replicated."""
    half = WINDOW // 2
    for axis in (0, 1):
        pad = [(half + 1, half) if a == axis else (0, 0) for a in (0, 1)]
        total = np.cumsum(np.pad(x, pad, mode="edge").astype(np.float64), axis=axis)
        n = x.shape[axis]
        x = (np.take(total, range(WINDOW, n + WINDOW), axis) - np.take(total, range(n), axis)) / WINDOW
    return x


def _relative_apertures(records: Sequence[Photo]) -> NDArray[np.float64]:
    """[V] pupil diameters relative to the capture's: from the f-numbers where every photo has one, else 1."""
    numbers = [photo.exif.f_number for photo in records]
    known = [n for n in numbers if n]
    if len(known) < len(numbers):
        return np.ones(len(numbers))
    return np.median(known) / np.array(known)
