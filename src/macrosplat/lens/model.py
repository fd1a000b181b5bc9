"""What a lens model is: it asks for sharp renders and makes of them the photo that the camera would take.

In: `draw(camera)`, which renders the scene over its backdrop for any affine view. Out: the photo [H, W, 3] in linear
light. A lens knows nothing of Gaussians, and the trainer nothing of blur: a new lens model is a new file here and a
line in `LENSES`. It plans its own part of the training (`LensPlan`) and says what it found out (`LensEstimate`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.lens.prior import PupilPrior
from macrosplat.render import Camera
from macrosplat.support.dispatch import select_row


@dataclass(frozen=True)
class Sharp:
    """What a camera sees, over its backdrop."""

    # [H, W, 3] linear light, opaque: backdrop included; as a fourth channel its alpha, where the photo has a mask.
    colour: Tensor
    alpha: Tensor  # [H, W] how much of it is the scene's
    depth: Tensor  # [H, W] expected camera z of the scene; meaningless where alpha is small


# The index of a photo; as a tensor [1] on the device inside a recorded step, which the host must not read.
PhotoIndex = int | Tensor
Reshape = Callable[[Any], Any]  # a scene to one of the same kind, whatever it is made of


class Draw(Protocol):
    def __call__(self, camera: Camera, reshape: Reshape | None = None, /) -> Sharp:
        """What a camera sees; `reshape` may change the scene before, for this once. Of M cameras everything has M in
        front; a GPU draws them at once."""
        ...


CENTRE_INSTANTS = 4  # at which a photo that moved is taken through the pupil's centre alone


@dataclass(frozen=True)
class Sampling:
    """How the aperture is sampled by a lens that can do so: by so many sub-aperture views.

    1: through its centre alone; 0: there is no aperture yet, and the photo is a pinhole's.
    """

    samples: int = 1
    # Radians by which their ring is turned: another angle each step, so that no direction is favoured. A tensor []
    # inside a recorded step.
    angle: float | Tensor = 0.0
    # Through how many of them gradients go, each standing for some of the others as well: their mean is what all have,
    # for less work. 0: through all.
    learned: int = 0
    # Whether the photo moved during its exposure: the host says so of one that only the device knows.
    moving: bool = False

    @property
    def at_once(self) -> int:
        """Views that are drawn together where gradients are asked for."""
        return CENTRE_INSTANTS if self.moving and self.samples == 1 else self.learned or self.samples


@dataclass(frozen=True)
class LensPlan:
    """What a lens model wants of a step."""

    sampling: Sampling = Sampling()
    rates: Mapping[str, float] = field(default_factory=dict)  # of those of its parameters that learn, by name
    scene_rate: float = 1.0  # the scene learns at so many times its own rates
    poses: bool = True  # whether poses that were found from the photos may be refined
    focal: bool = True  # whether their focal lengths may be, too: where blur errs, they follow it
    dssim_weight: float = 0.2  # of D-SSIM in the loss, as in 3D Gaussian Splatting (Kerbl et al. 2023)
    terms: tuple[str, ...] = ()  # of the lens that change a photo: what is decided of one makes another kind of step
    extra: float = 0.0  # Gaussians that should have been added anywhere by now, as a share of the most there may be


@dataclass(frozen=True)
class LensEstimate:
    """What a thin lens was found to be: V photos, scene units."""

    pupil_diameter: float  # of the entrance pupil, where the relative aperture is 1
    focus_distances: tuple[float, ...]  # V camera z of the plane of focus
    relative_apertures: tuple[float, ...]  # V pupil diameters relative to `pupil_diameter`
    sigma0_px: float  # blur that is left in focus, standard deviation, px of the training width
    width_px: int  # the training width
    # By what 1 / focus distance is more for red and blue than for green, 1 / scene units; None: not seen in the photos.
    colour_offsets: tuple[float, float] | None = None
    vignetting: float | None = None  # stops lost in the corner; None: not seen in the photos
    # By what 1 / focus distance is more in the corner than in the middle, 1 / scene units; None: not seen.
    corner_offset: float | None = None
    # How far red and blue are farther out in the corner than green, px of the training width; None: likewise.
    lateral_px: tuple[float, float] | None = None
    # How many blades, the angle of the middle of one (radians, from the right downwards) and how straight they are;
    # None: not seen in the photos.
    blades: tuple[float, ...] | None = None
    cats_eye: float | None = None  # the corner's t of `lens.cats_eye`; None: likewise
    # V px of the training width by which what is in focus moved during the exposure (None: it did not); None: not
    # looked for.
    motion_px: tuple[float | None, ...] | None = None

    def corner_focus(self) -> float | None:
        """By how much farther than the middle the corner is in focus, scene units, at the middle of the focus
        distances; None: not seen in the photos."""
        if self.corner_offset is None:
            return None
        middle = float(np.median(self.focus_distances))
        return 1 / (1 / middle + self.corner_offset) - middle

    def colour_focus(self) -> tuple[float, float] | None:
        """By how much farther than green red and blue are in focus, scene units, at the middle of the focus distances;
        None: not seen in the photos."""
        if self.colour_offsets is None:
            return None
        middle = float(np.median(self.focus_distances))
        red, blue = (1 / (1 / middle + offset) - middle for offset in self.colour_offsets)
        return red, blue


@dataclass(frozen=True)
class LensStart:
    """Where the lens starts: V photos, scene units, px of the training width."""

    pupil: float  # diameter of the entrance pupil, scene units
    focus: tuple[float, ...]  # V focus distances (camera z), scene units
    aperture: tuple[float, ...]  # V relative pupil diameters, from the photos' f-numbers: 1 where they agree
    sigma0: float = 0.5  # px
    width: int = 640  # px that `sigma0` counts
    all_blurred: bool = False  # nothing is in focus: sigma0 is frozen, or it would take that for the lens's own
    focal: tuple[float, ...] = ()  # V fx / width under which distances were found; none: those of the cameras
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
    learn_from: float = 0.05  # of the steps: the lens's numbers are frozen until there is a scene to judge them by
    poses_from: float = 0.4  # of the steps: after the blur has settled

    def to(self, device: torch.device) -> None:
        """Move everything that is learned or looked up to a device."""
        self.parameters = {name: t.detach().to(device) for name, t in self.parameters.items()}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))

    def plan(self, t: float) -> LensPlan:
        """What it wants of the step at `t` of the training, 0 to 1; the angle of the sampling is not its matter."""
        return LensPlan(rates=self.rates if t >= self.learn_from else {}, poses=t >= self.poses_from)

    def intrinsics(self, calibrated: Tensor, photo: PhotoIndex) -> Tensor:
        """[4] fx, fy, cx, cy of a photo, from the calibrated ones: where the lens itself changes them as it focuses."""
        return calibrated

    spread: float = 0.0  # relative standard deviation of those magnifications at the start

    def magnifications(self) -> Tensor | None:
        """[V] of what the photos have in focus, less their mean, in standard deviations of the start, without gradient;
        None: the model knows no focus."""
        return None

    def photograph(self, draw: Draw, camera: Camera, photo: PhotoIndex, sampling: Sampling) -> Tensor:
        """The photo [H, W, C], linear light, that photo `photo` would be; C as `Sharp.colour` has."""
        ...

    def moved(self, photo: int) -> bool:
        """Whether a photo is known to have moved during its exposure. May wait for the device, once."""
        return False

    def smear(self, depth: Tensor, camera: Camera, photo: int) -> Tensor | None:
        """[H, W] px of the frame by which what is seen at depth [H, W] moved during the exposure; None: nothing did."""
        return None

    def some_moved(self) -> bool:
        """Whether any is."""
        return False

    def looks(self, t: float) -> bool:
        """Whether photos are to be looked at for motion before the step at `t` of the training."""
        return False

    def looked(self, t: float) -> None:
        """They were."""

    def undecided(self, t: float) -> bool:
        """Whether a question about the lens is to be decided before the step at `t` of the training."""
        return False

    def decide(self, look: Callable[[], Any] | None = None) -> None:
        """Decide it, from what was learned so far. May wait for the device.

        Args:
            look: compares the photos with what the pupil's rim makes of them (`rim.RimTold`); None: it cannot be asked.
        """

    def believe(self, gradients: dict[str, Any]) -> None:
        """Add to the gradients of a step what is known of the lens beforehand; without gradients of its own."""

    def confine(self) -> None:
        """After a step: bring what was learned back to what is possible."""

    def radius(self, sharp: Sharp, camera: Camera, photo: int, points: Tensor | None = None) -> Tensor:
        """[H, W] signed radius (px) of the circle of confusion, positive behind the focus: for maps.

        Args:
            points: [H, W, 2] px, where in the frame the depths are; None: each in a pixel of its own.
        """
        ...

    def sigma_in_focus(self, camera: Camera) -> Tensor | None:
        """[] px of this camera's frame, the blur that is left where the lens is in focus; None: the model knows no
        plane of focus, and what it makes of depth was learned of mean depths."""
        return None

    def estimate(self, focal: Tensor) -> LensEstimate | None:
        """What was found out about the lens, of cameras whose fx / width is `focal` [V]; None: the model knows none."""
        return None

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


def dolly(start: Tensor, camera: Camera, photo: PhotoIndex) -> Tensor | float:
    """By what a depth of this camera is multiplied to be the one that it was under the focal length at the start.

    A camera whose focal length is corrected steps back (`Rig`): what is seen at a px keeps fx / depth, its
    magnification. Distances that a lens learns are kept as such, or each step of the focal length would defocus all.

    Args:
        start: [V] fx / width; empty: that of the camera, whatever it is.
    """
    if not len(start):
        return 1.0
    return select_row(start, photo) * camera.frame.width / camera.intrinsics[0]
