"""The exposure of each photo: a gain per channel of its linear light, which is its white balance, too.

A gain is one number for all of a photo's pixels: it cannot take the place of a blur, with which it may change places.
The scene has the mean exposure: logarithms of the gains are 0 in the mean over the photos, in each channel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.sparse import csr_matrix
from torch import Tensor

from macrosplat.cameras.parts import parts_of
from macrosplat.cameras.records import SparsePoints
from macrosplat.photos.records import Photo
from macrosplat.support.colour import to_linear
from macrosplat.support.dispatch import kind_of, on_gpu, select_row
from macrosplat.support.threads import ordered, workers

LN2 = 0.6931471805599453  # a stop
PATCH = 0.02  # of the width: side of the squares whose light is compared between photos; wider than most blur
FAINTEST = 0.004  # linear: darker patches are noise, flare and the steps of 8 bits
BRIGHTEST = 0.8  # linear: brighter ones may hold pixels that are cut off at white
# What gains may leave of the differences between points of a part of the thing that they were not found by, to be
# learned; without and with EXIF that tells the exposures: gloss leaves more than photos whose exposures differ
# (experiments: exposure-gains). And so many parts.
PLAIN, PLAIN_IF_TOLD = 0.84, 0.75
PARTS = 8
# ln, the mean of what may be left where gains contradict EXIF: where an object turns below fixed lamps more is.
LEFT = 0.1
EQUAL_STOPS = 0.05  # apart at the most, by EXIF: less is rounding
ROUNDS = 12  # of reweighting, after which gains move by less than 0.1 %
LOOKING = 40  # bytes per pixel of a photo whose light is looked at
ROUND = 0.01  # differences in ln below this count as least squares do, larger ones by their absolute value


class Exposure:
    """photo = gain * what the lens makes of the scene."""

    def __init__(self, log_gains: Tensor) -> None:
        assert log_gains.ndim == 2 and log_gains.shape[1] == 3, f"log_gains has shape {tuple(log_gains.shape)}"
        self.log_gains = log_gains  # [V, 3] ln, up to one number per channel

    def gain(self, photo: int | Tensor) -> Tensor:
        """[3] of a photo (a number, or [1] on the device)."""
        return (select_row(self.log_gains, photo) - self.log_gains.mean(0)).exp()

    def expose(self, light: Tensor, photo: int | Tensor | None, gain: Tensor | None = None) -> Tensor:
        """[H, W, C] in the scene's light as a photo shows it (None: as it is); what is no colour is left alone.

        `gain` is that photo's, for who has it already.
        """
        if photo is None:
            return light
        gain = self.gain(photo) if gain is None else gain
        if on_gpu(light):
            from macrosplat.model.light_cuda import Expose

            return Expose.apply(light, gain)  # type: ignore[return-value]
        if light.dtype == torch.float32 and kind_of(light.device) == "cpu":
            from macrosplat.model import light_cpu

            return light_cpu.Expose.apply(light, gain)  # type: ignore[return-value]
        return light * torch.cat([gain, gain.new_ones(light.shape[-1] - 3)]) if light.shape[-1] > 3 else light * gain

    def stops(self) -> list[list[float]]:
        """[V][3] what was found: log2 of the gains."""
        with torch.no_grad():
            return ((self.log_gains - self.log_gains.mean(0)) / LN2).tolist()


@dataclass(frozen=True)
class ExposureStart:
    """The gains that training begins with, and whether it may change them."""

    exposure: Exposure
    learned: bool  # False: the photos were exposed alike, or as EXIF says


def start_exposure(
    points: SparsePoints,
    photos: Sequence[NDArray[np.uint8]],  # V of [H, W, 3] sRGB at the training width
    full_sizes: NDArray[np.int64],  # [V, 2] width, height that `points.px` counts in
    records: Sequence[Photo] = (),  # V, for their EXIF
) -> ExposureStart:
    """The gains with which the photos agree best about the light of the points that they share, if they are plainly
    needed: gains also fit gloss and shading, which turn with the camera.

    ln of the light around observation o is a point's plus a photo's; the sum of absolute differences is least
    (iteratively reweighted least squares, the points eliminated). Photo terms that are found without a part of the
    thing leave its differences as they are where all photos had one exposure, since gloss differs from part to part,
    and much smaller where they had not. What EXIF tells of every photo is believed, unless the photos agree better
    without it (they were developed alike), or gains are plainer still.
    """
    light, usable = _around(points, photos, full_sizes)
    count, stops = len(photos), exif_stops(records)
    told = np.zeros(count) if stops is None or float(np.ptp(stops)) < EQUAL_STOPS else LN2 * stops
    found, alike, as_told, apart, elsewhere = np.zeros((count, 3)), 0.0, 0.0, 0.0, 0.0
    part = parts_of(np.asarray(points.xyz, np.float64), PARTS)
    for channel in range(3):
        kept = usable[:, channel]
        if kept.any():
            value, point, photo = np.log(light[kept, channel]), points.point[kept], points.photo[kept]
            found[:, channel] = _agreed(value, point, photo, len(points), count)
            alike += _differences(value, point)
            as_told += _differences(value - told[photo], point)
            apart += _differences(value - found[photo, channel], point)
            for n in range(PARTS):
                held = part[point] == n
                gains = _agreed(value[~held], point[~held], photo[~held], len(points), count)
                elsewhere += _differences(value[held] - gains[photo[held]], point[held])
    if as_told >= alike:
        told, as_told = 0 * told, alike
    learned = elsewhere < (PLAIN if stops is None else PLAIN_IF_TOLD) * as_told
    if stops is not None and apart > LEFT * usable.sum():  # a flash or flicker would explain the differences
        learned = False
    gains = found if learned else np.repeat(told[:, None], 3, 1)
    return ExposureStart(Exposure(torch.tensor(gains, dtype=torch.float32)), learned)


def exif_stops(records: Sequence[Photo]) -> NDArray[np.float64] | None:
    """[V] log2 of the exposures by time, f-number and, where it is known, ISO, of mean 0; None where not every photo
    has its time and its f-number, or only some have their ISO."""
    stops, isos = [], {photo.exif.iso is None for photo in records}
    for photo in records:
        seconds, number = photo.exif.seconds, photo.exif.f_number
        if seconds is None or number is None or len(isos) > 1:
            return None
        stops.append(math.log2(seconds * (photo.exif.iso or 1) / number**2))
    return np.array([stop - sum(stops) / len(stops) for stop in stops]) if stops else None


def _differences(value: NDArray[np.float64], point: NDArray[np.int64]) -> float:
    """Sum of the absolute differences from each point's median."""
    order = np.lexsort((value, point))
    value, point = value[order], point[order]
    first = np.flatnonzero(np.r_[True, point[1:] != point[:-1]])
    counts = np.diff(np.r_[first, len(point)])
    middle = (value[first + (counts - 1) // 2] + value[first + counts // 2]) / 2
    return float(np.abs(value - np.repeat(middle, counts)).sum())


def _around(
    points: SparsePoints, photos: Sequence[NDArray[np.uint8]], full_sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """[O, 3] mean linear light around each observation, and whether it can be compared."""
    light = np.zeros((len(points.photo), 3))
    levels = to_linear(np.arange(256, dtype=np.float32) / 255)

    def look(v: int) -> None:
        photo, seen = photos[v], np.flatnonzero(points.photo == v)
        height, width = photo.shape[:2]
        side = max(1, round(PATCH * width))
        mean = levels[photo]
        for axis in (0, 1):
            mean = uniform_filter1d(mean, side, axis, mode="nearest")
        at = (points.px[seen] * (width / full_sizes[v, 0], height / full_sizes[v, 1])).astype(int)
        light[seen] = mean[at[:, 1].clip(0, height - 1), at[:, 0].clip(0, width - 1)]

    for _ in ordered(look, range(len(photos)), workers(LOOKING * photos[0][..., 0].size)):
        pass
    return light, (light > FAINTEST) & (light < BRIGHTEST)


def _agreed(
    value: NDArray[np.float64], point: NDArray[np.int64], photo: NDArray[np.int64], n: int, count: int
) -> NDArray[np.float64]:
    """[count] photo terms, of mean 0, of `value` = point's + photo's with the least sum of absolute differences."""
    of_photo, of_point, weight = np.zeros(count), np.zeros(n), np.ones(len(value))
    for _ in range(ROUNDS):
        table = csr_matrix((weight, (point, photo)), shape=(n, count))
        total = np.maximum(np.asarray(table.sum(1))[:, 0], 1e-12)  # of each point
        sums = csr_matrix((weight * value, (point, photo)), shape=(n, count))
        mean = np.asarray(sums.sum(1))[:, 0] / total
        scaled = csr_matrix((weight / total[point], (point, photo)), shape=(n, count))
        normal = np.diag(np.asarray(table.sum(0))[0]) - (table.T @ scaled).toarray()
        right = np.asarray(sums.sum(0))[0] - table.T @ mean
        of_photo = np.linalg.lstsq(normal, right, rcond=1e-9)[0]  # the shortest solution has mean 0
        of_point = mean - (scaled @ of_photo)
        weight = 1 / np.maximum(np.abs(value - of_point[point] - of_photo[photo]), ROUND)
    return of_photo - of_photo.mean()
