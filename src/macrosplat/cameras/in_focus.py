"""How far each photo is focused, from how sharp photos show the same points, before anything is learned.

In: points that cameras see, and the photos. Out: 1 / focus distance of every photo and how sure it is.

Around an observation o of a point p a photo has local gradients of strength g; of a texture T_p blurred by a circle of
confusion of radius r they are

    ln g_o = ln T_p - ln(1 + (r / r_half)^2) / 2,    r = c fx |1 / d0 - 1 / d|.

All T_p, the focus distances d0 of the photos and c (pupil over r_half) are found together, under a Cauchy loss. To
divide by the sharpest observation of a point instead, which is blurred, too, errs by five times as much (experiments:
focal-by-focus).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.sparse import csr_array

from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.photos.decode import TABLE_8
from macrosplat.photos.read import read_photo, readers
from macrosplat.photos.records import Photo
from macrosplat.support.threads import ordered

Array = NDArray[np.float64]

JUDGED_AT = 640  # px of width, at most
WINDOW = 15  # px: gradients are averaged over this square
DARK = 1e-3  # linear light below which texture is not told from noise
NOISE = 0.3  # of ln g: what is farther from the law counts for less
CANDIDATES = 96  # focus distances tried per photo
# Of c: the middle of the depths' range is between a third and 30 times r_half when the near end is in focus.
REACHES = np.geomspace(0.3, 30, 14)
LEAST = 12  # observations without which a photo's focus is not told
FEWEST = 3  # photos of a point
MOST = 50_000  # observations: with all candidates they take 0.1 GB; of more, every so many-th point is taken
ROUNDS = 12


@dataclass(frozen=True)
class Focus:
    """Where V photos are focused."""

    nearness: Array  # [V] 1 / focus distance (camera z), 1 / scene units
    sigma: Array  # [V] its standard deviation; inf where a photo does not tell


def find_focus(points: SparsePoints, cameras: Cameras, photos: Sequence[Photo]) -> Focus:
    """The focus of V photos, by the points that three of them and more show.

    Args:
        points: observations in px of the photos as taken. cameras, photos: V, in the same order.
    """
    rows = cameras.views[points.photo, 2]
    depth = np.einsum("oi,oi->o", rows[:, :3], points.xyz[points.point]) + rows[:, 3]
    strength = _strengths(points, cameras, photos)
    kept = (strength > 0) & (depth > 0) & (points.point % (-(-len(points.photo) // MOST)) == 0)
    kept &= (np.bincount(points.point[kept], minlength=len(points.xyz)) >= FEWEST)[points.point]
    photo, point = points.photo[kept], points.point[kept]
    blind = Focus(np.full(len(cameras), np.nan), np.full(len(cameras), np.inf))
    if len(photo) == 0:
        return blind
    near, logs = 1 / depth[kept], np.log(strength[kept])
    relative = cameras.intrinsics[photo, 0] / np.median(cameras.intrinsics[:, 0])
    low, high = np.percentile(near, [1, 99])
    if not high > low:
        return blind
    fit = _Fit(photo, point, near, logs, relative, len(cameras), np.linspace(low, high, CANDIDATES))
    middle = np.full(len(cameras), float(np.median(near)))
    found = min((fit.settled(2 * reach / (high - low), middle, 3) for reach in REACHES), key=lambda one: one[1])
    for wider in (0.8, 0.9, 1.1, 1.25):
        found = min(found, fit.settled(found[0] * wider, found[2], 3), key=lambda one: one[1])
    return fit.polished(found[0], found[2])


def _strengths(points: SparsePoints, cameras: Cameras, photos: Sequence[Photo]) -> Array:
    """[O] mean gradient around every observation, relative to the light there."""

    def of(v: int) -> Array:
        width = min(JUDGED_AT, photos[v].width)
        light = TABLE_8[read_photo(photos[v], width)].mean(2)
        gradient = uniform_filter(np.hypot(*np.gradient(light)), WINDOW, mode="nearest")
        relative = gradient / (uniform_filter(light, WINDOW, mode="nearest") + DARK)
        px = (points.px[points.photo == v] * (width / cameras.sizes[v, 0])).astype(int)
        return relative[tuple(np.clip(px[:, axis], 0, relative.shape[1 - axis] - 1) for axis in (1, 0))]

    strength = np.zeros(len(points.photo))
    for v, own in enumerate(ordered(of, range(len(photos)), readers(photos))):
        strength[points.photo == v] = own
    return strength


@dataclass(frozen=True)
class _Fit:
    photo: NDArray[np.int64]  # [O]
    point: NDArray[np.int64]  # [O]
    near: Array  # [O] 1 / depth
    logs: Array  # [O] ln of the strength
    relative: Array  # [O] focal length over the median one
    count: int  # V
    candidates: Array  # of 1 / focus distance

    def dimmed(self, slope: float, nearness: Array) -> Array:
        """[O] ln of what blur leaves of the gradients."""
        return -0.5 * np.log1p((slope * self.relative * (nearness[self.photo] - self.near)) ** 2)

    def textures(self, dimmed: Array) -> Array:
        """[O] ln T of each observation's point."""
        rest, weight = self.logs - dimmed, np.ones(len(dimmed))
        for _ in range(3):
            mean = np.bincount(self.point, weight * rest) / np.maximum(np.bincount(self.point, weight), 1e-12)
            weight = 1 / (1 + ((rest - mean[self.point]) / NOISE) ** 2)
        return mean[self.point]

    def settled(self, slope: float, nearness: Array, rounds: int) -> tuple[float, float, Array]:
        """With `slope` = c fx: itself, the cost, and the nearness [V] that goes with it."""
        by_photo = csr_array(
            (np.ones(len(self.photo)), (self.photo, np.arange(len(self.photo)))), shape=(self.count, len(self.photo))
        )
        seen = np.bincount(self.photo, minlength=self.count) >= LEAST
        blur = np.log1p((slope * self.relative[:, None] * (self.candidates - self.near[:, None])) ** 2)
        cost, step = np.inf, self.candidates[1] - self.candidates[0]
        for _ in range(rounds):
            rest = self.logs - self.textures(self.dimmed(slope, nearness))
            costs = by_photo @ np.log1p(((rest[:, None] + 0.5 * blur) / NOISE) ** 2)  # [V, candidates]
            at = np.clip(costs.argmin(1), 1, len(self.candidates) - 2)
            before, here, after = (np.take_along_axis(costs, (at + k)[:, None], 1)[:, 0] for k in (-1, 0, 1))
            bend = before - 2 * here + after
            inside = np.clip(0.5 * (before - after) / np.where(bend > 0, bend, np.inf), -1, 1)
            now = np.where(seen, self.candidates[at] + step * inside, np.median(self.near))
            moved, nearness, cost = float(np.abs(now - nearness).max()), now, float(here.sum())
            if moved < 1e-3 * step:
                break
        return slope, cost, nearness

    def polished(self, slope: float, nearness: Array) -> Focus:
        """Gauss-Newton steps in ln(slope) and all nearnesses from there, the textures eliminated."""
        seen = np.bincount(self.photo, minlength=self.count) >= LEAST
        step, inverse, square = self.candidates[1] - self.candidates[0], np.zeros((self.count + 1,) * 2), 0.0
        for _ in range(ROUNDS):
            away = slope * self.relative * (nearness[self.photo] - self.near)
            rest = self.logs + 0.5 * np.log1p(away**2)
            rest -= self.textures(-0.5 * np.log1p(away**2))
            weight = 1 / (1 + (rest / NOISE) ** 2)
            by_slope, by_focus = -(away**2) / (1 + away**2), -slope * self.relative * away / (1 + away**2)
            one = np.arange(len(rest))
            rows, columns = np.tile(one, 2), np.concatenate([self.photo, np.full(len(rest), self.count)])
            slopes = np.concatenate([by_focus * step * seen[self.photo], by_slope])
            total = np.maximum(np.bincount(self.point, weight), 1e-12)[self.point]
            # Jacobian [O, V + 1], plain and weighted; what makes weighted sums and means over the points of [O, ...].
            steep, weighed = (csr_array((x, (rows, columns))) for x in (slopes, np.tile(weight, 2) * slopes))
            sums, means = (csr_array((x, (self.point, one))) for x in (weight, weight / total))
            normal = _dense(steep.T @ weighed) - _dense((sums @ steep).T @ (means @ steep))
            target = weighed.T @ rest - (sums @ steep).T @ (means @ rest)
            inverse = np.linalg.pinv(normal, hermitian=True)
            along = np.clip(inverse @ target, -1, 1)
            nearness, slope = nearness + step * along[:-1], slope * float(np.exp(along[-1]))
            square = float((weight * rest**2).sum() / max(weight.sum() - len(np.unique(self.point)) - self.count, 1.0))
            if np.abs(along).max() < 1e-3:
                break
        sigma = step * np.sqrt(np.maximum(np.diag(inverse)[:-1] * square, 0))
        inside = (nearness > self.candidates[0]) & (nearness < self.candidates[-1])
        return Focus(nearness, np.where(seen & inside & (sigma > 0), sigma, np.inf))


def _dense(sparse: Any) -> Array:
    return sparse.toarray()
