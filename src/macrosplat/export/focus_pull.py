"""One view of a scene, focused again and again: for films, in which thousands of pictures differ in the focus alone.

From a camera that stands still, a thing at depth d is seen from the pupil's point u at fx (x - u) / d + fx u / focus: a
change of the focus moves each sub-aperture view as a whole. So they are drawn once, and a picture is the mean of them,
moved, with the small blur that completes the disc (`lens.thin`).

In: a scene and a lens (`refocus`), a camera, the depths between which the focus will lie. Out: linear light [H, W, 3].
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from macrosplat.export.refocus import Refocus
from macrosplat.lens import Sampling
from macrosplat.lens.aperture import aperture_samples, sheared
from macrosplat.lens.blur import variable_blur
from macrosplat.lens.coc import defocus
from macrosplat.lens.thin import SIGMA0_MIN
from macrosplat.render import Camera, render
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

SAMPLES = 16  # of the aperture: each costs one drawing, and a moment of every picture
STEPS = 16384.0  # views are kept as 16 bit, up to four times white


class FocusPull:
    """The views of a lens, kept."""

    @torch.no_grad()
    def __init__(self, refocus: Refocus, camera: Camera, near: float, far: float) -> None:
        """Args: near, far: camera z, scene units."""
        self._model, self._camera = refocus.state.model, camera
        view = camera.view
        self._pupil = view.new_tensor(refocus.pupil)
        u, v, self._residual = aperture_samples(Sampling(SAMPLES), view)
        self._points = torch.stack([self._pupil / 2 * u, self._pupil / 2 * v], 1)  # [M, 2] scene units
        self._nearness = (1 / near + 1 / far) / 2  # where the views are not moved
        reach = float(self._points.abs().max() * camera.intrinsics[:2].max()) * (1 / near - 1 / far) / 2
        self._margin = margin = math.ceil(reach) + 2  # px around the picture, from where things move into it
        wide = replace(
            camera,
            intrinsics=camera.intrinsics + camera.intrinsics.new_tensor([0, 0, margin, margin]),
            frame=replace(camera.frame, width=camera.frame.width + 2 * margin, height=camera.frame.height + 2 * margin),
        )
        gaussians = self._model.gaussians.detach()
        middle = view.new_tensor(1 / self._nearness)
        views = []
        for one in self._points:
            seen = render(gaussians, wide.at(sheared(view, one[0], one[1], middle)))
            both = torch.cat([seen.colour, seen.alpha[..., None]], -1)
            views.append((both * STEPS).round().clamp(0, 65535).numpy().astype(np.uint16))
        self._views = np.stack(views)  # [M, H + 2 margin, W + 2 margin, 4]
        self._behind = self._model.behind(None, camera.frame)
        seen = render(gaussians, camera)
        self._alpha, self._depth = seen.alpha, seen.over(self._behind)[1]

    @torch.no_grad()
    def picture(self, focus: float) -> Tensor:
        """[H, W, 3] linear light, focused at `focus` (camera z, scene units), with the mean exposure."""
        moved = (self._points * self._camera.intrinsics[:2] * (1 / focus - self._nearness)).numpy()
        height, width = self._alpha.shape
        mean = np.empty((height, width, 4), np.float32)
        with kernel_lock:
            _average(team(), height, self._views, moved.astype(np.float64), self._margin, mean)
        both = torch.from_numpy(mean / np.float32(STEPS))
        colour = both[..., :3] + (1 - both[..., 3:]) * self._behind
        numbers = (2 * self._residual * self._pupil, *(self._pupil.new_tensor(x) for x in (focus, SIGMA0_MIN)))
        sigma = defocus(self._depth, self._alpha, self._camera.intrinsics[0], *numbers)
        return self._model.exposure.expose(variable_blur(colour, sigma), None)


@njit(part=True)
def _average_some(begin, end, views, moved, margin, mean):
    """The mean [H, W, 4] of views, each moved by so many px to the right and down [M, 2]; between pixels, bilinear."""
    _, width, channels = mean.shape
    count = views.shape[0]
    for row in range(begin, end):
        y = np.int64(row)
        line = np.zeros(width * channels, np.float32)
        for m in range(count):
            left, up = margin - moved[m, 0], margin - moved[m, 1]
            column, down = int(np.floor(left)), int(np.floor(up))
            fx, fy = np.float32(left - column), np.float32(up - down)
            one = np.float32(1) / np.float32(count)
            a, b = one * (1 - fy) * (1 - fx), one * (1 - fy) * fx
            c, d = one * fy * (1 - fx), one * fy * fx
            above = views[m, y + down].reshape(-1)[column * channels :]
            below = views[m, y + down + 1].reshape(-1)[column * channels :]
            for i in range(width * channels):
                line[i] += a * above[i] + b * above[i + channels] + c * below[i] + d * below[i + channels]
        mean[y] = line.reshape(width, channels)


@njit
def _average(team, count, *arguments):
    spread(_average_some, team, count, arguments)
