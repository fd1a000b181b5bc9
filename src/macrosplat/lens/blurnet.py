"""`blurnet`: the blur of every photo is a map of variances that two small networks guess (Zhao et al. 2025).

Per view, from a sharp render and the photo's clarity mask M:

    d_rel = d - sum M^p d / sum M^p                   relative depth, 0 where the photo is sharp   `relative_depth`
    variance = E(d_rel) * A(render, M)                depth CNN times RGB CNN, px^2                `BlurNet.variance`
    photo = render, each pixel blurred by its own isotropic Gaussian of that variance              `BlurNet.photograph`

The blur is the ladder's (`blur.py`), not a kernel of fixed size per pixel: where the paper has a kernel's radius, here
stands the largest sigma (`Blurnet.blur_radius`).

The networks belong to one capture and are learned with its scene, from nothing but the photos. They are not needed to
draw. What the paper leaves open is marked [ours].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.lens.blur import variable_blur
from macrosplat.lens.clarity import clarity_of
from macrosplat.lens.coc_reference import SOLID
from macrosplat.lens.model import Draw, Lens, LensPlan, LensStart, PhotoIndex, Sampling, Sharp, dolly
from macrosplat.options.baselines import REFERENCE_WIDTH, Blurnet
from macrosplat.render import Camera
from macrosplat.support.colour import to_linear, to_srgb
from macrosplat.support.dispatch import select_row

# px of any frame: what the photo's own pixels blur, added to the variance. A sampled Gaussian below 0.25 px is a single
# pixel, and its slope is nothing: sigmas that came there would stay there.
SIGMA_LEAST = 0.3
FAINT = 1e-6  # clarity that every pixel has: a photo that is sharp nowhere on the object still has a centre
QUIET = 0.1  # the last layer's first weights, relative to the others': the map starts nearly even


class BlurNet(Lens):
    name = "blurnet"

    def __init__(self, start: LensStart) -> None:
        self.chosen = chosen = Blurnet(**start.settings)
        self.centre, self.spread, self.focal = start.distance, start.spread, torch.tensor(start.focal)
        alone, joint = (chosen.alone_until, chosen.joint_from) if chosen.stages == "three" else (0.0, 0.0)
        self.blur_from = alone if chosen.first == "plain" else 0.0
        self.learn_from, self.joint_from = alone, joint
        random = torch.Generator().manual_seed(start.seed)
        self.parameters = {}
        for net, inputs, wanted in (("depth", 1, chosen.depth != "none"), ("rgb", 4, chosen.rgb == "on")):
            if wanted:
                self.parameters |= _network(
                    f"lens.{net}", inputs, chosen.channels, chosen.layers, chosen.kernel, chosen.sigma_start, random
                )
        self.rates = dict.fromkeys(self.parameters, chosen.rate)
        self._masks: list[Tensor] = []
        # All of them, by the size, device and precision that were asked for. Each stays: a recorded step reads it.
        self._resized: dict[tuple[Any, ...], Tensor] = {}

    def look(
        self, photos: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.uint8] | None]
    ) -> Sequence[NDArray[np.uint8] | None]:
        chosen = self.chosen
        if chosen.clarity == "guided":
            radii = chosen.clarity_radius, chosen.clarity_eps, chosen.smooth_radius, chosen.smooth_eps
            self._masks = [clarity_of(photo, *radii) for photo in photos]
        else:
            self._masks = [torch.ones(photo.shape[:2]) for photo in photos]
        self._resized = {}
        return masks

    def plan(self, t: float) -> LensPlan:
        alone = self.learn_from <= t < self.joint_from  # the scene is slow: its lens catches up
        return LensPlan(
            sampling=Sampling(0 if t < self.blur_from else 1),
            rates=self.rates if t >= self.learn_from else {},
            scene_rate=self.chosen.warm_rate if alone else 1.0,
            poses=t >= self.poses_from,
            dssim_weight=self.chosen.dssim,
        )

    def photograph(self, draw: Draw, camera: Camera, photo: PhotoIndex, sampling: Sampling) -> Tensor:
        sharp = draw(camera)
        if sampling.samples == 0:
            return sharp.colour
        sigma = self.sigma(sharp, camera, photo)
        if self.chosen.light == "linear":
            return variable_blur(sharp.colour, sigma)
        return to_linear(variable_blur(to_srgb(sharp.colour), sigma))

    def sigma(self, sharp: Sharp, camera: Camera, photo: PhotoIndex) -> Tensor:
        """[H, W] standard deviation of the blur, px of this frame."""
        scale = camera.frame.width / REFERENCE_WIDTH
        variance = self.variance(sharp, camera, photo) + SIGMA_LEAST**2
        return torch.sqrt(variance).clamp_max(self.chosen.blur_radius * scale)

    def variance(self, sharp: Sharp, camera: Camera, photo: PhotoIndex) -> Tensor:
        """[H, W] px^2 of this frame: E(d_rel) * A(render, M). A part that is switched off is its first value."""
        frame = sharp.depth.shape
        mask = self.mask(photo, frame, sharp.depth)
        one = torch.full(frame, self.chosen.sigma_start, dtype=sharp.depth.dtype, device=sharp.depth.device)
        by_depth = by_colour = one
        if self.chosen.depth != "none":
            depth = self.relative_depth(self._as_begun(sharp, camera, photo), mask)
            by_depth = self._run("lens.depth", depth[None])
        if self.chosen.rgb == "on":
            # The render is evidence here, not something to be improved: no gradient, or colours would turn to
            # whatever the network likes to read. As the photo shows it, behind the sRGB curve. [ours]
            seen = to_srgb(sharp.colour[..., :3].detach().clamp(0, 1)).permute(2, 0, 1)
            by_colour = self._run("lens.rgb", torch.cat([seen, mask.clamp_max(1)[None]]), self.chosen.rgb_cell)
        return by_depth * by_colour * (camera.frame.width / REFERENCE_WIDTH) ** 2

    def relative_depth(self, sharp: Sharp, mask: Tensor) -> Tensor:
        """[H, W] in units of the capture's depth range; the backdrop takes the depth of what is near it [ours]."""
        solid = sharp.alpha.detach() >= SOLID
        depth = filled(sharp.depth if self.chosen.depth_learns == "on" else sharp.depth.detach(), solid)
        if self.chosen.depth == "raw":  # one centre for the whole capture
            return (depth - self.centre) / self.spread
        # Only the sharpest say where the focus is: the mean of all that is not quite blurred is the object's middle.
        weight = ((mask / mask.amax().clamp_min(FAINT)) ** self.chosen.clarity_power + FAINT) * solid
        return (depth - (weight * depth).sum() / weight.sum().clamp_min(FAINT**2)) / self.spread

    def _as_begun(self, sharp: Sharp, camera: Camera, photo: PhotoIndex) -> Sharp:
        return replace(sharp, depth=sharp.depth * dolly(self.focal, camera, photo))

    def mask(self, photo: PhotoIndex, frame: Sequence[int], like: Tensor) -> Tensor:
        """[H, W] the clarity of a photo at the size of a frame."""
        assert self._masks, "the lens has not seen its photos: `look` comes first"
        size = frame[0], frame[1]
        key = (*size, like.device, like.dtype)
        if key not in self._resized:
            small = [F.adaptive_avg_pool2d(mask.to(like)[None], size)[0] for mask in self._masks]
            self._resized[key] = torch.stack(small)
        return select_row(self._resized[key], photo)

    def _run(self, net: str, planes: Tensor, cell: int = 1) -> Tensor:
        """[H, W] >= 0 of planes [C, H, W], of which the network sees the means of squares of `cell` px."""
        height, width = planes.shape[1:]
        x, pad = planes[None], self.chosen.kernel // 2
        if cell > 1:
            x = F.avg_pool2d(x, cell, ceil_mode=True)
        for layer in range(self.chosen.layers):
            weight, bias = (self.parameters[f"{net}.{layer}.{part}"].to(x) for part in ("weight", "bias"))
            x = F.conv2d(F.pad(x, (pad, pad, pad, pad), mode="replicate"), weight, bias)
            x = F.silu(x) if layer < self.chosen.layers - 1 else F.softplus(x)
        if cell > 1:
            x = F.interpolate(x, scale_factor=cell, mode="bilinear", align_corners=False)
        return x[0, 0, :height, :width]

    def radius(self, sharp: Sharp, camera: Camera, photo: int, points: Tensor | None = None) -> Tensor:
        """Twice sigma, as a Gaussian stands for a disc; before or behind the focus as the relative depth says."""
        mask = self.mask(photo, sharp.depth.shape, sharp.depth)
        depth = self.relative_depth(self._as_begun(sharp, camera, photo), mask)
        return 2 * self.sigma(sharp, camera, photo) * depth.sign()

    def maps(self, sharp: Sharp, camera: Camera, photo: int) -> dict[str, Tensor]:
        return {
            "clarity": self.mask(photo, sharp.depth.shape, sharp.depth).clamp_max(1),
            "variance": self.sigma(sharp, camera, photo) ** 2,
        }


def filled(depth: Tensor, solid: Tensor) -> Tensor:
    """Depth [H, W]; where it is not `solid`, that of what is near, smoothly, and as a constant to the gradient.

    Sums are halved until one pixel is left; on the way back up, what a level does not know comes from the one below.
    """
    weight = solid.to(depth)[None, None]
    total = torch.where(solid, depth.detach(), torch.zeros_like(depth))[None, None]
    pyramid = [(total, weight)]
    while max(pyramid[-1][0].shape[2:]) > 1:
        total, weight = (F.avg_pool2d(x, 2, ceil_mode=True) for x in pyramid[-1])
        pyramid.append((total, weight))
    total, weight = pyramid[-1]
    spread = total / weight.clamp_min(1e-12)
    for total, weight in reversed(pyramid[:-1]):
        coarse = F.interpolate(spread, size=total.shape[2:], mode="bilinear", align_corners=False)
        spread = torch.where(weight > 0, total / weight.clamp_min(1e-12), coarse)
    return torch.where(solid, depth, spread[0, 0])


def _network(
    name: str, inputs: int, channels: int, layers: int, kernel: int, begin: float, random: torch.Generator
) -> dict[str, Tensor]:
    """Weights of `layers` convolutions, of which comes about `begin`."""
    out = {}
    for layer in range(layers):
        last = layer == layers - 1
        shape = (1 if last else channels, inputs if layer == 0 else channels, kernel, kernel)
        deviation = math.sqrt(2 / math.prod(shape[1:])) * (QUIET if last else 1)
        out[f"{name}.{layer}.weight"] = deviation * torch.randn(shape, generator=random)
        out[f"{name}.{layer}.bias"] = torch.full((shape[0],), math.log(math.expm1(begin)) if last else 0.0)
    return out
