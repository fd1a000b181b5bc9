"""What masks tell about how much of a pixel is the scene's, in a photo that blur has spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from macrosplat.photos.resample import area_average

SPREAD = 0.03  # of the frame's width: circles of confusion seldom have a larger radius
SOFT = 0.2  # a mask is soft where more than this share of the px that near its edges is neither black nor white


def make_alpha_target(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """[H, W] what a mask, brought to (width, height), tells about the alpha of a blurred photo; -1: nothing.

    A mask with soft edges was made for the blurred photo and tells all. One with hard edges, drawn on it or made of a
    sharp twin, does not know how wide the blur spreads the silhouette: only what lies farther than that from its edges
    counts.
    """
    small = area_average(mask[..., None].astype(np.float32) / 255, size)[..., 0]
    inside, outside = small > 0.95, small < 0.05
    away = np.maximum(_distance(inside), _distance(outside))
    near = away < SPREAD * size[0]
    soft = (~inside & ~outside).sum() > SOFT * max(1, near.sum())
    return np.where(near & (not soft), -1.0, small).astype(np.float32)


def _distance(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[H, W] px from each pixel of a region to what is not of it; the frame's border is no edge."""
    return np.asarray(distance_transform_edt(region)) if not region.all() else np.full(region.shape, np.inf)
