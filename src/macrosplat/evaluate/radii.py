"""How blurred the photos of a capture are where: from the truth's depth and lens, else as the run says.

In: a truth folder, a run. Out: by photo, [H, W] px of a width, the radius of the circle of confusion that counts there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from macrosplat.evaluate.truth import Key, Truth, key_of, matching
from macrosplat.output.detail.radius import blur_radius
from macrosplat.output.maps import read_scales
from macrosplat.run import Run

# (photo, (width, height)) -> [height, width] px, or None where nothing is known of it.
RadiusOf = Callable[[Key, tuple[int, int]], NDArray[np.float32] | None]


class Radii(NamedTuple):
    """Who knows the radii, and what they are."""

    source: str  # "truth" or "run"
    of: RadiusOf


def find_radii(truth: Truth, run: Run) -> Radii | None:
    """The true radii, else those that the run found; None where neither knows any."""
    if truth.lens is not None and truth.cameras is not None and truth.depth:
        return Radii("truth", _true(truth))
    scales = {key_of(name): (name, scale.coc_scale) for name, scale in read_scales(run).items()}
    if not scales:
        return None

    def of(key: Key, size: tuple[int, int]) -> NDArray[np.float32] | None:
        if key not in scales or not run.map("coc", scales[key][0]).is_file():
            return None
        name, scale = scales[key]
        levels = _read(run.map("coc", name), size)
        # The map is in px of its own width, and 0 where nothing is.
        with Image.open(run.map("coc", name)) as picture:
            longer = size[0] / picture.width
        return _counting(longer * np.float32(scale) * levels, levels > 0)

    return Radii("run", of)


def _true(truth: Truth) -> RadiusOf:
    lens, cameras = truth.lens, truth.cameras
    assert lens is not None and cameras is not None

    def of(key: Key, size: tuple[int, int]) -> NDArray[np.float32] | None:
        index = next((i for i, name in enumerate(cameras.names) if matching(name, [key])), None)
        if index is None or key not in truth.depth or key not in lens.focus_distances:
            return None
        fx = float(cameras.intrinsics[index, 0]) * size[0] / int(cameras.sizes[index, 0])
        depth = _read(truth.depth[key], size) * np.float32(truth.depth_scale)
        there = depth > 0
        nearness = 1 / np.where(there, depth, lens.focus_distances[key])
        return _counting(lens.pupil_diameter / 2 * fx * (1 / lens.focus_distances[key] - nearness), there)

    return of


def _read(path, size: tuple[int, int]) -> NDArray[np.float32]:
    """A map of 16 bit, each pixel the nearest one: depths of two things have no mean."""
    with Image.open(path) as picture:
        levels = np.asarray(picture)
    rows, columns = (np.arange(n) * m // n for n, m in zip((size[1], size[0]), levels.shape, strict=True))
    return levels[rows][:, columns].astype(np.float32)


def _counting(signed: NDArray[np.floating], there: NDArray[np.bool_]) -> NDArray[np.float32]:
    planes = (torch.from_numpy(np.asarray(plane, np.float32)) for plane in (signed, there))
    return blur_radius(*planes).numpy()
