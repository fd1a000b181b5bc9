"""What a lens model is: it asks for sharp renders and makes of them the photo that the camera would take.

In: `draw(camera)`, which renders the scene over its backdrop for any affine view. Out: the photo [H, W, 3] in linear
light. A lens knows nothing of Gaussians, and the trainer nothing of blur: a new lens is a new file here and a line in
`LENSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.lens.prior import PupilPrior
from macrosplat.render import Camera


@dataclass(frozen=True)
class Sharp:
    """What a camera sees, over its backdrop."""

    # [H, W, 3] linear light, opaque: backdrop included; as a fourth channel its alpha, where the photo has a mask.
    colour: Tensor
    alpha: Tensor  # [H, W] how much of it is the scene's
    depth: Tensor  # [H, W] expected camera z of the scene; meaningless where alpha is small


# The number of a photo; as a tensor [1] on the device where the host must not know it (`devices.row`).
Number = int | Tensor
Reshape = Callable[[Any], Any]  # a scene to one of the same kind, whatever it is made of


class Draw(Protocol):
    def __call__(self, camera: Camera, reshape: Reshape | None = None, /) -> Sharp:
        """What a camera sees; `reshape` may change the scene before, for this once. Of M cameras everything has M in
        front; a GPU draws them at once."""
        ...


@dataclass(frozen=True)
class Pupil:
    """Through how many points of the pupil a lens that can do so looks; 1: through its centre; 0: it is not there yet,
    and the photo is a pinhole's."""

    points: int = 1
    # Radians by which their ring is turned: another one each step, so that no direction is favoured. A tensor [] where
    # the host must not know it.
    angle: float | Tensor = 0.0


@dataclass(frozen=True)
class LensStart:
    """Where the lens starts: V photos, scene units, px of the training width."""

    pupil: float  # diameter of the entrance pupil, scene units
    focus: tuple[float, ...]  # V focus distances (camera z), scene units
    aperture: tuple[float, ...]  # V relative pupil diameters, from the photos' f-numbers: 1 where they agree
    sigma0: float = 0.5  # px
    width: int = 640  # px that `sigma0` counts
    all_blurred: bool = False  # nothing is in focus anywhere: sigma0 is held, or it would take that for the lens's own
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the sparse points, scene units
    distance: float = 1.0  # median depth of what the photos see, scene units
    spread: float = 1.0  # standard deviation of those depths, scene units
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)  # the model's own options, by name
    exif: PupilPrior | None = None  # what EXIF tells of the pupil

    def __post_init__(self) -> None:
        if isinstance(self.exif, dict):  # as a checkpoint holds it
            object.__setattr__(self, "exif", PupilPrior(**self.exif))


class Lens(Protocol):
    """One lens model with what it has learned. Models derive from it; what most do not need has a default here."""

    name: str
    parameters: dict[str, Tensor]  # learned with the scene; leaves that require gradients
    rates: dict[str, float]  # learning rate of each parameter at the start
    exif: PupilPrior | None = None  # what EXIF tells of the pupil
    schedule: Mapping[str, Any] = {}  # what of `Schedule` is otherwise with this lens

    def to(self, device: torch.device) -> None:
        """Move everything that is learned or looked up to a device."""
        self.parameters = {name: t.detach().to(device) for name, t in self.parameters.items()}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))

    def farther(self, factor: float) -> Self:
        """The lens for cameras that call every depth `factor` times as large and have as much longer a focal length."""
        return copy(self)

    def photograph(self, draw: Draw, camera: Camera, photo: Number, through: Pupil) -> Tensor:
        """The photo [H, W, C], linear light, that photo number `photo` would be; C as `Sharp.colour` has."""
        ...

    def believe(self, gradients: dict[str, Any]) -> None:
        """Add to the gradients of a step what is known of the lens beforehand; without gradients of its own."""

    def confine(self) -> None:
        """After a step: bring what was learned back to what is possible."""

    def radius(self, sharp: Sharp, camera: Camera, photo: int) -> Tensor:
        """[H, W] signed radius (px) of the circle of confusion, positive behind the focus: for maps."""
        ...

    def found(self) -> dict:
        """What was learned, for `lens.json`: scene units and px, plain numbers."""
        ...

    def look(
        self,
        photos: Sequence[NDArray[np.uint8]],  # V of [H, W, 3] sRGB at the training width
        masks: Sequence[NDArray[np.uint8] | None],  # V of [H, W], white = counts
    ) -> Sequence[NDArray[np.uint8] | None]:
        """Sees the photos, once whenever a run begins or goes on. Returns the masks to train with."""
        return masks

    def maps(self, sharp: Sharp, camera: Camera, photo: int) -> dict[str, Tensor]:
        """Further pictures [H, W] >= 0 of a photo, by the name of their folder in `maps/`."""
        return {}
