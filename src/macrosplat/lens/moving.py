"""Which photos moved during their exposure, and how, as a lens knows it; what a motion is stands in `motion`.

In: parameters of a lens, those of `motion.parameters` among them if it was asked to look. Out: what is known of a
photo. The host reads what was decided once, and again after it has changed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from macrosplat.lens import motion
from macrosplat.lens.model import PhotoIndex
from macrosplat.lens.terms import NOT_SEEN, SEEN
from macrosplat.render import Camera
from macrosplat.support.dispatch import select_row


class Moving:
    """A part of a lens: photos that may have moved."""

    parameters: dict[str, Tensor]
    width: int  # px that ways are counted in
    _looks: int | None = None  # what `lens.motion_looks` says, as far as the host has looked
    _moved: list[bool] | None = None  # what `lens.motion_seen` says, likewise

    def moved(self, photo: int) -> bool:
        if "lens.motion" not in self.parameters:
            return False
        if self._moved is None:
            self._moved = (self.parameters["lens.motion_seen"].detach() == SEEN).tolist()
        return self._moved[photo]

    def some_moved(self) -> bool:
        """Whether any photo is known to have moved."""
        return self.moved(0) or any(self._moved or ())

    def say_moved(self, photo: int, numbers: Tensor | None) -> None:
        """Decide whether a photo moved during its exposure, and how (`motion.screw`): [6] px, None: it did not."""
        with torch.no_grad():
            self.parameters["lens.motion_seen"][photo] = NOT_SEEN if numbers is None else SEEN
            self.parameters["lens.motion"][photo] = 0.0 if numbers is None else numbers
        self._moved = None

    def motion(self, photo: int) -> Tensor:
        """[6] px of a photo over its exposure (`motion.screw`); 0: it did not move."""
        return self.parameters["lens.motion"].detach()[photo] * float(self.moved(photo))

    def looks(self, t: float) -> bool:
        if "lens.motion" not in self.parameters:
            return False
        if self._looks is None:
            self._looks = round(float(self.parameters["lens.motion_looks"].detach()))
        return self._looks < sum(t >= due for due in motion.LOOKS)

    def looked(self, t: float) -> None:
        with torch.no_grad():
            self.parameters["lens.motion_looks"].fill_(sum(t >= due for due in motion.LOOKS))
        self._looks = None

    def screw(self, photo: PhotoIndex, camera: Camera, focus: Tensor) -> Tensor:
        """[4, 4] along which the camera of a photo moves during the exposure."""
        wide, high = self.width, self.width * camera.frame.height / camera.frame.width
        # Of photos that are taken together, some moved.
        decided = select_row(self.parameters["lens.motion_seen"].detach(), photo).clamp_min(NOT_SEEN)
        numbers = decided * select_row(self.parameters["lens.motion"], photo)
        focal = camera.intrinsics[0].detach() * (wide / camera.frame.width)
        return motion.screw(numbers, focus.detach(), focal, motion.reach_of(wide, high))

    def _ways(self, photos: int) -> tuple[float | None, ...] | None:
        """[V] px by which photos moved; None: it was not looked for."""
        if "lens.motion" not in self.parameters:
            return None
        lengths = [float(motion.length(self.motion(photo))) for photo in range(photos)]
        return tuple(px if px >= motion.LEAST else None for px in lengths)
