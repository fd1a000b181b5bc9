"""`focus`: no blur, and a loss that looks where the photo is sharp.

A simple baseline that is hard to beat where every part is sharp in some photo: each pixel's weight is its clarity,
with a floor below, so that what is nowhere sharp is still drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from macrosplat.lens.clarity import clarity_of
from macrosplat.lens.model import LensStart
from macrosplat.lens.plain import PlainLens
from macrosplat.options.baselines import Focus


class FocusLens(PlainLens):
    name = "focus"

    def __init__(self, start: LensStart) -> None:
        super().__init__(start)
        self.chosen = Focus(**start.settings)

    def look(
        self, photos: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.uint8] | None]
    ) -> Sequence[NDArray[np.uint8] | None]:
        return [self.weights(photo, mask) for photo, mask in zip(photos, masks, strict=True)]

    def weights(self, photo: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """[H, W] weights in the loss, 255 = 1: mask (least + (1 - least) clarity^power)."""
        chosen = self.chosen
        clear = clarity_of(photo, chosen.radius, chosen.eps, chosen.radius, chosen.eps).clamp_max(1)
        clear = clear.numpy().astype(np.float64) ** chosen.power
        weight = (chosen.least + (1 - chosen.least) * clear) * (255 if mask is None else mask)
        return np.rint(weight).astype(np.uint8)
