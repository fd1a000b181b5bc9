"""The sRGB curve (IEC 61966-2-1), for numpy arrays and torch tensors alike.

In and out: values of 0 (black) to 1 (white), float32 or float64, any shape; the dtype is kept.
All blur and all averaging happens in linear light: a lens adds photons, and sRGB values are not photons.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

# numpy array or torch tensor; not spelled out, so that reading photos needs no torch
Array = TypeVar("Array", bound=Any)

# The standard's constants. Its two thresholds leave a step of 2e-8 at the join, far below float32's own.
SRGB_JOIN = 0.04045
LINEAR_JOIN = 0.0031308
SLOPE = 12.92
OFFSET = 0.055
EXPONENT = 2.4


def to_linear(srgb: Array) -> Array:
    """Linear light of sRGB values. Below 0 the straight part continues, above 1 the curve."""
    # Clipped before the power: a negative base would be NaN there, and NaN * 0 spoils the other branch's gradient.
    curve = ((srgb.clip(SRGB_JOIN) + OFFSET) / (1 + OFFSET)) ** EXPONENT
    return _select(srgb <= SRGB_JOIN, srgb / SLOPE, curve)


def to_srgb(linear: Array) -> Array:
    """sRGB values of linear light. Below 0 the straight part continues, above 1 the curve."""
    curve = (1 + OFFSET) * linear.clip(LINEAR_JOIN) ** (1 / EXPONENT) - OFFSET
    return _select(linear <= LINEAR_JOIN, linear * SLOPE, curve)


def to_bytes(srgb: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The nearest of 256 levels; values outside 0..1 are clipped."""
    return np.rint(np.clip(srgb, 0, 1) * 255).astype(np.uint8)


def _select(condition: Any, yes: Any, no: Any) -> Any:
    if isinstance(condition, np.ndarray | np.generic):
        return np.where(condition, yes, no)
    return yes.where(condition, no)
