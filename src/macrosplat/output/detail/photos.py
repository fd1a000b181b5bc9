"""The deblurred photos of a run, one by one: the only file of this room that knows what a model is.

In: what was learned, the photos as taken. Out: [H, W, 3] sRGB in [0, 1], each at its photo's own size, pixel on pixel
with the photo as taken (`keeps_frame`; else undistorted): what it has in focus is not interpolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.cameras.distort import AsTaken, keeps_frame
from macrosplat.cameras.records import Distortion
from macrosplat.cameras.undistort import read_undistorted
from macrosplat.lens import Sampling
from macrosplat.lens.blur import variable_blur
from macrosplat.model.model import Model
from macrosplat.output.detail.believed import UNTOLD, believed
from macrosplat.output.detail.evidence import evident_sharpness
from macrosplat.output.detail.grain import find_grain
from macrosplat.output.detail.own import keep_detail
from macrosplat.output.detail.radius import blur_radius
from macrosplat.output.surface import Surface, surface_of
from macrosplat.output.trust import explains
from macrosplat.photos.records import Photo
from macrosplat.render import Camera
from macrosplat.support.colour import to_srgb
from macrosplat.support.dispatch import kind_of
from macrosplat.support.memory import available
from macrosplat.support.metrics import LEAST_ERROR

# Of what was drawn of photos some is kept, in any case 270 MB: these pixels, or what a share of the free memory holds.
KEPT, PER_PIXEL, OF_FREE = 1 << 22, 64, 0.05
ROWS = 64  # that a CPU turns into sRGB at a time: what it needs meanwhile is memory that it has had before


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
    looks: Mapping[int, Look] = field(default_factory=dict)  # of some photos what was drawn already

    @torch.no_grad()
    def look(self, v: int) -> Look:
        """What is drawn of photo number v at training size."""
        if v in self.looks:
            return self.looks[v]
        seen = surface_of(self.model, self.cameras[v], v)
        drawn = _shown(self.model.exposure.expose(seen.sharp.colour, v))
        return Look(seen, drawn, _shown(self.model.photograph(v, self.sampling)))

    def read(self, v: int) -> NDArray[np.uint8]:
        """[H, W, 3] sRGB of photo number v itself."""
        distortion = self.distortion[v]
        return read_undistorted(self.photos[v], None if keeps_frame(distortion) else distortion)

    @torch.no_grad()
    def __call__(
        self, v: int, look: Look | None = None, levels: NDArray[np.uint8] | None = None
    ) -> NDArray[np.float32]:
        """[H, W, 3] sRGB of photo number v; `look`: what was drawn of it already, `levels`: what was `read`."""
        photo, camera, distortion = self.photos[v], self.cameras[v], self.distortion[v]
        if self.own and self.share == 0:  # no blur to take back: in focus means the photo itself
            return np.divide(self.read(v) if levels is None else levels, 255, dtype=np.float32)
        look = self.look(v) if look is None else look
        bend = AsTaken(distortion, photo.width, photo.height) if keeps_frame(distortion) else None
        drawn = look.drawn
        if bend is not None:
            wide = _wider(camera.scaled(photo.width, photo.height), *bend.margin)
            drawn = _bent(_shown(self.model.sharp(wide, v)), bend, bend.margin)
        elif drawn.shape[:2] != (photo.height, photo.width):
            drawn = _shown(self.model.sharp(camera.scaled(photo.width, photo.height), v))
        render = _planes(drawn)
        whole = bend is None or bool(bend.seen().all())
        if not self.own and whole:
            return _pixels(render)
        levels = self.read(v) if levels is None else levels
        as_taken = _planes(torch.tensor(levels, device=render.device).to(torch.float32).div_(255))
        out = render
        if self.own:
            taken, radius = self._blur(v, look)
            # Of a blur that the photos do not show, nothing is to be taken back either.
            taken, radius = self.share * taken, self.share * radius
            evident = evident_sharpness(as_taken.mean(0), render.mean(0), radius)
            if look.seen.smear is not None:
                evident = evident * self._still(v, look.seen.smear, evident)
            out = keep_detail(as_taken, render, taken, radius, evident, find_grain(as_taken, radius))
        if bend is not None and not whole:  # what no pinhole's picture shows stays as it was taken
            out = torch.where(torch.from_numpy(bend.seen()).to(out.device), out, as_taken)
        return _pixels(out)

    def _still(self, v: int, smear: Tensor, like: Tensor) -> Tensor:
        """As large as `like`, 0 ... 1: how little photo v moved. What is sharp across its way is not sharp along it."""
        own = smear[None, None] * (self.photos[v].width / smear.shape[1])
        return torch.exp(-(F.interpolate(own, tuple(like.shape), mode="bilinear", align_corners=False)[0, 0] ** 2))

    def _blur(self, v: int, look: Look) -> tuple[Tensor, Tensor]:
        """At training size, as taken: [3, h, w] sRGB what defocus takes from photo v; [h, w] its radius in px of it."""
        camera, seen = self.cameras[v], look.seen
        sigma = self.model.lens.sigma_in_focus(camera)
        assert sigma is not None, "own detail is asked of a lens that knows where it is in focus"
        in_focus = variable_blur(seen.sharp.colour, sigma.expand(seen.depth.shape))
        taken = _shown(self.model.exposure.expose(in_focus, v)) - look.taken
        radius = claimed_radius(seen)
        distortion = self.distortion[v]
        if keeps_frame(distortion):
            bend = AsTaken(distortion, camera.frame.width, camera.frame.height)
            taken, radius = _bent(taken, bend), _bent(radius[..., None], bend)[..., 0]
        return _planes(taken), radius * (self.photos[v].width / camera.frame.width)


def claimed_radius(seen: Surface) -> Tensor:
    """[h, w] px of the render: how blurred the lens model says that a photo is."""
    return blur_radius(seen.blur, seen.there.to(seen.depth.dtype))


def share_shown(
    deblurred: Deblurred, photos: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.uint8] | None]
) -> tuple[float, dict[int, Look]]:
    """By what the lens model's radii have to be multiplied to be those that the photos show (see `believed`), 0 where
    its lens explains them no better than none does; and what was drawn, of as many photos as there is room for.

    Args:
        photos: V of [h, w, 3] sRGB at the training size. masks: V of [h, w], white = counts; None, or no masks at
            all: everything does.
    """

    def each(v: int) -> tuple[Tensor, Tensor]:
        look = deblurred.look(v)
        photo = torch.tensor(photos[v], device=look.drawn.device).to(torch.float32).div_(255)
        radius = claimed_radius(look.seen)
        if look.seen.smear is not None:
            # Blurred along one direction: what it has in focus is nothing to compare with, and tells nothing.
            radius = claimed_radius(replace(look.seen, smear=None)).clamp_min(UNTOLD)
        if (v + 1) * radius.numel() <= _room(radius.device):
            looks[v] = look
        mask = masks[v] if masks else None
        where = None if mask is None else torch.tensor(mask, device=photo.device) >= 128
        fits.append([_psnr(drawn, photo, where) for drawn in (look.taken, look.drawn)])
        return photo.mean(2), radius

    looks: dict[int, Look] = {}
    fits: list[list[Tensor]] = []
    share = believed(each(v) for v in range(len(photos)))
    through_lens, without = torch.tensor([[float(fit) for fit in pair] for pair in fits]).mean(0)
    return share if explains(float(through_lens), float(without)) else 0.0, looks


def _psnr(drawn: Tensor, photo: Tensor, where: Tensor | None) -> Tensor:
    """A scalar, dB, of [h, w, 3] where they count [h, w]; the host need not wait for it."""
    error = (drawn - photo).double().square_().mean(2)
    counts = torch.ones_like(error) if where is None else where.double()
    return -10 * ((error * counts).sum() / counts.sum()).clamp_min(LEAST_ERROR).log10()


def _room(device: torch.device) -> float:
    """Pixels of what was drawn that are kept where it is drawn."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available() or 0.0
    return max(KEPT, OF_FREE * free / PER_PIXEL)


def _wider(camera: Camera, right: int, down: int) -> Camera:
    """The same pixels, and so many more on either side."""
    frame = replace(camera.frame, width=camera.frame.width + 2 * right, height=camera.frame.height + 2 * down)
    shift = camera.intrinsics.new_tensor([0, 0, right, down])
    return replace(camera, intrinsics=camera.intrinsics + shift, frame=frame)


def _bent(picture: Tensor, bend: AsTaken, margin: tuple[int, int] = (0, 0)) -> Tensor:
    """[H, W, C] of a pinhole as its lens shows it."""
    return torch.from_numpy(bend.drawn(picture.cpu().numpy(), margin)).to(picture.device)


def _shown(light: Tensor) -> Tensor:
    """Linear light [H, W, C] as sRGB, as a photo holds it."""
    if kind_of(light.device) != "cpu":
        return to_srgb(light.clamp(0, 1))
    srgb = torch.empty_like(light)
    for part, whole in zip(light.split(ROWS), srgb.split(ROWS), strict=True):
        whole.copy_(to_srgb(part.clamp(0, 1)))
    return srgb


def _planes(pixels: Tensor) -> Tensor:
    return pixels.permute(2, 0, 1).contiguous()


def _pixels(planes: Tensor) -> NDArray[np.float32]:
    return planes.permute(1, 2, 0).contiguous().cpu().numpy()
