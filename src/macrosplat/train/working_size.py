"""How wide photos are trained at if nobody says: as wide as the machine does in minutes.

Sharp photos have their own size in any case, and take from the photos what is finer.

In: sizes of photos, the device. Out: px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from macrosplat.render import Frame
from macrosplat.support.memory import available
from macrosplat.support.threads import CORES, speed_of
from macrosplat.train.effort import FEWEST_PHOTOS, MARGIN, default_gaussians, estimate

# Pixels of a photo, for `standard`: twenty minutes on two cores (experiments: what-a-run-takes); a GPU takes
# hundreds of steps a second at 640 x 480.
OF_TWO_CORES, OF_A_GPU = 480 * 360, 1280 * 960
LEAST = 160  # px: narrower, nothing of a photo is left


def working_width(
    sizes: Sequence[tuple[int, int]], device: torch.device, quality: str, gaussians: int | None, samples: int
) -> int:
    """px that the widest of the photos (width, height) is trained at: a multiple of 16, or all that it has.

    Args:
        gaussians: the most that the scene may have; None: by quality. samples: of the aperture.
    """
    pixels = OF_A_GPU if device.type == "cuda" else OF_TWO_CORES * speed_of(CORES) / speed_of(2)
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    widest = max(size[0] for size in sizes)
    chosen = min(widest, max(LEAST, 16 * int(math.sqrt(pixels * width / height) / 16)))
    while chosen > LEAST and not _fits(sizes, chosen / widest, quality, gaussians, samples):
        chosen = max(LEAST, 16 * int(0.9 * chosen / 16))
    return chosen


def _fits(sizes: Sequence[tuple[int, int]], share: float, quality: str, gaussians: int | None, samples: int) -> bool:
    """Whether `check_memory` would agree."""
    frames = [Frame(max(1, round(w * share)), max(1, round(h * share))) for w, h in sizes]
    largest = sorted(frames, key=lambda f: f.width * f.height)[-FEWEST_PHOTOS:]
    needed = MARGIN * estimate(largest, gaussians or default_gaussians(quality, frames), samples)
    there = available()
    return there is None or needed <= there
