"""A picture within its bounds in plain torch, on any device and in any dtype. Planes [C, H, W] as in `bounds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# sRGB; and how fast a render that is brighter lifts the bound (experiments: rims).
SLACK, HEADROOM = 4 / 255, 3.0
NEXT = 1  # px to each side, about a pixel
Pair = tuple[Tensor, Tensor]  # of a photo within reach, and of large areas [3, ceil(H / 2), ceil(W / 2)]


def highest(plane: Tensor, reach: int) -> Tensor:
    """The most of the samples up to `reach` to each side of each."""
    rows = F.max_pool2d(plane[None], (2 * reach + 1, 1), 1, (reach, 0))
    return F.max_pool2d(rows, (1, 2 * reach + 1), 1, (0, reach))[0]


def reaching(near: Tensor, wide: Tensor, radius: Tensor, scale: float) -> Tensor:
    """The more of `near` [C, H, W] and of `wide`, which has half as many samples, by a radius [1, H, W] times `scale`:
    from 1 on the latter counts, from 2 on in full."""
    return farther(near, doubled(wide, near), radius * scale - 1)


def within(picture: Tensor, photo: Tensor, render: Tensor, radius: Tensor, most: Pair, least: Pair) -> Tensor:
    """`picture` [3, H, W] no brighter and no darker."""
    picture = torch.minimum(picture, _bound(photo, render, radius, *most))
    return torch.maximum(picture, -_bound(-photo, -render, radius, *(-plane for plane in least)))


def _bound(photo: Tensor, render: Tensor, radius: Tensor, reached: Tensor, area: Tensor) -> Tensor:
    reached, area = doubled(reached, photo), doubled(area, photo)
    room = ((reached - area).abs() - SLACK).clamp_min(0)
    # A photo blurred by less than a pixel has no reach, and its grain.
    near = highest(photo, NEXT)
    bound = torch.maximum(farther(near, reached, 2 * radius - 1), area)
    return bound + room + HEADROOM * (highest(render, NEXT) - bound - SLACK).clamp_min(0)


def farther(near: Tensor, far: Tensor, share: Tensor) -> Tensor:
    """The more of both as far as `share` says (0 ... 1, clamped), else `near`: no step where a radius grows."""
    return near + share.clamp(0, 1) * (far - near).clamp_min(0)


def doubled(plane: Tensor, like: Tensor) -> Tensor:
    """[C, ceil(H / 2), ceil(W / 2)] as large as `like` [C, H, W]: samples stay where they are, means between them."""
    for axis in (1, 2):
        at = torch.arange(like.shape[axis], device=plane.device)
        after = (at // 2 + at % 2).clamp_max(plane.shape[axis] - 1)
        plane = (plane.index_select(axis, at // 2) + plane.index_select(axis, after)) / 2
    return plane
