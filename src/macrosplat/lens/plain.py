"""`plain`: no lens at all. The photo is the render, so the scene keeps the blur: what everybody else does."""

from __future__ import annotations

import torch
from torch import Tensor

from macrosplat.lens.model import Draw, Lens, LensStart, PhotoIndex, Sampling, Sharp
from macrosplat.render import Camera


class PlainLens(Lens):
    name = "plain"

    def __init__(self, start: LensStart) -> None:
        self.parameters: dict[str, Tensor] = {}
        self.rates: dict[str, float] = {}

    def photograph(self, draw: Draw, camera: Camera, photo: PhotoIndex, sampling: Sampling) -> Tensor:
        return draw(camera).colour

    def radius(self, sharp: Sharp, camera: Camera, photo: int, points: Tensor | None = None) -> Tensor:
        return torch.zeros_like(sharp.depth)
