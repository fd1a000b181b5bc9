"""Where a photo shows that it is sharp, whatever its circles of confusion are said to be.

In: a photo, the sharp render of its scene, the radius claimed. Out: how evident it is. A radius comes from the depth
of a scene, which is off most at outlines, on things that reflect, and where no photo saw a place well; but a photo's
finest octave is there only where it is in focus. Grain is what that octave holds where blur has left nothing of it.
What has contrast enough stands out of grain though it is blurred: then the sharp render has more of the fine octaves,
or, if that is coarser than the photo, the photo's finest octave is much weaker than the next. Of grain it is much
stronger.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from macrosplat.output.detail.pyramid import laplacian

CELL = 4  # px: energy is measured in squares of that size, and over five of them
BLURRED = 4.0  # px of radius that leave the finest octave a hundredth of its energy
FEWEST = 500  # squares; from fewer, the quietest tenth of all tells the grain
TIMES = 4.0  # of the grain that are half evident (experiments: lacking)
# The photo's amplitude over the sharp render's, in each of the two finest octaves: up to LESS the photo is the blurred
# one of the two, from AS_MUCH on it is not (experiments: own-grain).
LESS, AS_MUCH = 0.6, 1.0
# The finest octave's amplitude over the next one's: not evident up to the first, evident from the second to the third,
# grain from the fourth on (experiments: sharp-by-slope).
SLOPES = (0.4, 0.7, 2.0, 2.7)
# That ratio where a photo is in focus that is sharp to the pixel. Of one that is softer (24 and more megapixels of a
# lens that does not show as many) the first two are lower, at the lowest to this share.
IN_FOCUS, FOCUSED, SOFTEST = 1.2, 1.0, 0.4
FINER = 0.12  # energy of white grain in an octave over that in the next finer one


def evident_sharpness(grey: Tensor, drawn: Tensor, radius: Tensor) -> Tensor:
    """[ceil(H / 4), ceil(W / 4)] in 0 ... 1: how evident it is that the photo is sharp there.

    Args:
        grey: [H, W] of the photo. drawn: [H, W] of the sharp render. radius: [h, w] >= 0, px of the photo, of any size:
            only where it is large counts.
    """
    assert grey.ndim == radius.ndim == 2 and drawn.shape == grey.shape, f"{tuple(grey.shape)}, {tuple(drawn.shape)}"
    octaves = _energies(grey)
    energy = octaves[0]
    radius = F.interpolate(radius[None, None], tuple(energy.shape), mode="bilinear", align_corners=False)[0, 0]
    blurred = radius > BLURRED
    known = int(blurred.sum()) >= FEWEST
    # Of all squares one in so many: a quantile of millions is refused.
    values = energy[blurred] if known else energy.flatten()
    grain = values[:: 1 + len(values) // 100_000].quantile(0.5 if known else 0.1)
    evident = ((energy - grain) / (energy + TIMES * grain).clamp_min(1e-12)).clamp_min(0)
    above = [(shown - grain * FINER**k).clamp_min(0) for k, shown in enumerate(octaves)]
    slope = (above[0] / above[1].clamp_min(1e-9)).sqrt()
    focused = (radius < FOCUSED) & (energy > TIMES * grain)
    blurry, sharp, grainy, grains = SLOPES
    if int(focused.sum()) >= FEWEST:
        soft = min(1.0, max(SOFTEST, float(slope[focused].median()) / IN_FOCUS))
        blurry, sharp = soft * blurry, soft * sharp
    evident *= ((slope - blurry) / (sharp - blurry)).clamp(0, 1) * ((grains - slope) / (grains - grainy)).clamp(0, 1)
    for shown, wanted in zip(above, _energies(drawn), strict=True):
        share = (shown / wanted.clamp_min(1e-9)).sqrt()
        evident *= ((share - LESS) / (AS_MUCH - LESS)).clamp(0, 1)
    return evident


def _energies(grey: Tensor) -> list[Tensor]:
    """Of the two finest octaves [ceil(H / 4), ceil(W / 4)]: mean square of each square, smoothed."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=grey.device) / 16
    found = []
    for k, band in enumerate(laplacian(grey[None], 2)[:2]):
        energy = F.avg_pool2d(band.square_()[None], CELL >> k, ceil_mode=True)
        padded = F.pad(energy, (2, 2, 2, 2), mode="replicate")
        found.append(F.conv2d(F.conv2d(padded, taps.view(1, 1, 1, 5)), taps.view(1, 1, 5, 1))[0, 0])
    return found
