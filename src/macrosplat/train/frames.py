"""The photos as training sees them: at one resolution at a time, in an order that depends on the seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.capture.resample import area_average
from macrosplat.colour import to_bytes, to_linear, to_srgb
from macrosplat.render import Pinhole
from macrosplat.train.loss import Target, make_target

SMALLEST = 32  # px: below this a frame says nothing, and the window of SSIM does not fit


class Frames:
    """V photos at the training width, and their smaller versions of the current scale."""

    def __init__(
        self,
        photos: Sequence[NDArray[np.uint8]],  # V of [H, W, 3] sRGB
        pinholes: Sequence[Pinhole],  # V, at the photos' sizes
        masks: Sequence[NDArray[np.uint8] | None],  # V of [H, W], white = counts
        device: torch.device | str = "cpu",  # where they are compared
    ) -> None:
        self.device = torch.device(device)
        self.photos, self.pinholes, self.masks = photos, pinholes, masks
        self._scale = 0.0
        self._targets: dict[int, tuple[Target, Pinhole]] = {}

    def __len__(self) -> int:
        return len(self.photos)

    def photo_of(self, step: int, seed: int) -> int:
        """Which photo a step takes: every photo once per round, each round in another order."""
        turn, place = divmod(step, len(self))
        return int(np.random.default_rng([seed, turn]).permutation(len(self))[place])

    def at(self, photo: int, scale: float) -> tuple[Target, Pinhole]:
        """The photo to compare with, and its pinhole, at `scale` of the training width."""
        if scale != self._scale:  # one scale lives at a time: the caches of a target are 9 times the photo
            self._scale, self._targets = scale, {}
        if photo not in self._targets:
            pinhole = self.pinholes[photo]
            size = [max(SMALLEST, round(side * scale)) for side in (pinhole.width, pinhole.height)]
            small = _smaller(self.photos[photo], self.masks[photo], (size[0], size[1]))
            bytes_, mask = (None if one is None else torch.from_numpy(one).to(self.device) for one in small)
            assert bytes_ is not None
            target = make_target(bytes_, mask)
            self._targets[photo] = target, pinhole.scaled(*size)
        return self._targets[photo]


def _smaller(
    photo: NDArray[np.uint8], mask: NDArray[np.uint8] | None, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Both brought to (width, height) by area averaging, the photo in linear light."""
    if (photo.shape[1], photo.shape[0]) == size:
        return photo, mask
    linear = area_average(to_linear(photo.astype(np.float32) / 255), size)
    if mask is not None:
        mask = np.rint(area_average(mask[..., None].astype(np.float32), size)[..., 0]).astype(np.uint8)
    return to_bytes(to_srgb(linear)), mask
