"""How blurred the sharpest edges of a capture are: whether any photo has anything in focus at all.

An edge blurred by sigma and then by s has a slope of 1 / sqrt(2 pi (sigma^2 + s^2)) at its middle: the ratio of the
slopes after two known blurs gives sigma, whatever the edge's contrast (Zhuo and Sim, Defocus map estimation from a
single image, 2011). Texture reads sharper than an edge, so the estimate is low rather than high.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, gaussian_gradient_magnitude, maximum_filter

from macrosplat.support.threads import ordered, workers

FINE, COARSE = 1.0, 2.5  # px: the two blurs; the first one smooths grain
STRONG = 0.1  # of the strongest slopes of a photo: weaker edges tell little
ABOVE_NOISE = 8.0  # times the slope that grain alone has
SHARPEST = 10.0  # percentile of a photo's edges: at 10 % of them there is something in focus
BEST_PHOTOS = 20.0  # percentile of the photos
LOOKED_AT = 15  # photos at the most, evenly chosen: a second each at 12 megapixels
FEWEST = 20  # edges, without which a photo says nothing
ENOUGH = 0.5  # of the photos that are looked at have to say something, before anything is said of all
# px. In focus the figure is 0 in four captures (at 320 and 640 px); blurred by 2 px all over they read 1.0 to 1.6,
# blurred by 3 px 1.7 to 2.4.
LIMIT = 1.2


def sharpest_edges(
    photos: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.uint8] | None] | None = None
) -> float:
    """Sigma (px) of the blur of the sharpest edges in the better photos; 0 where too few photos have edges to judge by.

    Args:
        photos: V of [H, W, 3] sRGB.
        masks: V of [H, W], white = counts: what is left out may be blurred as it likes.
    """
    step = -(-len(photos) // LOOKED_AT)
    chosen = range(0, len(photos), step)
    threads = workers(80 * photos[0][..., 0].size)

    def sigmas(v: int) -> NDArray[np.float64]:
        return edges(photos[v], None if masks is None else masks[v])[2]

    found = [np.percentile(some, SHARPEST) for some in ordered(sigmas, chosen, threads) if len(some) >= FEWEST]
    return float(np.percentile(found, BEST_PHOTOS)) if len(found) >= ENOUGH * len(chosen) else 0.0


def nothing_in_focus(
    photos: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.uint8] | None] | None = None
) -> str | None:
    """A sentence if no photo has anything in focus: then all of them lack the same detail, and no method can add it.

    Args: as of `sharpest_edges`.
    """
    sigma = sharpest_edges(photos, masks)
    if sigma < LIMIT:
        return None
    width = photos[0].shape[1]
    return (
        f"No photo has anything in focus: at {width} px even the sharpest edges are blurred over {2 * sigma:.0f} px or "
        "more, and what all photos lack cannot be brought back; the scene keeps that blur. Focus on the object itself, "
        "hold the camera still, or take a smaller --width."
    )


def edge_sigmas(photo: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[E] sigma (px) of the blur at the edges of a photo [H, W, 3] sRGB; 0 for what is sharper than the pixels."""
    return edges(photo)[2]


def edges(
    photo: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """The edges of a photo [H, W, 3] sRGB, where the mask [H, W] is white: rows [E], columns [E], and sigma [E] (px) of
    their blur."""
    # sRGB values: grain is about as strong in the shadows as in the light, and near a small edge the curve is straight.
    light = photo.astype(np.float64).mean(2)
    fine, coarse = (gaussian_gradient_magnitude(light, s) for s in (FINE, COARSE))
    # White grain of standard deviation n has slopes of n / (sqrt(8 pi) s^2) along each axis after a blur of s.
    grain = grain_of(light) * np.sqrt(2 / (8 * np.pi)) / FINE**2
    counts = slice(None) if mask is None else mask >= 128
    strongest = float(np.percentile(fine[counts], 99.5)) if fine[counts].size else 0.0
    least = max(STRONG * strongest, ABOVE_NOISE * grain, 1.0)
    at = (fine == maximum_filter(fine, 5)) & (fine > least)
    if mask is not None:
        at &= mask >= 128
    ratio = (fine[at] / np.maximum(coarse[at], 1e-9)) ** 2
    rows, columns = np.nonzero(at)
    return rows, columns, np.sqrt(np.clip((COARSE**2 - ratio * FINE**2) / np.maximum(ratio - 1, 1e-6), 0, 1e4))


def grain_of(light: NDArray[np.float64]) -> float:
    """Standard deviation of the grain (Immerkaer, Fast noise variance estimation, 1996); the median: edges are few."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])  # its response to white noise of 1: 6
    return float(np.median(np.abs(convolve(light, kernel)))) / 0.6745 / 6
