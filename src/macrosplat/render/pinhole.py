"""`Pinhole`: the camera as rendering knows it. A pixel's centre lies at +0.5."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Pinhole:
    """A calibrated pinhole: focal lengths and principal point in px, size in px, nearest drawn depth in scene units."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    near: float = 1e-2

    def scaled(self, width: int, height: int) -> Pinhole:
        """The same camera with other pixels."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy, width=width, height=height
        )
