"""The deblurred photos of a run, one by one: the only file of this room that knows what a model is.

In: what was learned, the photos as taken. Out: [H, W, 3] sRGB in [0, 1], each at its photo's own size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.cameras.records import Distortion
from macrosplat.cameras.undistort import read_undistorted
from macrosplat.lens import Sampling
from macrosplat.lens.blur import variable_blur
from macrosplat.lens.thin import ThinLens
from macrosplat.model.model import Model
from macrosplat.output.detail.believed import believed
from macrosplat.output.detail.evidence import evident_sharpness
from macrosplat.output.detail.grain import find_grain
from macrosplat.output.detail.own import keep_detail
from macrosplat.output.detail.radius import blur_radius
from macrosplat.output.surface import Surface, surface_of
from macrosplat.photos.records import Photo
from macrosplat.render import Camera
from macrosplat.support.colour import to_srgb

KEPT = 1 << 24  # pixels whose radius is kept: 64 MB


@dataclass(frozen=True)
class Look:
    """A photo drawn at training size, for all who want to see it."""

    seen: Surface
    drawn: Tensor  # [h, w, 3] sRGB, the scene alone, all in focus
    taken: Tensor  # [h, w, 3] sRGB, as the lens makes the photo of it


@dataclass(frozen=True)
class Deblurred:
    """Makes the deblurred photos of a run."""

    model: Model
    cameras: Sequence[Camera]  # V, training size
    photos: Sequence[Photo]  # V
    distortion: Sequence[Distortion | None]  # V, of the photos as taken
    sampling: Sampling
    share: float = 0.0  # of the claimed radii that the photos show; with `own` False of no use
    own: bool = False  # whether the photos' own detail is kept
    radii: Mapping[int, Tensor] = field(default_factory=dict)  # of some photos what `claimed_radius` says, kept

    @torch.no_grad()
    def look(self, v: int) -> Look:
        """What is drawn of photo number v at training size."""
        seen = surface_of(self.model, self.cameras[v], v)
        drawn = _shown(self.model.exposure.expose(seen.sharp.colour, v))
        return Look(seen, drawn, _shown(self.model.photograph(v, self.sampling)))

    @torch.no_grad()
    def __call__(self, v: int, look: Look | None = None) -> NDArray[np.float32]:
        """[H, W, 3] sRGB of photo number v; `look`: what was drawn of it already."""
        photo, camera = self.photos[v], self.cameras[v]
        if self.own and self.share == 0:  # no blur to take back: in focus means the photo itself
            return np.divide(read_undistorted(photo, self.distortion[v]), 255, dtype=np.float32)
        look = self.look(v) if look is None else look
        drawn = look.drawn
        if drawn.shape[:2] != (photo.height, photo.width):
            drawn = _shown(self.model.sharp(camera.scaled(photo.width, photo.height), v))
        render = _planes(drawn)
        if not self.own:
            return _pixels(render)
        levels = torch.tensor(read_undistorted(photo, self.distortion[v]), device=render.device)
        as_taken = _planes(levels.to(torch.float32).div_(255))
        taken, radius = self._blur(v, look)
        # Of a blur that the photos do not show, nothing is to be taken back either.
        taken, radius = self.share * taken, self.share * radius
        evident = evident_sharpness(as_taken.mean(0), render.mean(0), radius)
        return _pixels(keep_detail(as_taken, render, taken, radius, evident, find_grain(as_taken, radius)))

    def _blur(self, v: int, look: Look) -> tuple[Tensor, Tensor]:
        """At training size: [3, h, w] sRGB what defocus takes from photo v; [h, w] its radius in px of the photo."""
        lens, camera = self.model.lens, self.cameras[v]
        assert isinstance(lens, ThinLens), "only a thin lens knows its blur in focus"
        seen = look.seen
        sigma0 = lens.sigma0() * (camera.frame.width / lens.width)
        in_focus = variable_blur(seen.sharp.colour, sigma0.expand(seen.depth.shape))
        taken = _shown(self.model.exposure.expose(in_focus, v)) - look.taken
        radius = self.radii[v] if v in self.radii else claimed_radius(seen)
        return _planes(taken), radius * (self.photos[v].width / camera.frame.width)


def claimed_radius(seen: Surface) -> Tensor:
    """[h, w] px of the render: how blurred the lens model says that a photo is."""
    return blur_radius(seen.radius, seen.there.to(seen.depth.dtype))


@torch.no_grad()
def share_shown(model: Model, photos: Sequence[NDArray[np.uint8]]) -> tuple[float, dict[int, Tensor]]:
    """By what the lens model's radii have to be multiplied to be those that the photos show (see `believed`); and the
    radii, of as many photos as `KEPT` allows.

    Args:
        photos: V of [h, w, 3] sRGB at the training size.
    """

    def each(v: int) -> tuple[Tensor, Tensor]:
        radius = claimed_radius(surface_of(model, model.camera(v), v))
        if (v + 1) * radius.numel() <= KEPT:
            radii[v] = radius
        grey = torch.tensor(photos[v], device=radius.device).to(torch.float32).mean(2) / 255
        return grey, radius

    radii: dict[int, Tensor] = {}
    return believed(each(v) for v in range(len(photos))), radii


def _shown(light: Tensor) -> Tensor:
    """Linear light as sRGB, as a photo holds it."""
    return to_srgb(light.clamp(0, 1))


def _planes(pixels: Tensor) -> Tensor:
    return pixels.permute(2, 0, 1).contiguous()


def _pixels(planes: Tensor) -> NDArray[np.float32]:
    return planes.permute(1, 2, 0).contiguous().cpu().numpy()
