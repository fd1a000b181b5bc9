"""PSNR, SSIM, FLIP and LPIPS, one implementation of each for every method, on the whole frame and on a mask.

In: sRGB photos as floats in [0, 1], [H, W, 3]; a mask [H, W] of bool. Out: `Scores`.
Means over a mask are means of the *error map* over the mask's pixels: the map itself always sees the whole frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, distance_transform_edt

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.extras import install

Srgb = NDArray[np.floating]  # [H, W, 3] in [0, 1]
Mask = NDArray[np.bool_]  # [H, W]
ErrorMap = Callable[[Srgb, Srgb], NDArray[np.floating]]  # (test, truth) -> [H, W]

SSIM_SIGMA = 1.5  # px, Wang et al. 2004
SSIM_RADIUS = 5  # px: 11 taps
SSIM_C1 = 0.01**2  # (K1 L)^2 with L = 1
SSIM_C2 = 0.03**2  # (K2 L)^2
EDGE = 0.0125  # of the frame's width: 4 px of 320
LEAST_ERROR = 1e-10  # mean squared error of "identical": PSNR stays a number (100 dB), as JSON wants it


@dataclass(frozen=True)
class Scores:
    """The figures of one comparison."""

    psnr: float  # dB, higher is better
    ssim: float  # <= 1, higher is better
    flip: float  # [0, 1], lower is better
    lpips: float | None = None  # >= 0, lower is better; None: its weights were not given


@dataclass(frozen=True)
class Comparison:
    """One photo against its truth; `mask` is None where there is no mask or it is empty."""

    frame: Scores
    mask: Scores | None
    edge: float | None = None  # PSNR within EDGE of the mask's outline, on both sides of it: halos show here
    inside: float | None = None  # PSNR on the rest of the mask


def compare(test: Srgb, truth: Srgb, mask: Mask | None = None, lpips: ErrorMap | None = None) -> Comparison:
    """Score `test` against `truth` (FLIP is not quite symmetric: `truth` is its reference).

    Args:
        lpips: a map [H, W] of LPIPS (`evaluate.lpips`); None leaves that figure out.

    Raises:
        AssertionError: the shapes differ.
    """
    assert test.shape == truth.shape and test.ndim == 3 and test.shape[2] == 3, f"{test.shape} against {truth.shape}"
    assert mask is None or mask.shape == test.shape[:2], f"mask {mask.shape} on {test.shape}"  # pyright: ignore
    test, truth = np.clip(test, 0.0, 1.0), np.clip(truth, 0.0, 1.0)
    squared, similar, differs = squared_error_map(test, truth), ssim_map(test, truth), flip_map(test, truth)
    perceived = lpips(test, truth) if lpips else None

    def over(weights: Mask) -> Scores:
        inner = weights[SSIM_RADIUS:-SSIM_RADIUS, SSIM_RADIUS:-SSIM_RADIUS]
        ssim = float(similar[inner].mean()) if inner.any() else float("nan")
        seen = None if perceived is None else float(perceived[weights].mean())
        return Scores(_psnr(float(squared[weights].mean())), ssim, float(differs[weights].mean()), seen)

    frame = over(np.ones(test.shape[:2], bool))
    if mask is None or not _has_inside(mask):
        return Comparison(frame, None)
    return Comparison(frame, over(mask), *outline_psnr(squared, mask))


def outline_psnr(squared: NDArray[np.floating], mask: Mask) -> tuple[float | None, float | None]:
    """PSNR of squared errors [H, W] near the mask's outline and on the rest of the mask; None where there is none."""
    near = outline(mask, EDGE * mask.shape[1])
    edge, inside = (_psnr(float(squared[part].mean())) if part.any() else None for part in (near, mask & ~near))
    return edge, inside


def outline(mask: Mask, reach: float) -> Mask:
    """The pixels whose centre lies within `reach` px of the mask's outline, which runs between pixels."""
    away = np.maximum(np.asarray(distance_transform_edt(mask)), np.asarray(distance_transform_edt(~mask)))
    return away - 0.5 < reach if mask.any() and not mask.all() else np.zeros_like(mask)


def mean_scores(scores: Iterable[Scores]) -> Scores:
    """The mean of each figure (PSNR: the mean of the decibels, as the field reports it)."""
    columns = list(zip(*(astuple(s) for s in scores), strict=True))
    assert columns, "mean of no scores"
    return Scores(*(None if None in column else float(np.mean(column)) for column in columns))  # type: ignore[arg-type]


def psnr(test: Srgb, truth: Srgb, mask: Mask | None = None) -> float:
    """10 log10(1 / mean squared error) in dB, over all pixels (of the mask) and the three channels; at most 100."""
    squared = squared_error_map(test, truth)
    return _psnr(float(squared.mean() if mask is None else squared[mask].mean()))


def squared_error_map(test: Srgb, truth: Srgb) -> NDArray[np.float64]:
    """[H, W] squared error, mean of the channels."""
    return np.square(test.astype(np.float64) - truth).mean(axis=2)


def ssim_map(test: Srgb, truth: Srgb) -> NDArray[np.float64]:
    """[H-10, W-10] structural similarity, mean of the channels, where the window lies inside the frame.

    Wang et al. 2004: Gaussian window of sigma 1.5 px and 11 taps, K = (0.01, 0.03), range 1, population covariance;
    each sRGB channel on its own. The mean equals scikit-image's
    `structural_similarity(..., gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)`.
    """
    assert min(test.shape[:2]) > 2 * SSIM_RADIUS, f"a photo of {test.shape[1]}x{test.shape[0]} px is too small for SSIM"
    x, y = test.astype(np.float64), truth.astype(np.float64)
    mean_x, mean_y = _window(x), _window(y)
    var_x, var_y = _window(x * x) - mean_x**2, _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (var_x + var_y + SSIM_C2)
    return (luminance * structure).mean(axis=2)


def flip_map(test: Srgb, truth: Srgb) -> NDArray[np.float32]:
    """[H, W] LDR-FLIP error (Andersson et al. 2020) by NVIDIA's own package.

    Its default viewing conditions: 0.7 m from a display 0.7 m and 3840 px wide, 67.02 pixels per degree.

    Raises:
        MacrosplatError: flip-evaluator is not installed.
    """
    try:
        import flip_evaluator
    except ImportError as error:
        raise MacrosplatError(
            f"Comparing with the truth needs flip-evaluator; install it with: {install('evaluate')}."
        ) from error
    reference, other = (np.ascontiguousarray(p, dtype=np.float32) for p in (truth, test))
    error, _, _ = flip_evaluator.evaluate(
        reference, other, "LDR", applyMagma=False, computeMeanError=False, parameters={}
    )
    return np.asarray(error, np.float32).reshape(test.shape[:2])


def _psnr(mse: float) -> float:
    return -10.0 * math.log10(max(mse, LEAST_ERROR))


def _has_inside(mask: Mask) -> bool:
    """Whether the mask reaches into the part of the frame where SSIM is defined."""
    return bool(mask[SSIM_RADIUS:-SSIM_RADIUS, SSIM_RADIUS:-SSIM_RADIUS].any())


def _window(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian window sums of [H, W, 3], valid part only, one axis after the other."""
    taps = np.exp(-0.5 * np.square(np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1) / SSIM_SIGMA))
    taps /= taps.sum()
    down = correlate1d(x, taps, 0)[SSIM_RADIUS:-SSIM_RADIUS]
    return correlate1d(down, taps, 1)[:, SSIM_RADIUS:-SSIM_RADIUS]
