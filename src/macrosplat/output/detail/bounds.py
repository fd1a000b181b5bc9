"""A deblurred photo is no brighter, and no darker, than what is plain about shows that it can be.

In: the photo, the render, and the picture that was joined of them [3, H, W]; the radius of the circle of confusion
[1, H, W], px. Out: the picture within its bounds.

Octaves of photo and render joined with weights of their own, what is given back of a lens that was found too wide, and
a scene that makes up for such a lens all swing beyond an edge: before a plain backdrop that is a bright rim round what
is dark. A photo is a mean of what is sharp, so of a plain area it shows the brightness itself, and where that is
the brightest thing within reach of the blur, nothing there is brighter. With P the most that the photo has within that
reach, R the most that the render has next to the pixel, A the most that the photo has of large areas about:

    out <= max(P, A) + max(0, |P - A| - SLACK) + HEADROOM max(0, R - max(P, A) - SLACK)

and likewise from below. So the bound is strict where P is the brightness of a large area, and gives way where it is
not, and where the render is evidently brighter than all that the photo has (a highlight that is blurred).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from macrosplat.output.detail.bounds_reference import Pair
from macrosplat.output.detail.pyramid import halved
from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.output.detail.bounds"

# Samples to each side: of a photo blurred by 1 to 2 samples of its octave; of a large area's octave.
REACH, AREA = 2, 3


def bounded(picture: Tensor, photo: Tensor, render: Tensor, radius: Tensor, levels: int) -> Tensor:
    """`picture` [3, H, W] within its bounds.

    Args:
        levels: octaves, at least 1: a wider blur is taken to reach as far as the last, which shows the large areas.
    """
    assert picture.shape == photo.shape == render.shape, f"{picture.shape}, {photo.shape}, {render.shape}"
    assert radius.shape == (1, *photo.shape[1:]), f"radius of shape {tuple(radius.shape)}"
    photos, radii = [halved(photo)], [halved(radius)]
    for _ in range(levels - 1):
        photos.append(halved(photos[-1]))
        radii.append(halved(radii[-1]))
    most = _most(photos, radii)
    reached, area = _most([-plane for plane in photos], radii)
    kernels = kernels_for(STAGE, picture, WRITTEN)
    return kernels.within(picture, photo, render, radius, most, (-reached, -area))


def _most(photos: Sequence[Tensor], radii: Sequence[Tensor]) -> Pair:
    """The most that octaves 1, 2, ... of a photo have within reach, and of large areas, in octave 1."""
    kernels = kernels_for(STAGE, photos[0], WRITTEN)
    reached, area = highest(photos[-1], REACH), highest(photos[-1], AREA)
    for k in range(len(photos) - 2, -1, -1):
        near = highest(photos[k], REACH)
        # The blur of a radius from 2^(k + 2) px on reaches farther than this octave is looked through.
        reached = kernels.reaching(near, reached, radii[k], 1 / 2 ** (k + 1))
        area = kernels.doubled(area, near)
    return reached, area


def highest(plane: Tensor, reach: int) -> Tensor:
    """[C, H, W] the most of the samples up to `reach` to each side of each."""
    return kernels_for(STAGE, plane, WRITTEN).highest(plane, reach)


WRITTEN = ("cpu",)  # on a GPU it is torch's
