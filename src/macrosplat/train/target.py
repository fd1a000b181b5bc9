"""`Target`: what a render is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from macrosplat.support.dispatch import select_row


@dataclass(frozen=True)
class Target:
    """A photo as the loss wants it: 31 bytes per pixel, 35 with a mask's alpha."""

    photo: torch.Tensor  # [3, H, W] uint8
    weight: torch.Tensor  # [H, W] float32, 0 ... 1: share of each pixel in the loss
    total: float  # sum of the weights
    mean: torch.Tensor  # [3, H, W] float32, of photo / 255 under the window
    variance: torch.Tensor  # [3, H, W] float32
    # [H, W] float32, 0 ... 1: the alpha that the photo's mask tells, -1 where it tells none; None: there is no mask.
    alpha_target: torch.Tensor | None = None
    # [1] on the device: photo, weight, mean and variance are stacks [B, ...], of which this one is meant.
    slot: torch.Tensor | None = None

    def alone(self) -> Target:
        """The same without the others of a bank."""
        if self.slot is None:
            return self
        names = ("photo", "weight", "mean", "variance")
        return replace(self, **{name: select_row(getattr(self, name), self.slot) for name in names}, slot=None)
