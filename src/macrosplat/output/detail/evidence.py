"""Where a photo shows that it is sharp, whatever its circles of confusion are said to be.

In: a photo, the radius claimed. Out: how evident it is. A radius comes from the depth of a scene, which is off most at
outlines, on things that reflect, and where no photo saw a place well; but a photo's finest octave is there only where
it is in focus. Grain is what that octave holds where blur has left nothing of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from macrosplat.output.detail.pyramid import laplacian

CELL = 4  # px: energy is measured in squares of that size, and over five of them
BLURRED = 4.0  # px of radius that leave the finest octave a hundredth of its energy
FEWEST = 500  # squares; from fewer, the quietest tenth of all tells the grain
TIMES = 10.0  # of the grain that are half evident


def evident_sharpness(grey: Tensor, radius: Tensor) -> Tensor:
    """[ceil(H / 4), ceil(W / 4)] in 0 ... 1: how evident it is that the photo is sharp there.

    Args:
        grey: [H, W] of the photo. radius: [h, w] >= 0, px of the photo, of any size: only where it is large counts.
    """
    assert grey.ndim == 2 and radius.ndim == 2, f"{tuple(grey.shape)}, {tuple(radius.shape)}"
    finest = laplacian(grey[None], 1)[0].square_()
    energy = F.avg_pool2d(finest[None], CELL, ceil_mode=True)
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=grey.device) / 16
    padded = F.pad(energy, (2, 2, 2, 2), mode="replicate")
    energy = F.conv2d(F.conv2d(padded, taps.view(1, 1, 1, 5)), taps.view(1, 1, 5, 1))[0, 0]
    radius = F.interpolate(radius[None, None], tuple(energy.shape), mode="bilinear", align_corners=False)[0, 0]
    blurred = radius > BLURRED
    known = int(blurred.sum()) >= FEWEST
    # Of all squares one in so many: a quantile of millions is refused.
    values = energy[blurred] if known else energy.flatten()
    grain = values[:: 1 + len(values) // 100_000].quantile(0.5 if known else 0.1)
    return ((energy - grain) / (energy + TIMES * grain).clamp_min(1e-12)).clamp_min(0)
