"""The Laplacian pyramid (Burt, Adelson 1983): a picture as bands of one octave each, and pictures joined band by band.

In and out: planes [C, H, W] of floats, on any device. Level k has ceil(H / 2^k) x ceil(W / 2^k) samples, whose spacing
is 2^k px. Two pictures whose bands are mixed
with weights that are themselves smooth at each band's scale join without a seam: what is coarse changes over a wide
zone, what is fine over a narrow one.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from torch import Tensor

from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.output.detail.pyramid"


def levels_for(height: int, width: int, most: int, least: int = 8) -> int:
    """How many times a frame can be halved before its shorter side has less than `least` samples, at most `most`."""
    levels = 0
    while levels < most and min(height, width) >= 2 * least:
        height, width, levels = (height + 1) // 2, (width + 1) // 2, levels + 1
    return levels


def halved(plane: Tensor) -> Tensor:
    """[C, H, W] to [C, ceil(H / 2), ceil(W / 2)] by the taps 1 4 6 4 1 along each axis; samples stay where they are."""
    return _kernels(plane).halved(plane)


def laplacian(picture: Tensor, levels: int) -> list[Tensor]:
    """`levels` bands of [C, H, W], finest first, and what is left below them."""
    bands = []
    for _ in range(levels):
        small = halved(picture)
        bands.append(_add_doubled(picture, small, -1.0))
        picture = small
    return [*bands, picture]


def collapsed(bands: Sequence[Tensor]) -> Tensor:
    """The picture whose bands they are."""
    picture = bands[-1]
    for band in bands[-2::-1]:
        picture = _add_doubled(band, picture, 1.0)
    return picture


def _add_doubled(base: Tensor, small: Tensor, factor: float) -> Tensor:
    """`base` [C, H, W] and so many times `small`, doubled."""
    return _kernels(base if base.requires_grad else small).add_doubled(base, small, factor)


def _kernels(plane: Tensor) -> ModuleType:
    """Only plain torch knows gradients."""
    return kernels_for(STAGE, plane, () if plane.requires_grad else ("cpu", "cuda"))
