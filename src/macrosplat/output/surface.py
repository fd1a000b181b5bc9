"""Where the surface lies that a photo sees, and how blurred the photo is there.

In: what was learned, a camera. Out: camera z and the signed radius of circles of confusion, per pixel. A radius by the
mean depth of a ray is off by twice as much as one by where the ray meets the scene (experiments: radius-by-surface).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from macrosplat.lens import Sharp
from macrosplat.model.model import Model
from macrosplat.render import Camera
from macrosplat.render.surface import surface_depth


@dataclass(frozen=True)
class Surface:
    """What a photo sees, at the camera's size."""

    sharp: Sharp  # as it is drawn
    depth: Tensor  # [H, W] camera z, scene units; 0 where nothing is
    radius: Tensor  # [H, W] px, signed, > 0 behind the focus; 0 where nothing is
    smear: Tensor | None = None  # [H, W] px that it moved during the exposure; None: it did not

    @property
    def there(self) -> Tensor:
        """[H, W] whether a ray ends in the scene."""
        return self.depth > 0

    @property
    def blur(self) -> Tensor:
        """[H, W] px, signed: the radius of a disc as wide as the blur by defocus and by motion, along the motion."""
        if self.smear is None:
            return self.radius
        # Variances: of a disc its radius squared over 4, of a way its length squared over 12.
        return torch.hypot(self.radius, self.smear / 3**0.5) * torch.where(self.radius < 0, -1.0, 1.0)


@torch.no_grad()
def surface_of(model: Model, camera: Camera, photo: int) -> Surface:
    """What photo number `photo` sees through its own camera, of any size."""
    sharp = model.draw(camera, photo)
    depth = median_of_nine(surface_depth(model.gaussians.detach(), camera))
    measured = sharp if model.lens.sigma_in_focus(camera) is None else replace(sharp, depth=depth)
    radius = torch.where(depth > 0, model.blur_radius(photo, measured), 0.0)
    smear = model.lens.smear(depth, camera, photo)
    return Surface(sharp, depth, radius, None if smear is None else torch.where(depth > 0, smear, 0.0))


def median_of_nine(plane: Tensor) -> Tensor:
    """[H, W] the median of 3 x 3 pixels, edges repeated: single rays end in what floats before a surface."""
    padded = torch.nn.functional.pad(plane[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    height, width = plane.shape
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    # Smith 1996: the median of nine by 19 exchanges, which a GPU and a CPU both do at the speed of memory.
    for a, b in _EXCHANGES:
        shifted[a], shifted[b] = torch.minimum(shifted[a], shifted[b]), torch.maximum(shifted[a], shifted[b])
    return shifted[4]


_EXCHANGES = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)
