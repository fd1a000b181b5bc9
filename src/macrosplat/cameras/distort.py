"""Pictures of a pinhole, brought to what the lens that took the photo shows of them: `undistort` the other way round.

In: how a photo is distorted, pictures of its pinhole. Out: the same pictures, pixel on pixel with the photo as taken.
A pixel's centre lies at +0.5; a photo spans [0, width] x [0, height].
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.cameras.undistort import colmap_camera, pinhole_of, rescaled

# Lenses that transforms.json can name, so that photos may stay as they were taken (OpenCV's k1 ... k6, p1, p2); photos
# of the others are undistorted in all that is written.
NAMED = ("SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
ORDERS = {  # powers of the ray in each term of a distortion, behind focal lengths and principal point
    "SIMPLE_RADIAL": (2,),
    "RADIAL": (2, 4),
    "OPENCV": (2, 4, 1, 1),
    "FULL_OPENCV": (2, 4, 1, 1, 6, 2, 4, 6),
}
# What nerfstudio calls them; the first are any camera's, terms are in COLMAP's order.
ENTRIES = ("camera_model", "fl_x", "fl_y", "cx", "cy", "w", "h")
TERMS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
STEP = 8  # px between places whose rays are computed; between them a line: it errs by 1e-3 px at 1 % in the corner
MARGIN = 0.1  # share of a side: so much more than its photo a pinhole's picture may have to show
AGAIN = 0.1  # px: a ray that the lens does not bring back to its pixel within this is none


def keeps_frame(distortion: Distortion | None) -> TypeGuard[Distortion]:
    """Whether what is written of a distorted photo lies pixel on pixel on the photo as taken."""
    return distortion is not None and distortion.model in NAMED


def lengthened(distortion: Distortion, factor: float) -> Distortion:
    """A lens of `factor` times the focal length that moves the pixels of a photo alike: r' = r / factor, and a term of
    order n in r is multiplied by factor^n."""
    orders = ORDERS[distortion.model]
    lead = len(distortion.params) - len(orders) - 2  # focal lengths
    params = distortion.params
    focal = [f * factor for f in params[:lead]]
    terms = [term * factor**order for term, order in zip(params[lead + 2 :], orders, strict=True)]
    return Distortion(distortion.model, (*focal, *params[lead : lead + 2], *terms), distortion.width, distortion.height)


def with_focal(cameras: Cameras, factors: NDArray[np.float64]) -> Cameras:
    """Cameras of `factors` [V] times their focal lengths, of the same pixels.

    A lens that `keeps_frame` is not true of stays: the pinhole is all that is written of it.
    """
    own = np.column_stack([factors, factors, np.ones_like(factors), np.ones_like(factors)])
    lenses = (
        lengthened(one, float(factor)) if keeps_frame(one) else one
        for one, factor in zip(cameras.distortion, factors, strict=True)
    )
    return replace(cameras, intrinsics=cameras.intrinsics * own, distortion=tuple(lenses))


def opencv_entries(distortion: Distortion, width: int, height: int) -> dict[str, str | float | int]:
    """What a file in nerfstudio's form says of the lens (`keeps_frame`) of a photo of this size."""
    lens = rescaled(distortion, width, height)
    lead = len(lens.params) - len(ORDERS[lens.model]) - 2
    fx, fy = (lens.params[:lead] * 2)[:2]
    model = lens.model if lens.model == "FULL_OPENCV" else "OPENCV"
    terms = [*lens.params[lead + 2 :], *[0.0] * 4][: max(4, len(ORDERS[lens.model]))]
    camera = (model, fx, fy, *lens.params[lead : lead + 2], width, height)
    return {**dict(zip(ENTRIES, camera, strict=True)), **dict(zip(TERMS, terms, strict=False))}


class AsTaken:
    """Where the pixels of a photo as taken lie in a picture of its pinhole (`pinhole_of`)."""

    def __init__(self, distortion: Distortion, width: int, height: int) -> None:
        """Args: width, height: px of the pictures."""
        self._size = width, height
        lens = rescaled(distortion, width, height)
        camera = colmap_camera(lens)
        fx, fy, cx, cy = pinhole_of(lens)
        x, y = (np.arange(0, side + STEP, STEP, dtype=np.float64) for side in self._size)
        taken = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        rays = np.asarray(camera.cam_from_img(taken))[:, :2]
        with np.errstate(invalid="ignore", over="ignore"):
            back = np.asarray(camera.img_from_cam(np.column_stack([rays, np.ones(len(rays))])))
            seen = (np.abs(back - taken).max(1) < AGAIN) & np.isfinite(rays).all(1)
            px = rays * (fx, fy) + (cx, cy)
            limit = MARGIN * np.array(self._size)
            seen &= ((px >= -limit) & (px <= np.array(self._size) + limit)).all(1)
        px[~seen] = taken[~seen]
        self._places, self._seen = px.reshape(len(y), len(x), 2), seen.reshape(len(y), len(x))
        inside = self._places.reshape(-1, 2)
        over = np.maximum(-inside, inside - self._size).max(0)
        # px to the left and right, above and below, by which the pinhole's picture has to be larger.
        right, down = (int(np.ceil(side + 3)) if side > 0.5 else 0 for side in over)
        self.margin = right, down

    def drawn(self, picture: NDArray, margin: tuple[int, int] = (0, 0)) -> NDArray[np.float32]:
        """[H + 2 my, W + 2 mx, C] to [H, W, C], by one Lanczos interpolation; beyond the picture its edge goes on."""
        from macrosplat.cameras.lanczos import WEIGHTS, sample_lanczos

        width, height = self._size
        picture = np.ascontiguousarray(picture)
        out = np.empty((height, width, picture.shape[2]), np.float32)
        band = max(1, 2**20 // width)
        for top in range(0, height, band):
            rows = out[top : top + band]
            px = self._between(self._places, top, len(rows)) + margin
            sample_lanczos(picture, np.ascontiguousarray(px.reshape(-1, 2)), WEIGHTS, rows.reshape(-1, out.shape[2]))
        return out

    def nearest(self, plane: NDArray) -> NDArray:
        """[H, W] to [H, W], the nearest pixel's value, 0 beyond the plane and where no ray is known."""
        width, height = self._size
        px = np.floor(self._between(self._places, 0, height)).astype(np.int64)
        inside = ((px >= 0) & (px < (width, height))).all(-1) & self.seen()
        return np.where(inside, plane[px[..., 1].clip(0, height - 1), px[..., 0].clip(0, width - 1)], 0)

    def seen(self) -> NDArray[np.bool_]:
        """[H, W] the pixels that a pinhole's picture of little more than the photo's size shows."""
        return self._between(self._seen.astype(np.float64)[..., None], 0, self._size[1])[..., 0] > 1 - 1e-9

    def _between(self, nodes: NDArray[np.float64], top: int, count: int) -> NDArray[np.float64]:
        """[count, W, C] at the centres of the pixels of rows `top` and on."""
        y = (np.arange(top, top + count) + 0.5) / STEP
        x = (np.arange(self._size[0]) + 0.5) / STEP
        j, i = y.astype(np.int64), x.astype(np.int64)
        v, u = (y - j)[:, None, None], (x - i)[:, None]
        rows = (1 - v) * nodes[j] + v * nodes[j + 1]
        return (1 - u) * rows[:, i] + u * rows[:, i + 1]
