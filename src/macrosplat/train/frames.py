"""The photos as training sees them: at one resolution at a time, in an order that depends on the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from macrosplat.capture.resample import area_average
from macrosplat.colour import to_bytes, to_linear, to_srgb
from macrosplat.devices import row
from macrosplat.render import Pinhole
from macrosplat.train.loss import Target, make_target

SPREAD = 0.03  # of the frame's width: circles of confusion seldom have a larger radius
SOFT = 0.2  # a mask is soft where more than this share of the px that near its edges is neither black nor white
SMALLEST = 32  # px: below this a frame says nothing, and the window of SSIM does not fit


@dataclass(frozen=True)
class Stack:
    """All photos of one pinhole, to be compared with by a number that only the device knows."""

    targets: Target  # with a leading dimension [B]; weights are scaled to a sum of `total` each
    pinhole: Pinhole

    def at(self, place: Tensor) -> Target:
        """One of them; `place` [1] on the device."""
        return replace(self.targets, **{name: row(table, place) for name, table in _planes(self.targets).items()})


class Frames:
    """V photos at the training width, and their smaller versions of the current scale."""

    def __init__(
        self,
        photos: Sequence[NDArray[np.uint8]],  # V of [H, W, 3] sRGB
        pinholes: Sequence[Pinhole],  # V, at the photos' sizes
        masks: Sequence[NDArray[np.uint8] | None],  # V of [H, W], white = counts
        device: torch.device | str = "cpu",  # where they are compared
        covers: Sequence[NDArray[np.uint8] | None] = (),  # V of [H, W], white = the scene; none: nothing is known
    ) -> None:
        self.covers = covers if any(cover is not None for cover in covers) else ()
        self.device = torch.device(device)
        self.photos, self.pinholes, self.masks = photos, pinholes, masks
        self._scale = 0.0
        self._targets: dict[int, tuple[Target, Pinhole]] = {}
        self._stacks: dict[int, tuple[Stack, int]] = {}

    def __len__(self) -> int:
        return len(self.photos)

    def photo_of(self, step: int, seed: int) -> int:
        """Which photo a step takes: every photo once per round, each round in another order."""
        turn, place = divmod(step, len(self))
        return int(np.random.default_rng([seed, turn]).permutation(len(self))[place])

    def at(self, photo: int, scale: float) -> tuple[Target, Pinhole]:
        """The photo to compare with, and its pinhole, at `scale` of the training width."""
        self._turn_to(scale)
        if photo not in self._targets:
            self._targets[photo] = self._target(photo, scale), self._pinhole(photo, scale)
        return self._targets[photo]

    def stack(self, photo: int, scale: float) -> tuple[Stack, int]:
        """All photos of the pinhole that `photo` has, at `scale` of the training width, and its place among them."""
        self._turn_to(scale)
        if photo not in self._stacks:
            pinhole = self._pinhole(photo, scale)
            alike = [v for v in range(len(self)) if self._pinhole(v, scale) == pinhole]
            total = float(pinhole.width * pinhole.height)
            kept: dict[str, Tensor] = {}
            for place, v in enumerate(alike):
                target = self._target(v, scale)
                target = replace(target, weight=target.weight * (total / target.total))
                for name, one in _planes(target).items():
                    kept.setdefault(name, one.new_empty(len(alike), *one.shape))[place] = one
            stack = Stack(Target(total=total, **kept), pinhole)
            self._stacks |= {v: (stack, place) for place, v in enumerate(alike)}
        return self._stacks[photo]

    def _turn_to(self, scale: float) -> None:
        if scale != self._scale:  # one scale lives at a time: the caches of a target are 9 times the photo
            self._scale, self._targets, self._stacks = scale, {}, {}

    def _pinhole(self, photo: int, scale: float) -> Pinhole:
        pinhole = self.pinholes[photo]
        return pinhole.scaled(*(max(SMALLEST, round(side * scale)) for side in (pinhole.width, pinhole.height)))

    def _target(self, photo: int, scale: float) -> Target:
        pinhole = self._pinhole(photo, scale)
        small = _smaller(self.photos[photo], self.masks[photo], (pinhole.width, pinhole.height))
        bytes_, mask = (None if one is None else torch.from_numpy(one).to(self.device) for one in small)
        assert bytes_ is not None
        return make_target(bytes_, mask, self._cover(photo, (pinhole.width, pinhole.height)))

    def _cover(self, photo: int, size: tuple[int, int]) -> Tensor | None:
        if not self.covers:
            return None
        mask = self.covers[photo]
        known = np.full((size[1], size[0]), -1.0, np.float32) if mask is None else told_by(mask, size)
        return torch.from_numpy(known).to(self.device)


def told_by(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """[H, W] what a mask, brought to (width, height), tells about the alpha of a blurred photo; -1: nothing.

    A mask with soft edges was made for the blurred photo and tells all. One with hard edges, drawn on it or made of a
    sharp twin, does not know how wide the blur spreads the silhouette: only what lies farther than that from its edges
    counts.
    """
    small = area_average(mask[..., None].astype(np.float32) / 255, size)[..., 0]
    inside, outside = small > 0.95, small < 0.05
    away = np.maximum(_distance(inside), _distance(outside))
    near = away < SPREAD * size[0]
    soft = (~inside & ~outside).sum() > SOFT * max(1, near.sum())
    return np.where(near & (not soft), -1.0, small).astype(np.float32)


def _distance(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[H, W] px from each pixel of a region to what is not of it; the frame's border is no edge."""
    return distance_transform_edt(region) if not region.all() else np.full(region.shape, np.inf)


def _planes(target: Target) -> dict[str, Tensor]:
    """What differs between the photos of one pinhole."""
    names = ("photo", "weight", "mean", "variance", "cover")
    return {name: plane for name in names if (plane := getattr(target, name)) is not None}


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
