"""What a lens model is: it asks for sharp renders and makes of them the photo that the camera would take.

In: `draw(view)`, which renders the scene before its backdrop for any affine view. Out: the photo [H, W, 3] in linear
light. A lens knows nothing of Gaussians, and the trainer nothing of blur: a new lens is a new file here and a line in
`LENSES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from macrosplat.render import Pinhole


@dataclass(frozen=True)
class Sharp:
    """What a pinhole sees, before its backdrop."""

    colour: Tensor  # [H, W, 3] linear light, opaque: backdrop included
    alpha: Tensor  # [H, W] how much of it is the scene's
    depth: Tensor  # [H, W] expected camera z of the scene; meaningless where alpha is small


Draw = Callable[[Tensor], Sharp]  # view [4, 4] -> what a pinhole sees from there


@dataclass(frozen=True)
class Pupil:
    """Through how many points of the pupil a lens that can do so looks; 1: through its centre."""

    points: int = 1
    angle: float = 0.0  # radians by which their ring is turned: another one each step, so that no direction is favoured


@dataclass(frozen=True)
class LensStart:
    """Where the lens starts: V photos, scene units, px of the training width."""

    pupil: float  # diameter of the entrance pupil, scene units
    focus: tuple[float, ...]  # V focus distances (camera z), scene units
    aperture: tuple[float, ...]  # V relative pupil diameters, from the photos' f-numbers: 1 where they agree
    sigma0: float = 0.5  # px
    width: int = 640  # px that `sigma0` counts


class Lens(Protocol):
    """One lens model with what it has learned."""

    name: str
    parameters: dict[str, Tensor]  # learned with the scene; leaves that require gradients
    rates: dict[str, float]  # learning rate of each parameter at the start

    def photograph(self, draw: Draw, view: Tensor, pinhole: Pinhole, photo: int, through: Pupil) -> Tensor:
        """The photo [H, W, 3], linear light, that photo number `photo` would be."""
        ...

    def radius(self, depth: Tensor, pinhole: Pinhole, photo: int) -> Tensor:
        """[H, W] signed radius (px) of the circle of confusion at a depth, positive behind the focus: for maps."""
        ...

    def found(self) -> dict:
        """What was learned, for `lens.json`: scene units and px, plain numbers."""
        ...
