"""Cameras as rendering knows them: tensors that may be learned, and what of a picture is known before it is drawn.

World to camera in OpenCV axes, px of the picture that is drawn; a pixel's centre lies at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """What shapes and launches depend on: size in px, nearest drawn depth in scene units. Photos share it."""

    width: int
    height: int
    near: float = 1e-2


class Plane:
    """What cameras have in common that stand in one plane across their common axis: a point has the same depth in all,
    and so a scene's order by it is found but once."""

    def __init__(self) -> None:
        self.order: Any = None  # as the rasterizer's kernels keep it


@dataclass(frozen=True)
class Camera:
    """A pinhole somewhere, or M of them."""

    view: Tensor  # [4, 4] or [M, 4, 4] world to camera; any affine matrix (a lens shears it)
    intrinsics: Tensor  # [4] fx, fy, cx, cy in px; or [M, 4]
    frame: Frame
    plane: Plane | None = None  # of M views from one plane, in which nothing but one scene is drawn

    def __post_init__(self) -> None:
        assert self.view.ndim in (2, 3) and self.view.shape[-2:] == (4, 4), (
            f"view has shape {tuple(self.view.shape)}, expected (4, 4) or (M, 4, 4)"
        )
        shapes = ((4,), (*self.view.shape[:-2], 4))
        assert self.intrinsics.shape in shapes, (
            f"intrinsics has shape {tuple(self.intrinsics.shape)}, expected {' or '.join(map(str, shapes))}"
        )

    def at(self, view: Tensor, plane: Plane | None = None) -> Camera:
        """The same camera elsewhere: [4, 4] or [M, 4, 4]."""
        return replace(self, view=view, plane=plane)

    def to(self, device: torch.device) -> Camera:
        """The same on a device."""
        return replace(self, view=self.view.to(device), intrinsics=self.intrinsics.to(device))

    def scaled(self, width: int, height: int) -> Camera:
        """The same camera with other pixels."""
        sx, sy = width / self.frame.width, height / self.frame.height
        factors = self.intrinsics.new_tensor([sx, sy, sx, sy])
        frame = replace(self.frame, width=width, height=height)
        return replace(self, intrinsics=self.intrinsics * factors, frame=frame)

    def __len__(self) -> int:
        return 1 if self.view.ndim == 2 else len(self.view)

    def each(self) -> list[Camera]:
        """The M cameras, one by one."""
        rows = self.intrinsics.expand(len(self.view), 4)
        return [Camera(view, row, self.frame) for view, row in zip(self.view, rows, strict=True)]


@dataclass(frozen=True)
class Pinhole:
    """The numbers of a camera, for a host that does not learn them: px, and scene units for `near`."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    near: float = 1e-2

    @property
    def frame(self) -> Frame:
        """The picture that it takes."""
        return Frame(self.width, self.height, self.near)

    def scaled(self, width: int, height: int) -> Pinhole:
        """The same camera with other pixels."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy, width=width, height=height
        )

    def at(self, view: Tensor) -> Camera:
        """A camera with these numbers, [4, 4] or [M, 4, 4]."""
        return Camera(view, view.new_tensor([self.fx, self.fy, self.cx, self.cy]), self.frame)
