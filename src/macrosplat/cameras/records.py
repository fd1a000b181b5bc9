"""What crosses the walls of this room: `Cameras` and `SparsePoints`. Plain numpy, no torch.

Camera axes are OpenCV's (x right, y down, z forward). A pixel's centre lies at +0.5: the photo spans
[0, width] x [0, height]. Lengths are scene units (mm where the cameras were given in mm).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from macrosplat.photos.records import resized


def centres_of(views: NDArray[np.float64]) -> NDArray[np.float64]:
    """[..., 3] camera centres in the world, of rigid views [..., 4, 4] world to camera."""
    return -np.einsum("...ji,...j->...i", views[..., :3, :3], views[..., :3, 3])


@dataclass(frozen=True)
class Distortion:
    """How the lens that took a photo departs from a pinhole: COLMAP's parameters, of the photo upright."""

    model: str  # COLMAP's name: SIMPLE_RADIAL, RADIAL, OPENCV, ...
    params: tuple[float, ...]  # as COLMAP stores them, for `width` x `height`
    width: int
    height: int


@dataclass(frozen=True)
class Cameras:
    """V calibrated cameras: the pinholes of the undistorted photos, and how the photos as taken are distorted."""

    names: tuple[str, ...]  # V photo names (`Photo.name`)
    views: NDArray[np.float64]  # [V, 4, 4] world to camera, OpenCV axes
    intrinsics: NDArray[np.float64]  # [V, 4] fx, fy, cx, cy in px of `sizes`
    sizes: NDArray[np.int64]  # [V, 2] width, height
    source: str  # "transforms" | "colmap" | "metashape" | "reality-capture" | "llff" | "sfm"
    # V, of the photos as taken; None (or no entries at all): a pinhole's. `undistort` brings one to the other.
    distortion: tuple[Distortion | None, ...] = ()

    def __post_init__(self) -> None:
        v = len(self.names)
        if not self.distortion:
            object.__setattr__(self, "distortion", (None,) * v)
        assert len(self.distortion) == v, f"{len(self.distortion)} distortions, expected {v}"
        for name, shape in {"views": (v, 4, 4), "intrinsics": (v, 4), "sizes": (v, 2)}.items():
            got = getattr(self, name).shape
            assert got == shape, f"{name} has shape {got}, expected {shape}"

    def __len__(self) -> int:
        return len(self.names)

    @property
    def centres(self) -> NDArray[np.float64]:
        """[V, 3] camera centres in the world."""
        return centres_of(self.views)

    def select(self, names: list[str] | tuple[str, ...]) -> Cameras:
        """The cameras of `names`, in that order."""
        index = [self.names.index(name) for name in names]
        return replace(
            self,
            names=tuple(names),
            views=self.views[index],
            intrinsics=self.intrinsics[index],
            sizes=self.sizes[index],
            distortion=tuple(self.distortion[i] for i in index),
        )

    def resized(self, width: int) -> Cameras:
        """The same cameras for photos brought to `width` px (height rounded), as `photos.records.resized` rounds it."""
        sizes = np.stack([np.array(resized(w, h, width)) for w, h in self.sizes])
        factor = sizes / self.sizes  # x and y apart: rounding the height must not move the principal point
        return replace(self, intrinsics=self.intrinsics * factor[:, [0, 1, 0, 1]], sizes=sizes)


@dataclass(frozen=True)
class SparsePoints:
    """Triangulated points, and the observations (photo, pixel) that they come from."""

    xyz: NDArray[np.float64]  # [P, 3] world
    rgb: NDArray[np.uint8]  # [P, 3] sRGB
    point: NDArray[np.int64]  # [O] which point an observation is of
    photo: NDArray[np.int64]  # [O] index into `Cameras.names`
    px: NDArray[np.float64]  # [O, 2] where it was seen, px of the full photo (undistorted), pixel centres at +0.5

    def __len__(self) -> int:
        return len(self.xyz)
