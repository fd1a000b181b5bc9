"""What runs take, for `estimate`: in a process of its own, since the reckoning lives among torch.

In, on stdin: JSON, a list of [options, photos, width, height, how many such]. Out, on stdout: JSON, `Needs`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from typing import Any

import msgspec

from macrosplat.batch.estimate import Needs
from macrosplat.options import Options
from macrosplat.photos.records import resized
from macrosplat.render import Frame
from macrosplat.support.dispatch import choose
from macrosplat.train.effort import FEWEST_PHOTOS, MARGIN, default_gaussians, estimate
from macrosplat.train.expected import expected


def needs(kinds: list[Any]) -> Needs:
    """Of all of them, as `macrosplat reconstruct` reckons; their cameras are taken for unknown."""
    total = Needs(0.0, 0.0, 0.0)
    for raw, photos, width, height, count in kinds:
        options = msgspec.convert(raw, Options)
        device = choose(options.device, lambda _: None)
        guess = expected([(width, height)] * photos, options, False, device)
        frames = [Frame(*resized(width, height, guess.width))] * FEWEST_PHOTOS
        gaussians = options.max_gaussians or default_gaussians(options.quality, frames)
        memory = MARGIN * estimate(frames, gaussians, options.aperture_samples())
        total = replace(
            total,
            seconds=total.seconds + count * guess.seconds,
            disk=total.disk + count * guess.bytes,
            memory=max(total.memory, memory),
        )
    return total


if __name__ == "__main__":
    print(json.dumps(asdict(needs(json.load(sys.stdin)))))
