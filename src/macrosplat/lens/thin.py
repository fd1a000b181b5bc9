"""`lens`: a thin lens with one pupil for the capture and one focus distance per photo.

Signed defocus in px: s = (D / 2) fx (1 / d0 - 1 / d); blur sigma^2 = sigma0^2 + (s / 2)^2. Exact at every magnification,
because a calibrated fx already holds the image distance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from macrosplat.lens.blur import variable_blur
from macrosplat.lens.coc import defocus
from macrosplat.lens.model import Draw, LensStart, Sharp
from macrosplat.render import Pinhole

# Of Adam, per step. All three are relative: 0.002 is 0.2 % of the pupil or of sigma0, 5e-4 is 0.05 % of the focus distance.
PUPIL_RATE, FOCUS_RATE, SIGMA0_RATE = 2e-3, 5e-4, 2e-3
SIGMA0_MIN, SIGMA0_MAX = 0.05, 1.5  # px: diffraction, anti-alias filter, demosaicing; more than that is defocus


class ThinLens:
    name = "lens"

    def __init__(self, start: LensStart) -> None:
        focus = torch.tensor(start.focus)
        self.reference = 1 / focus  # [V] 1 / scene units: what `focus` is relative to
        self.aperture = torch.tensor(start.aperture)  # [V]
        self.width = start.width
        self.parameters = {
            "lens.pupil": torch.tensor(math.log(start.pupil)),  # ln of scene units
            "lens.focus": torch.zeros(len(focus)),  # 1 / d0 = reference (1 + focus)
            "lens.sigma0": torch.tensor(math.log(start.sigma0)),  # ln of px at the training width
        }
        self.rates = {"lens.pupil": PUPIL_RATE, "lens.focus": FOCUS_RATE, "lens.sigma0": SIGMA0_RATE}

    def pupil(self, photo: int) -> Tensor:
        """Diameter of the entrance pupil, scene units."""
        return self.parameters["lens.pupil"].exp() * self.aperture[photo]

    def focus(self, photo: int) -> Tensor:
        """Focus distance (camera z), scene units."""
        return 1 / (self.reference[photo] * (1 + self.parameters["lens.focus"][photo]))

    def sigma0(self) -> Tensor:
        """Blur in focus, px at the training width."""
        return self.parameters["lens.sigma0"].exp().clamp(SIGMA0_MIN, SIGMA0_MAX)

    def photograph(self, draw: Draw, view: Tensor, pinhole: Pinhole, photo: int) -> Tensor:
        sharp = draw(view)
        return variable_blur(sharp.colour, self.sigma(sharp, pinhole, photo))

    def sigma(self, sharp: Sharp, pinhole: Pinhole, photo: int) -> Tensor:
        sigma0 = self.sigma0() * (pinhole.width / self.width)
        return defocus(sharp.depth, sharp.alpha, pinhole.fx, self.pupil(photo), self.focus(photo), sigma0)

    def found(self) -> dict:
        photos = range(len(self.reference))
        with torch.no_grad():
            return {
                "model": self.name,
                "pupil_diameter": self.parameters["lens.pupil"].exp().item(),
                "focus_distance": [self.focus(photo).item() for photo in photos],
                "relative_aperture": self.aperture.tolist(),
                "sigma0_px": self.sigma0().item(),
                "width_px": self.width,
            }
