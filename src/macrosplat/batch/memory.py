"""What a run takes of memory, for `estimate`: in a process of its own, since the reckoning lives among torch.

`python -m macrosplat.batch.memory '[width, gaussians, quality, aperture samples, photo width, photo height]'`: bytes.
"""

from __future__ import annotations

import json
import sys

from macrosplat.photos.records import resized
from macrosplat.render import Frame
from macrosplat.train.effort import FEWEST_PHOTOS, MARGIN, default_gaussians, estimate


def main(text: str) -> float:
    width, gaussians, quality, samples, photo_width, photo_height = json.loads(text)
    frames = [Frame(*resized(photo_width, photo_height, min(width, photo_width)))] * FEWEST_PHOTOS
    return MARGIN * estimate(frames, gaussians or default_gaussians(quality, frames), samples)


if __name__ == "__main__":
    print(main(sys.argv[1]))
