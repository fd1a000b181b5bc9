"""What the pixels of a mask mean: white is the object, whatever program wrote them.

In: a picture, as Pillow opened it. Out: [H, W] 0 to 1. An alpha channel that cuts something out counts before the
colours, which are the photo's own then; labels (a palette or small numbers, as programs that segment write them) are
the object wherever they are not 0; a picture in colours is no mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DARK = 8  # of 255: the black of a label image, JPEG's errors included
COLOURFUL, MOST_COLOURFUL = 32, 0.02  # levels between channels, and the share of pixels that may have more
MOST_LABELS = 32  # different values of a label image
LOOKED_AT = 1 << 18  # px whose colours are counted
# Of thumbnails, 0 to 1: what is black and white, and the share of pixels that are so in a mask.
BLACK, WHITE, EITHER = 0.05, 0.95, 0.95


class NoMask(ValueError):
    """A picture that tells of no object."""


def mask_values(opened: Image.Image) -> NDArray[np.float32]:
    """[H, W] 0 to 1, as stored.

    Raises:
        NoMask: it is a picture in colours.
    """
    if opened.has_transparency_data:
        alpha = np.asarray(opened.convert("RGBA").getchannel("A"))
        if alpha.min() < 128 <= alpha.max():
            return (alpha / 255).astype(np.float32)
    if opened.mode in ("P", "PA", "RGB", "RGBA", "RGBX"):
        rgb = np.asarray(opened.convert("RGB"))
        if _is_colourful(rgb):
            return _labelled(rgb)
    values = np.asarray(opened if opened.mode.startswith(("I", "F")) else opened.convert("L"))
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
        return full_scale(values.astype(np.float32), float(values.max()))
    top = int(values.max())
    counts = np.bincount(np.clip(values, 0, 65535).ravel())
    several = int((counts > 0).sum())
    if (several == 2 and counts[0]) or (several <= MOST_LABELS and 1 < top < 128 and counts[0]):
        return (values > 0).astype(np.float32)
    return full_scale(values.astype(np.float32), float(top))


def looks_like_mask(small: NDArray[np.float32]) -> bool:
    """Whether a thumbnail (`inspected.thumbnail_of`) is black and white only, and both."""
    black, white = small < BLACK, small > WHITE
    return bool(black.any() and white.any() and (black | white).mean() > EITHER)


def full_scale(values: NDArray[np.float32], top: float) -> NDArray[np.float32]:
    """0 to 1, of values up to `top`: full scale is 1, 255 or 65535, whatever wrote them."""
    return np.clip(values / (1 if top <= 1 else 255 if top <= 255 else 65535), 0, 1).astype(np.float32)


def _is_colourful(rgb: NDArray[np.uint8]) -> bool:
    some = _some(rgb).astype(np.int16)
    return bool((np.ptp(some, axis=1) > COLOURFUL).mean() > MOST_COLOURFUL)


def _labelled(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    if len(np.unique(_some(rgb), axis=0)) > MOST_LABELS or not (rgb.max(2) < DARK).any():
        raise NoMask("a picture in colours, and a mask is white where the object is and black elsewhere")
    return (rgb.max(2) >= DARK).astype(np.float32)


def _some(rgb: NDArray[np.uint8]) -> NDArray[Any]:
    step = max(1, int(np.sqrt(rgb.shape[0] * rgb.shape[1] / LOOKED_AT)))
    return rgb[::step, ::step].reshape(-1, 3)
