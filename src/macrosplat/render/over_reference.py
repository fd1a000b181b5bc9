"""A render over its backdrop in plain torch of any precision: the specification."""

from __future__ import annotations

from torch import Tensor

from macrosplat.render.constants import ALPHA_LEAST


def over(colour: Tensor, alpha: Tensor, depth: Tensor, backdrop: Tensor) -> tuple[Tensor, Tensor]:
    """As `over.over`."""
    return colour + (1 - alpha)[..., None] * backdrop, depth / alpha.clamp_min(ALPHA_LEAST)
