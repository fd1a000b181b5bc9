"""A photo deblurred with the detail that it holds itself.

In, as planes [C, H, W] of sRGB in [0, 1]: the photo, the render of the scene at the photo's size, and what defocus took
away; and the radius of the circle of confusion [H, W]. Out: the deblurred photo [3, H, W].

In each octave of detail (spacing 2^k px) the photo counts as far as a blur of radius r leaves that octave:

    out_k = (1 - w_k) render_k + w_k (photo_k + taken_k),    w_k = exp(-(r / (KNEE 2^k))^4),
    w_0 = w_1 / (1 + (r / FINE)^3)

`taken` is the model's sharp render less its blurred one, both with the blur that even focus has: what is to be added to
the photo where the octave is weakened by the blur. Where r = 0 the result is the photo itself. And where the photo is
evidently sharp, e in 0 ... 1, r may be `DOUBT` px less than it is said to be, of a small r nothing is given back, and
the octaves that say so count whatever r is said to be:

    r' = max(0, r - DOUBT e),    taken' = taken (1 - e exp(-(r / CLOSE)^2)),    w'_k = max(w_k, e), k < EVIDENT

What the finest octave adds to the render is detail and grain: of it only the share max(0, 1 - grain / energy) is
added, with the energy about a pixel (Wiener). Where the render has the detail, too, the photo would add only grain.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from macrosplat.output.detail.grain import Grain
from macrosplat.output.detail.pyramid import collapsed, halved, laplacian, levels_for

# Octaves. Coarser than 32 px a render has the photo's light already.
LEVELS = 5
# px of the octave's spacing, and px in the finest, which is the photo's grain, too: it is kept in focus, then falls off
# about as what a disc leaves of it (rms: 0.9 at 0.5 px, 0.66 at 1, 0.34 at 2; experiments: own-detail).
KNEE, FINE = 3.2, 1.7
# px of the photo: by how much a radius may be too large (experiments: radius-by-surface, doubt), and one so small that
# a photo evidently sharp has it from an error of depth.
DOUBT, CLOSE = 1.0, 0.7
EVIDENT = 2  # octaves that a photo is seen to be sharp by (`evidence`)
AROUND = (1.0, 8.0, 28.0, 56.0, 70.0, 56.0, 28.0, 8.0, 1.0)  # taps: pixels over which an energy is taken
ROWS = 1024  # of a band that is worked on at a time: 24 megapixels need not be there in ten copies


def keep_detail(
    photo: Tensor,
    render: Tensor,
    taken: Tensor,
    radius: Tensor,
    evident: Tensor | None = None,
    grain: Grain | None = None,
) -> Tensor:
    """The render with the photo's own detail.

    Args:
        photo, render: [3, H, W] sRGB. taken: [3, h, w] of any size (it is enlarged). radius: [h', w'] >= 0, px of the
            photo, of any size likewise. evident: [h", w"] in 0 ... 1 where the photo is evidently sharp, of any size.
        grain: of the photo; None: it has none.

    Returns:
        [3, H, W] sRGB in [0, 1].
    """
    assert photo.shape == render.shape and photo.ndim == 3, f"photo {tuple(photo.shape)}, render {tuple(render.shape)}"
    assert taken.ndim == 3 and radius.ndim == 2, f"taken {tuple(taken.shape)}, radius {tuple(radius.shape)}"
    height, width = photo.shape[1:]
    levels = levels_for(height, width, LEVELS)
    # A sample of the coarsest level reaches this far, and a band begins where such a sample stands: the bands are what
    # the whole would be.
    margin = 4 << levels
    out = torch.empty_like(render)
    for top in range(0, height, ROWS):
        bottom = min(height, top + ROWS)
        begin, end = max(0, top - margin), min(height, bottom + margin)
        rows = slice(begin, end)
        own, claimed = enlarged(taken, height, width, rows), enlarged(radius[None], height, width, rows).clamp_min_(0)
        sure = None
        if evident is not None:
            sure = enlarged(evident[None], height, width, rows)
            own.mul_(1 - sure * torch.exp(-((claimed / CLOSE) ** 2)))
            claimed = claimed.sub_(sure, alpha=DOUBT).clamp_min_(0)
        noise = None if grain is None else grain.at(render[:, rows])
        joined = joined_bands(own.add_(photo[:, rows]), render[:, rows], claimed, levels, noise, sure)
        out[:, top:bottom] = joined[:, top - begin : bottom - begin].clamp_(0, 1)
    return out


def joined_bands(
    own: Tensor, render: Tensor, radius: Tensor, levels: int, grain: Tensor | None = None, sure: Tensor | None = None
) -> Tensor:
    """[3, H, W] octave by octave `own` or `render`, by the radius [1, H, W] and how sure it is that `own` is sharp
    [1, H, W]; of the finest what is more than grain."""
    bands = laplacian(render, levels)
    for k, difference in enumerate(laplacian(own - render, levels)):
        if k > 0:
            radius = halved(radius)
            sure = None if sure is None else halved(sure)
        counts = weight(radius, k)
        if sure is not None and k < EVIDENT:
            counts = torch.maximum(counts, sure)
        if k == 0 and grain is not None:
            counts = counts * detail_share(difference, grain)
        bands[k].addcmul_(counts, difference)
    return collapsed(bands)


def weight(radius: Tensor, level: int) -> Tensor:
    """How much a photo blurred by `radius` (px) counts in the octave whose spacing is 2^level px."""
    if level == 0:
        return weight(radius, 1) / (1 + (radius / FINE) ** 3)
    return torch.exp(-((radius / (KNEE * 2**level)) ** 4))


def detail_share(band: Tensor, grain: Tensor) -> Tensor:
    """[1, H, W] how much of a band [3, H, W] is more than grain of this variance [1, H, W]."""
    energy = band.square().mean(0, keepdim=True)
    taps = torch.tensor(AROUND, device=band.device) / sum(AROUND)
    for axis, shape in ((2, (1, 1, 1, -1)), (1, (1, 1, -1, 1))):
        reach = len(AROUND) // 2
        pad = (reach, reach, 0, 0) if axis == 2 else (0, 0, reach, reach)
        energy = F.conv2d(F.pad(energy[None], pad, mode="replicate"), taps.view(shape))[0]
    return (1 - grain / energy.clamp_min(1e-12)).clamp_min_(0)


def enlarged(plane: Tensor, height: int, width: int, rows: slice) -> Tensor:
    """[C, h, w] brought to [C, H, W], of which these rows: linear interpolation, pixel centres at +0.5."""
    small_height, small_width = plane.shape[1:]
    if (small_height, small_width) == (height, width):
        return plane[:, rows].clone()
    at = (torch.arange(rows.start, rows.stop, device=plane.device, dtype=torch.float32) + 0.5) * (
        small_height / height
    ) - 0.5
    at = at.clamp_(0, small_height - 1)
    first = at.floor().clamp_(max=max(0, small_height - 2)).long()
    share = (at - first)[:, None]
    below = (first + 1).clamp_(max=small_height - 1)
    lines = torch.lerp(plane[:, first], plane[:, below], share)
    shape = (lines.shape[1], width)
    return F.interpolate(lines[None], shape, mode="bilinear", align_corners=False)[0]
