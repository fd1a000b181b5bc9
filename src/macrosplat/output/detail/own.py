"""A photo deblurred with the detail that it holds itself.

In, as planes [C, H, W] of sRGB in [0, 1]: the photo, the render of the scene at the photo's size, and what defocus took
away; and the radius of the circle of confusion [H, W]. Out: the deblurred photo [3, H, W].

In each octave of detail (spacing 2^k px) the photo counts as far as a blur of radius r leaves that octave:

    out_k = (1 - w_k) render_k + w_k (photo_k + m_k taken_k),    w_k = exp(-(r / (KNEE 2^k))^4),
    w_0 = w_1 / (1 + (r / FINE)^3), and exp(-(r / KNEE)^4) where the render lacks the octave

A blur only takes away: where the photo has more of the finest octave than the render, and no grain that would explain
it, the render is the coarser of the two, as of a scene that was learned smaller than the photos.

`taken` is the model's sharp render less its blurred one, both with the blur that even focus has: what is to be added to
the photo where the octave is weakened by the blur; m_k is how much of it the photo lacks (`missing`), less where the
model's photo is not like the photo. Where r = 0 the result is the photo itself. And where the photo is evidently sharp,
e in 0 ... 1, r may be `DOUBT` px less than it is said to be, of a small r nothing is given back, and the octaves that
say so count whatever r is said to be:

    r' = max(0, r - DOUBT e),    taken' = taken (1 - e exp(-(r / CLOSE)^2)),    w'_k = max(w_k, e), k < EVIDENT

Coarse octaves of what was taken from blurred neighbours reach over what is in focus, where the finer ones, each with
its own share, do not balance them: near r = 0 all that was given back is taken off again, exp(-(r / a)^4) of it. Here a
is AS_TAKEN, or STILL s if that is more, s being the share that the photo still has of what defocus is said to have
taken of what is nearly in focus (`missing`).

What the finest octave adds to the render is detail and grain: of it only the share max(0, 1 - grain / energy) is
added, with the energy about a pixel (Wiener). Where the render has the detail, too, the photo would add only grain.

What swings beyond a plain area at the end is brought back to it (`bounds`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from macrosplat.output.detail.bounds import bounded
from macrosplat.output.detail.energy import energy_around
from macrosplat.output.detail.evidence import FINER
from macrosplat.output.detail.grain import Grain
from macrosplat.output.detail.missing import Missing, find_missing
from macrosplat.output.detail.pyramid import collapsed, halved, laplacian, levels_for

# Octaves. Coarser than 32 px a render has the photo's light already.
LEVELS = 5
# px of the octave's spacing, and px in the finest, which is the photo's grain, too: it is kept in focus, then falls off
# about as what a disc leaves of it (rms: 0.9 at 0.5 px, 0.66 at 1, 0.34 at 2; experiments: own-detail).
KNEE, FINE = 3.2, 1.7
# px of the photo: by how much a radius may be too large (experiments: radius-by-surface, doubt), and one so small that
# a photo evidently sharp has it from an error of depth.
DOUBT, CLOSE = 1.0, 1.0
# px of the photo: what is less blurred is the photo itself, not what its neighbours' coarse octaves make of it.
AS_TAKEN = 0.7
STILL = 2.5  # and px of it if the photo has all that is said to be taken there (experiments: still-there)
# Energy of model's photo - photo, about a pixel, that counts against what the model says was taken there.
WRONG = 0.1
EVIDENT = 2  # octaves that a photo is seen to be sharp by (`evidence`)
# Share of the photo's energy of the finest octave, over its grain, by which the render's is less where it lacks it. And
# what of that octave's amplitude over the next one's is detail, and what is grain (experiments: lacking).
LACKING, TIMES = 0.25, 2.0
DETAIL, GRAINS = 1.3, 2.0
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
    # A sample of the coarsest level and an energy of the next one reach this far; a band begins where a sample of the
    # coarsest level stands: the bands are what the whole would be.
    margin = max(6 << levels, 32)
    missing = _missing(photo, render, taken, radius, levels)
    as_taken = max(AS_TAKEN, STILL * missing.still_there())
    out = torch.empty_like(render)
    for top in range(0, height, ROWS):
        bottom = min(height, top + ROWS)
        begin, end = max(0, top - margin), min(height, bottom + margin)
        rows = slice(begin, end)
        own, claimed = enlarged(taken, height, width, rows), enlarged(radius[None], height, width, rows).clamp_min_(0)
        said, sure = claimed, None
        if evident is not None:
            sure = enlarged(evident[None], height, width, rows)
            own.mul_(1 - sure * torch.exp(-((claimed / CLOSE) ** 2)))
            claimed = claimed.sub(sure, alpha=DOUBT).clamp_min_(0)
        noise = None if grain is None else grain.at(render[:, rows])
        differences = laplacian(photo[:, rows] - render[:, rows], levels)
        given = give_back(differences, own, said, missing)
        joined = joined_bands(render[:, rows], differences, claimed, noise, sure)
        joined.sub_(given.mul_(torch.exp(-((said / as_taken) ** 4))))
        if levels > 0:
            joined = bounded(joined, photo[:, rows], render[:, rows], said, levels)
        out[:, top:bottom] = joined[:, top - begin : bottom - begin].clamp_(0, 1)
    return out


def _missing(photo: Tensor, render: Tensor, taken: Tensor, radius: Tensor, levels: int) -> Missing:
    """Of the whole photo, whatever is worked on at a time."""
    height, width = photo.shape[1:]
    whole = slice(0, height)
    said = enlarged(taken.mean(0, keepdim=True), height, width, whole)[0]
    claimed = enlarged(radius[None], height, width, whole)[0].clamp_min_(0)
    return find_missing(photo.mean(0), render.mean(0), said, claimed, levels)


def give_back(differences: Sequence[Tensor], taken: Tensor, radius: Tensor, missing: Missing) -> Tensor:
    """Add to the bands of photo - render what defocus took [3, H, W], as far as the photo lacks it: by the radius
    claimed [1, H, W], and less where the model's photo is not like the photo. Returns [3, H, W], what they gained."""
    given = []
    for k, (difference, band) in enumerate(zip(differences, laplacian(taken, len(differences) - 1), strict=True)):
        if k > 0:
            radius = halved(radius)
        share = missing.of(k, radius)
        if isinstance(share, Tensor):
            wrong = energy_around(difference + band).mul_(WRONG)
            said = energy_around(band)
            share = share.mul_(said.div_(wrong.add_(said).clamp_min_(1e-12)))
        difference.add_(band.mul_(share))
        given.append(band)
    return collapsed(given)


def joined_bands(
    render: Tensor,
    differences: Sequence[Tensor],
    radius: Tensor,
    grain: Tensor | None = None,
    sure: Tensor | None = None,
) -> Tensor:
    """[3, H, W] octave by octave the photo, whose bands differ so from the render's, or the render, by the radius
    [1, H, W] and how sure it is that the photo is sharp [1, H, W]; of the finest what is more than grain."""
    levels = len(differences) - 1
    bands = laplacian(render, levels)
    coarse = None
    if levels > 1:
        coarse = lacking(bands[0], bands[0] + differences[0], bands[1] + differences[1], grain)
    for k, difference in enumerate(differences):
        if k > 0:
            radius = halved(radius)
            sure = None if sure is None else halved(sure)
        counts = weight(radius, k, coarse if k == 0 else None)
        if sure is not None and k < EVIDENT:
            counts = torch.maximum(counts, sure)
        if k == 0 and grain is not None:
            counts = counts * detail_share(difference, grain)
        bands[k].addcmul_(counts, difference)
    return collapsed(bands)


def weight(radius: Tensor, level: int, coarse: Tensor | None = None) -> Tensor:
    """How much a photo blurred by `radius` (px) counts in the octave whose spacing is 2^level px.

    Args:
        coarse: how far the render lacks the octave, 0 ... 1, where it is the finest.
    """
    left = torch.exp(-((radius / (KNEE * 2**level)) ** 4))
    if level > 0:
        return left
    fine = weight(radius, 1) / (1 + (radius / FINE) ** 3)
    return fine if coarse is None else fine + coarse * (left - fine)


def lacking(drawn: Tensor, finest: Tensor, next: Tensor, grain: Tensor | None = None) -> Tensor:
    """[1, H, W] in 0 ... 1: how far a render lacks the finest octave that a photo has.

    Args:
        drawn: [3, H, W] the render's finest octave. finest, next: [3, H, W] and half that size, the photo's two finest.
        grain: [1, H, W] the variance of its grain in the finest.
    """
    height, width = drawn.shape[1:]
    detail, coarser = energy_around(finest), energy_around(next)
    # Samples of the next octave stand at every second pixel.
    coarser = coarser.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :height, :width]
    if grain is not None:
        detail.sub_(grain, alpha=TIMES)
        coarser.sub_(grain, alpha=TIMES * FINER)
    less = (1 - energy_around(drawn) / detail.clamp_min_(1e-12)).div_(LACKING).clamp_(0, 1)
    slope = (detail / coarser.clamp_min_(1e-9)).sqrt_()
    return less.mul_(((GRAINS - slope) / (GRAINS - DETAIL)).clamp_(0, 1))


def detail_share(band: Tensor, grain: Tensor) -> Tensor:
    """[1, H, W] how much of a band [3, H, W] is more than grain of this variance [1, H, W]."""
    return (1 - grain / energy_around(band).clamp_min(1e-12)).clamp_min_(0)


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
