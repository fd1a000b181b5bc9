"""The photos as training sees them: at one resolution at a time, in an order that depends on the seed alone.

As many as the memory budget allows stay where they are compared; the others come again when their turn is near:
decoded ahead by threads, and sent to a GPU from pinned memory behind the steps in work.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.photos.decode import TABLE_8
from macrosplat.photos.resample import area_average
from macrosplat.render import Frame
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.dispatch import select_row
from macrosplat.train.alpha_target import make_alpha_target
from macrosplat.train.loss import make_target
from macrosplat.train.random import Purpose, key_of, permutation
from macrosplat.train.target import Target

SMALLEST = 32  # px: below this a frame says nothing, and the window of SSIM does not fit
PER_PIXEL = 31  # bytes of a `Target` without its alpha target
LEAST = 2  # photos of a size that are kept, whatever the budget
SOON = 8  # photos that are decoded ahead
THREADS = 4  # that do so: reading a JPEG of 24 MP takes 0.3 s, bringing it to half its width another 0.8 (2 cores)
PLANES = ("photo", "weight", "mean", "variance", "alpha_target")  # the last where there are masks


@dataclass(frozen=True)
class TargetBank:
    """Photos of one size, to be compared with by a number that only the device knows."""

    targets: Target  # with a leading dimension [B]; weights are scaled to a sum of `total` each
    frame: Frame
    slots: dict[int, int] = field(default_factory=dict)  # of the photos that are there, the one used last at the end

    def at(self, slot: Tensor) -> Target:
        """One of them; `slot` [1] on the device."""
        alpha_target = self.targets.alpha_target
        return replace(
            self.targets, alpha_target=None if alpha_target is None else select_row(alpha_target, slot), slot=slot
        )

    def store(self, photo: int, target: Target) -> None:
        """Keep one more, instead of the one used longest ago where all slots are taken."""
        full = len(self.slots) == len(self.targets.photo)
        slot = self.slots.pop(next(iter(self.slots))) if full else len(self.slots)
        target = replace(target, weight=target.weight * (self.targets.total / target.total))
        for name, plane in _planes(target):
            getattr(self.targets, name)[slot] = plane
        self.slots[photo] = slot


class Small(NamedTuple):
    """A photo at the resolution in work, on its way to where it is compared."""

    photo: Tensor  # [H, W, 3] uint8, pinned for a GPU
    mask: Tensor | None  # [H, W] uint8, likewise
    total: float  # sum of the mask / 255
    alpha_target: Tensor | None  # [H, W] float32, as in `Target`, likewise


def _planes(target: Target) -> list[tuple[str, Tensor]]:
    """What differs between the photos of one size."""
    return [(name, plane) for name in PLANES if (plane := getattr(target, name)) is not None]


class Targets:
    """V photos at the training width, and their smaller versions of the current scale."""

    def __init__(
        self,
        photos: Sequence[NDArray[np.uint8]],  # V of [H, W, 3] sRGB
        frames: Sequence[Frame],  # V, of the photos' sizes
        masks: Sequence[NDArray[np.uint8] | None],  # V of [H, W], white = counts
        device: torch.device | str = "cpu",  # where they are compared
        budget: float = math.inf,  # bytes that they may take there
        alpha_masks: Sequence[NDArray[np.uint8] | None] = (),  # V of [H, W], white = the scene; none: nothing is known
    ) -> None:
        self.alpha_masks = alpha_masks if any(mask is not None for mask in alpha_masks) else ()
        self.device = torch.device(device)
        self.photos, self.frames, self.masks, self.budget = photos, frames, masks, budget
        self._scale = 0.0
        self._made: dict[int, Target] = {}
        self._banks: dict[Frame, TargetBank] = {}
        self._sizes: dict[tuple[int, float], Frame] = {}
        self._coming: dict[int, Future[Small]] = {}
        self._threads: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        return len(self.photos)

    def photo_of(self, step: int, seed: int) -> int:
        """Which photo a step takes: every photo once per round, each round in another order."""
        turn, place = divmod(step, len(self))
        return _order(seed, turn, len(self))[place]

    def at(self, photo: int, scale: float) -> tuple[Target, Frame]:
        """The photo to compare with, and its size, at `scale` of the training width."""
        self._turn_to(scale)
        if photo not in self._made:
            frame = self._frame(photo, scale)
            while len(self._made) >= self._slots(frame, len(self)):
                del self._made[next(iter(self._made))]
            self._made[photo] = self._make(self._small(photo, scale))
        return self._made[photo], self._frame(photo, scale)

    def seen(self, photo: int, scale: float) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None, Frame]:
        """The photo [H, W, 3] sRGB at `scale`, to look at, where it counts [H, W], and its size.

        What training keeps stays as it is. None: all of it counts, or next to nothing.
        """
        frame = self._frame(photo, scale)
        pixels, mask = _smaller(self.photos[photo], self.masks[photo], (frame.width, frame.height))
        counts = None if mask is None else mask > 127
        return pixels, counts if counts is not None and counts.any() else None, frame

    def bank(self, photo: int, scale: float, soon: Iterable[int] = ()) -> tuple[TargetBank, int]:
        """A bank of the photos of one size that holds `photo`, at `scale` of the training width, and its slot.

        Args:
            soon: the photos that will be asked for next.
        """
        self._turn_to(scale)
        bank = self._bank_of(photo)
        if photo not in bank.slots:
            self._call(photo)
            bank.store(photo, self._make(self._coming.pop(photo).result()))
        bank.slots[photo] = slot = bank.slots.pop(photo)
        for v in soon:
            if v not in self._bank_of(v).slots:
                self._call(v)
        return bank, slot

    def _bank_of(self, photo: int) -> TargetBank:
        frame = self._frame(photo, self._scale)
        if frame not in self._banks:
            alike = sum(self._frame(v, self._scale) == frame for v in range(len(self)))
            size, count = (frame.height, frame.width), self._slots(frame, alike)

            def planes(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
                return torch.empty(count, *shape, dtype=dtype, device=self.device)

            targets = Target(
                photo=planes(3, *size, dtype=torch.uint8),
                weight=planes(*size),
                total=float(size[0] * size[1]),
                mean=planes(3, *size),
                variance=planes(3, *size),
                alpha_target=planes(*size) if self.alpha_masks else None,
            )
            self._banks[frame] = TargetBank(targets, frame)
        return self._banks[frame]

    def _slots(self, frame: Frame, alike: int) -> int:
        """How many of so many photos of one size fit into the budget, when each size gets its share."""
        budget = self.budget * alike / len(self)
        each = (PER_PIXEL + 4 * bool(self.alpha_masks)) * frame.width * frame.height
        return int(min(alike, max(LEAST, budget / each)))

    def _turn_to(self, scale: float) -> None:
        if scale != self._scale:  # one scale lives at a time: the caches of a target are 9 times the photo
            self._scale, self._made, self._banks, self._coming = scale, {}, {}, {}

    def _call(self, photo: int) -> None:
        """Begin to decode a photo, if nobody has."""
        if photo not in self._coming:
            self._threads = self._threads or ThreadPoolExecutor(THREADS, "photo")
            self._coming[photo] = self._threads.submit(self._small, photo, self._scale)

    def _frame(self, photo: int, scale: float) -> Frame:
        """Its size at `scale`, made once: each step asks for those of all that come soon."""
        found = self._sizes.get((photo, scale))
        if found is None:
            frame = self.frames[photo]
            width, height = (max(SMALLEST, round(side * scale)) for side in (frame.width, frame.height))
            found = self._sizes[photo, scale] = replace(frame, width=width, height=height)
        return found

    def _small(self, photo: int, scale: float) -> Small:
        """A photo and its mask at `scale`; runs in a thread of its own."""
        frame = self._frame(photo, scale)
        bytes_, mask = _smaller(self.photos[photo], self.masks[photo], (frame.width, frame.height))
        total = float(bytes_.shape[0] * bytes_.shape[1]) if mask is None else float(mask.sum(dtype=np.int64)) / 255
        sent = [
            None if a is None else torch.from_numpy(np.require(a, requirements="W"))
            for a in (bytes_, mask, self._cover(photo, (frame.width, frame.height)))
        ]
        if self.device.type == "cuda":
            sent = [None if t is None else t.pin_memory() for t in sent]
        assert sent[0] is not None
        return Small(sent[0], sent[1], total, sent[2])

    def _cover(self, photo: int, size: tuple[int, int]) -> NDArray[np.float32] | None:
        if not self.alpha_masks:
            return None
        mask = self.alpha_masks[photo]
        return np.full((size[1], size[0]), -1.0, np.float32) if mask is None else make_alpha_target(mask, size)

    def _make(self, small: Small) -> Target:
        photo, mask, alpha_target = (
            None if t is None else t.to(self.device, non_blocking=True)
            for t in (small.photo, small.mask, small.alpha_target)
        )
        assert photo is not None
        return make_target(photo, mask, alpha_target, small.total)


@functools.lru_cache(4)
def _order(seed: int, turn: int, count: int) -> list[int]:
    return permutation(key_of(seed, turn, Purpose.ORDER), count)


def _smaller(
    photo: NDArray[np.uint8], mask: NDArray[np.uint8] | None, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Both brought to (width, height) by area averaging, the photo in linear light."""
    if (photo.shape[1], photo.shape[0]) == size:
        return photo, mask
    linear = area_average(photo, size, TABLE_8)
    if mask is not None:
        mask = np.rint(area_average(mask[..., None].astype(np.float32), size)[..., 0]).astype(np.uint8)
    return to_bytes(to_srgb(linear)), mask
