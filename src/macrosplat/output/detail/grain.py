"""A photo's grain: what its finest octave holds where blur has left nothing of the scene.

In: a photo, the radius claimed, px. Out: the variance of that octave by brightness (light comes in photons: what is
brighter has more grain, and a tone curve changes that again). Blurred things and highlights hold something of it, too,
and more of the next octave; white grain holds an eighth of its own there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.output.detail.evidence import BLURRED, FINER
from macrosplat.output.detail.pyramid import laplacian

CELL = 8  # px: variance is measured in squares of that size
BINS = 8  # of brightness
FEWEST = 50  # squares of a bin
SHARE = 0.15  # of the blurred squares have less than what counts as grain: some hold more than it
SCENE = 0.5  # energy of what is no grain in the finest octave, over the next one's, at the least


@dataclass(frozen=True)
class Grain:
    """Variance of the finest octave of one photo, mean of its channels; between and beyond: interpolated, held."""

    brightness: NDArray[np.float64]  # [K] rising, mean sRGB in 0 ... 1
    variance: NDArray[np.float64]  # [K]

    def at(self, picture: Tensor) -> Tensor:
        """[1, H, W] at the brightness of a picture [3, H, W]."""
        values = np.interp(_LEVELS, self.brightness, self.variance)
        table = torch.tensor(values, dtype=picture.dtype, device=picture.device)
        return table[(picture.mean(0, keepdim=True) * 255).round().clamp(0, 255).long()]


def find_grain(photo: Tensor, radius: Tensor) -> Grain:
    """What of a photo's finest octave is grain; none where too little is blurred to say.

    Args:
        photo: [3, H, W] sRGB in 0 ... 1. radius: [h, w] >= 0, px of the photo, of any size.
    """
    assert photo.ndim == 3 and radius.ndim == 2, f"{tuple(photo.shape)}, {tuple(radius.shape)}"
    # Channel by channel: a photo of 24 megapixels need not be there in three copies.
    cells = torch.stack([_grain_of(channel) for channel in photo]).mean(0).clamp_min_(0)
    bright = _cells(photo.mean(0, keepdim=True))
    radius = F.interpolate(radius[None, None], tuple(bright.shape), mode="bilinear", align_corners=False)[0, 0]
    blurred = (radius > BLURRED).cpu().numpy()
    variance, brightness = (plane.cpu().numpy().astype(np.float64)[blurred] for plane in (cells, bright))
    bins = np.clip(brightness * BINS, 0, BINS - 1).astype(int)
    known = [bin for bin in range(BINS) if np.count_nonzero(bins == bin) >= FEWEST]
    if not known:
        return Grain(np.array([0.5]), np.array([0.0]))
    return Grain(
        np.array([brightness[bins == bin].mean() for bin in known]),
        np.array([np.quantile(variance[bins == bin], SHARE) for bin in known]),
    )


def _grain_of(channel: Tensor) -> Tensor:
    """Of each square the variance of a channel's finest octave, less what the next octave says is the scene."""
    finest, next = (_cells(band.square_(), CELL >> k) for k, band in enumerate(laplacian(channel[None], 2)[:2]))
    return finest.sub_(next, alpha=SCENE).div_(1 - SCENE * FINER)


def _cells(plane: Tensor, cell: int = CELL) -> Tensor:
    return F.avg_pool2d(plane[None], cell, ceil_mode=True)[0, 0]


_LEVELS = np.arange(256) / 255
