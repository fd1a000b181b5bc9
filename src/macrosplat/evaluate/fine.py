"""How a picture fares by how blurred its photo was, and how much of the truth's fine detail it has.

In: a picture and its truth, sRGB [H, W, 3] in [0, 1]; the radius [H, W] px of the photo's circles of confusion; what
counts [H, W]. Out: `Fine`, sums that can be added up over photos.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from macrosplat.support.metrics import LEAST_ERROR, Mask, Srgb, squared_error_map

EDGES = (0.5, 1.0, 2.0, 4.0, 8.0)  # px, between the buckets
BUCKETS = ("r < 0.5", "0.5 to 1", "1 to 2", "2 to 4", "4 to 8", "r > 8")
IN_FOCUS = 2  # buckets
LEAST = 64  # px: of fewer in a bucket no figure is given
HALF = 0.25  # cycles / px: half of the Nyquist frequency


@dataclass(frozen=True)
class Fine:
    """Sums over the pixels that count."""

    squared: tuple[float, ...]  # of squared errors, by bucket
    pixels: tuple[int, ...]  # by bucket; none where the radius is not known
    energies: tuple[float, ...]  # by bucket, as `energy` and `true_energy`
    true_energies: tuple[float, ...]
    energy: float  # above half of the Nyquist frequency, of the picture
    true_energy: float  # of the truth
    common: float  # of the product of the two

    def psnr(self) -> dict[str, float]:
        """dB by bucket, of those that have pixels enough."""
        return {
            bucket: -10 * math.log10(max(squared / count, LEAST_ERROR))
            for bucket, squared, count in zip(BUCKETS, self.squared, self.pixels, strict=False)
            if count >= LEAST
        }

    def sharpness_by_radius(self) -> dict[str, float]:
        """As `sharpness`, by bucket: blurred photos hold most of what a picture could lack."""
        return {
            bucket: own / max(true, LEAST_ERROR)
            for bucket, own, true, count in zip(BUCKETS, self.energies, self.true_energies, self.pixels, strict=False)
            if count >= LEAST
        }

    @property
    def sharpness_in_focus(self) -> float | None:
        """As `sharpness`, of what has a radius below 1 px; None: too little has."""
        if sum(self.pixels[:IN_FOCUS]) < LEAST:
            return None
        return sum(self.energies[:IN_FOCUS]) / max(sum(self.true_energies[:IN_FOCUS]), LEAST_ERROR)

    @property
    def sharpness(self) -> float:
        """Energy above half of the Nyquist frequency over the truth's: 1 is as sharp; grain counts, too."""
        return self.energy / max(self.true_energy, LEAST_ERROR)

    @property
    def likeness(self) -> float:
        """Correlation with the truth above half of the Nyquist frequency: 1 is the same detail, 0 is grain."""
        return self.common / math.sqrt(max(self.energy * self.true_energy, LEAST_ERROR**2))


def fine(test: Srgb, truth: Srgb, radius: NDArray[np.floating] | None, mask: Mask | None) -> Fine:
    """Measure one picture; without a mask all pixels count."""
    counts = np.ones(truth.shape[:2], bool) if mask is None or not mask.any() else mask
    assert test.shape == truth.shape and counts.shape == truth.shape[:2], f"{test.shape}, {truth.shape}, {counts.shape}"
    own, true = (finest(picture)[counts] for picture in (test, truth))
    squared: list[float] = []
    pixels: list[int] = []
    own_energies: list[float] = []
    true_energies: list[float] = []
    if radius is not None:
        assert radius.shape == truth.shape[:2], f"radius {radius.shape} of {truth.shape}"
        bucket = np.digitize(radius[counts], EDGES)
        pixels = np.bincount(bucket, minlength=len(BUCKETS)).tolist()
        squared = np.bincount(bucket, squared_error_map(test, truth)[counts], len(BUCKETS)).tolist()
        own_energies, true_energies = (np.bincount(bucket, band * band, len(BUCKETS)).tolist() for band in (own, true))
    energies = (float(np.sum(a * b, dtype=np.float64)) for a, b in ((own, own), (true, true), (own, true)))
    return Fine(tuple(squared), tuple(pixels), tuple(own_energies), tuple(true_energies), *energies)


def together(parts: Iterable[Fine]) -> Fine:
    """As if the photos were one."""
    parts = list(parts)
    known = [part for part in parts if part.pixels]
    return Fine(
        tuple(float(sum(column)) for column in zip(*(part.squared for part in known), strict=True)),
        tuple(sum(column) for column in zip(*(part.pixels for part in known), strict=True)),
        tuple(sum(column) for column in zip(*(part.energies for part in known), strict=True)),
        tuple(sum(column) for column in zip(*(part.true_energies for part in known), strict=True)),
        sum(part.energy for part in parts),
        sum(part.true_energy for part in parts),
        sum(part.common for part in parts),
    )


def finest(picture: Srgb) -> NDArray[np.float32]:
    """[H, W] what of the mean of the channels lies above half of the Nyquist frequency.

    By the cosine transform, whose pictures go on mirrored: the border is no edge.
    """
    grey = picture.mean(2, dtype=np.float32)
    spectrum = np.asarray(dctn(grey, norm="ortho", overwrite_x=True))
    down, across = (0.5 * np.arange(size, dtype=np.float32) / size for size in grey.shape)
    spectrum[np.hypot(down[:, None], across[None]) < HALF] = 0
    return np.asarray(idctn(spectrum, norm="ortho", overwrite_x=True))
