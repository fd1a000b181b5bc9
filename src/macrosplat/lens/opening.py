"""The pupil's shape in a photo: its blades, and what of it is left away from the middle of the frame.

In: what was found of a capture's lens. Out: where samples lie, what each counts for, and how wide the pupil is on
average. A round pupil that all of the frame sees whole has none of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from macrosplat.lens import cats_eye
from macrosplat.lens.aperture import CENTRED, aperture_samples
from macrosplat.lens.model import Sampling


@dataclass(frozen=True)
class Opening:
    """None: it is round, and seen whole."""

    blades: Tensor | None = None  # [3] of `blades`
    clipped: tuple[Tensor, Tensor] | None = None  # [H, W] t, and [2, H, W] the directions, of `cats_eye`

    def weights(self, sampling: Sampling, like: Tensor) -> Tensor | None:
        """[M, H, W] what each of the samples counts for, on average 1; None: as much."""
        if self.clipped is None:
            return None
        u, v, _ = aperture_samples(sampling, like.detach(), self.blades)
        return cats_eye.weights(u, v, *self.clipped, one_ring=sampling.samples < CENTRED)

    def narrowed(self, depth: Tensor, focus: Tensor) -> Tensor:
        """Depths that the whole pupil blurs as this one blurs those that are seen, on average over the directions."""
        return depth if self.clipped is None else cats_eye.narrowed(depth, focus, self.clipped[0])


ROUND = Opening()
