"""A stack, the whole way: slices in; all-in-focus picture, depth map, lens.json out."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter, zoom

from macrosplat.brackets.composite import has_brackets
from macrosplat.brackets.recognise import poses_of
from macrosplat.capture.records import Capture
from macrosplat.output.maps import colour_depth, write_16_bit
from macrosplat.output.sharp import write_png, write_sharp
from macrosplat.output.summary import blocks_of
from macrosplat.photos.records import Photo
from macrosplat.photos.resample import area_average
from macrosplat.run import Run
from macrosplat.stack.blur import find_reach
from macrosplat.stack.depth import WIDTH, place_of
from macrosplat.stack.order import by_hiding, by_outlines, nearer_end
from macrosplat.stack.peel import all_in_focus, fused
from macrosplat.stack.slices import read_slices
from macrosplat.support.colour import to_srgb
from macrosplat.support.files import write_json
from macrosplat.support.progress import Progress, duration
from macrosplat.support.terminal import width_of

BLUR_WIDTH = 512  # px at which blurs are compared


@dataclass(frozen=True)
class StackSummary:
    """What a stack came to."""

    run: Path
    name: str  # of the picture
    slices: int
    nearest: str | None  # the slice that is focused nearest; None: the pictures do not tell
    reach_px: float  # sigma that the one end of the stack has in the slice of the other end
    seconds: float

    def __str__(self) -> str:
        return self.text(width_of(sys.stdout))

    def text(self, width: int | None) -> str:
        """A few lines of `width` columns; None: a line for each thing, however long."""
        order = (
            f"{self.nearest} is focused nearest; the light of blurred near things is taken out of what is behind them"
            if self.nearest
            else "which end of the stack is near, the slices do not tell: the sharpest ones are joined as they are"
        )
        page = self.run / "index.html"
        things = blocks_of(
            [
                *([("Look", f"{page} (open it in a browser)")] if page.is_file() else []),
                ("Photo", f"{Run(self.run).sharp(self.name)}: all in focus"),
                ("Depth", f"{Run(self.run).maps}"),
                ("Blur", f"grows to a sigma of {self.reach_px:.1f} px from one end of the stack to the other; {order}"),
                ("Note", f"One pose, {self.slices} slices: without other views there is no 3D scene."),
                ("Took", duration(self.seconds)),
            ],
            width,
        )
        return "\n".join(things)


def is_stack(capture: Capture) -> bool:
    """Whether all photos are slices of one pose."""
    return has_brackets(capture.photos) and len(poses_of(capture.photos)) == 1


def reconstruct_stack(capture: Capture, run: Run, progress: Progress) -> StackSummary:
    """One all-in-focus picture and a depth map into RUN. Nothing is kept half-way: it is done again if interrupted.

    Raises:
        MacrosplatError: the slices do not fit into memory.
    """
    began, photos = time.monotonic(), list(capture.photos)
    progress.stage("aligning the slices", len(photos))
    slices = read_slices(photos, run.manifest.options.width, progress.advance)
    height, width = slices.light[0].shape[:2]

    progress.stage("looking where each slice is sharp")
    small = slices.smaller(WIDTH)
    place = place_of(small.light, small.inside)
    joined = fused(small.light, small.inside, place)

    progress.stage("finding how blur grows from slice to slice")
    tiny = slices.smaller(BLUR_WIDTH)
    size = tiny.light[0].shape[1::-1]
    coarse, sharp = area_average(place[..., None], size)[..., 0], area_average(joined, size)
    reach = find_reach(tiny.light, coarse, sharp)
    near = nearer_end(by_hiding(tiny.light, coarse, sharp, reach), by_outlines(joined, place))
    reach = reach * (width / size[0])

    progress.stage("joining the slices")
    place = _enlarged(place, (height, width))
    light, inside = slices.light, slices.inside
    if near < 0:
        photos, light, inside = photos[::-1], light[::-1], inside[::-1]
        place, reach = len(photos) - 1 - place, reach[-1] - reach[::-1]
    known = near != 0
    picture = all_in_focus(light, inside, place, reach) if known else fused(light, inside, place)

    name = name_of(str(photos[0].pose))
    write_sharp(run, name, to_srgb(np.clip(picture, 0, 1)))
    _write_depth(run, name, np.interp(place, np.arange(len(photos)), reach) / reach[-1])
    _write_lens(run, photos, reach, photos[0].name if known else None)
    seconds = time.monotonic() - began
    run.update(width=width, stack=name, seconds=seconds)
    return StackSummary(run.folder, name, len(photos), photos[0].name if known else None, float(reach[-1]), seconds)


def name_of(pose: str) -> str:
    """What the picture of a pose is called: a pose may be called "." or "..", a file may not."""
    return PurePosixPath(pose).name.lstrip(".") or "stack"


def _enlarged(place: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Places at the size of the picture; a pixel's neighbours are never mixed: between two things there is no third."""
    if place.shape == shape:
        return place
    factors = [full / part for full, part in zip(shape, place.shape, strict=True)]
    larger = zoom(place, factors, order=0, grid_mode=True, mode="nearest")
    return median_filter(larger, 2 * int(max(factors) / 2) + 3)


def _write_depth(run: Run, name: str, depth: NDArray[np.floating]) -> None:
    """`depth` [H, W] 0 (nearest) to 1."""
    everywhere = np.ones(depth.shape, bool)
    scale = write_16_bit(run.map("depth", name), depth, everywhere)
    write_png(run.map("depth_colour", name), colour_depth(depth, everywhere))
    about = "depth = 16 bit value * scale: where in the stack a pixel is sharp, as focus_position in lens.json"
    write_json(run.maps_index, {"about": about, "photos": {name: {"depth_scale": scale}}})


def _write_lens(run: Run, photos: list[Photo], reach: NDArray[np.float64], nearest: str | None) -> None:
    about = {
        "nearest": "the slice that is focused nearest; null: the slices do not tell, the first is taken for it",
        "focus_position": "of a slice, 0 the nearest and 1 the farthest, linear in 1 / distance",
        "reach_px": "standard deviation of the blur, px of the picture, that what is sharp at the one end has at the "
        "other; a slice at position p blurs what is sharp at position q to |p - q| * reach_px",
    }
    slices = [
        {"photo": photo.name, "focus_position": float(r / reach[-1])} for photo, r in zip(photos, reach, strict=True)
    ]
    written = {"about": about, "model": "stack", "nearest": nearest, "reach_px": float(reach[-1]), "slices": slices}
    write_json(run.lens, written)
