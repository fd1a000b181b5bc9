"""A picture within its bounds on a CPU: every row of it is read once. Planes [C, H, W] as in `bounds`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from macrosplat.output.detail.bounds_reference import HEADROOM, NEXT, SLACK, Pair
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

SLACK32, HEADROOM32 = np.float32(SLACK), np.float32(HEADROOM)
ZERO, QUARTER, HALF, ONE, TWO = (np.float32(number) for number in (0, 0.25, 0.5, 1, 2))


@njit
def _rows(plane, c, y, reach, out):
    """The most of the rows up to `reach` above and below, its ends repeated: [W + 2 reach]."""
    _, height, width = plane.shape
    first, last = max(y - reach, 0), min(y + reach, height - 1)
    for x in range(width):
        out[x + reach] = plane[c, first, x]
    for row in range(first + 1, last + 1):
        for x in range(width):
            out[x + reach] = max(out[x + reach], plane[c, row, x])
    for k in range(reach):
        out[k], out[width + reach + k] = out[reach], out[width + reach - 1]


@njit
def _lowest_rows(plane, c, y, reach, out):
    """The same, the least."""
    _, height, width = plane.shape
    first, last = max(y - reach, 0), min(y + reach, height - 1)
    for x in range(width):
        out[x + reach] = plane[c, first, x]
    for row in range(first + 1, last + 1):
        for x in range(width):
            out[x + reach] = min(out[x + reach], plane[c, row, x])
    for k in range(reach):
        out[k], out[width + reach + k] = out[reach], out[width + reach - 1]


@njit(part=True)
def _highest_some(begin, end, plane, reach, out):
    _, height, width = plane.shape
    row = np.empty(width + 2 * reach, np.float32)
    for line in range(begin, end):
        c, y = line // height, line % height
        _rows(plane, c, y, reach, row)
        for x in range(width):
            out[c, y, x] = row[x]
        for k in range(1, 2 * reach + 1):
            for x in range(width):
                out[c, y, x] = max(out[c, y, x], row[x + k])


@njit
def _highest(team, count, *arguments):
    spread(_highest_some, team, count, arguments)


@njit
def _between(plane, c, y, out):
    """A row of a plane of twice the samples [W]: they stay where they are, means between them."""
    _, height, width = plane.shape
    above, below = y // 2, min(y // 2 + y % 2, height - 1)
    for x in range((len(out) + 1) // 2):
        out[2 * x] = HALF * (plane[c, above, x] + plane[c, below, x])
    for x in range(len(out) // 2):
        after = min(x + 1, width - 1)
        upper, lower = plane[c, above, x] + plane[c, above, after], plane[c, below, x] + plane[c, below, after]
        out[2 * x + 1] = QUARTER * (upper + lower)


@njit(part=True)
def _doubled_some(begin, end, plane, out):
    height = out.shape[1]
    for line in range(begin, end):
        c, y = line // height, line % height
        _between(plane, c, y, out[c, y])


@njit
def _doubled(team, count, *arguments):
    spread(_doubled_some, team, count, arguments)


@njit(part=True)
def _reaching_some(begin, end, near, wide, radius, scale, out):
    _, height, width = near.shape
    far = np.empty(width, np.float32)
    for line in range(begin, end):
        c, y = line // height, line % height
        _between(wide, c, y, far)
        for x in range(width):
            share = min(max(radius[y, x] * scale - ONE, ZERO), ONE)
            out[c, y, x] = near[c, y, x] + share * max(far[x] - near[c, y, x], ZERO)


@njit
def _reaching(team, count, *arguments):
    spread(_reaching_some, team, count, arguments)


@njit(part=True)
def _within_some(begin, end, picture, photo, render, radius, reached, area, lowest, low_area, out):
    _, height, width = picture.shape
    rows, far = np.empty((4, width + 2 * NEXT), np.float32), np.empty((4, width), np.float32)
    most, least, drawn, drawn_least = rows[0], rows[1], rows[2], rows[3]
    for line in range(begin, end):
        c, y = line // height, line % height
        _rows(photo, c, y, NEXT, most)
        _lowest_rows(photo, c, y, NEXT, least)
        _rows(render, c, y, NEXT, drawn)
        _lowest_rows(render, c, y, NEXT, drawn_least)
        _between(reached, c, y, far[0])
        _between(area, c, y, far[1])
        _between(lowest, c, y, far[2])
        _between(low_area, c, y, far[3])
        for x in range(width):
            share = min(max(TWO * radius[y, x] - ONE, ZERO), ONE)
            there, level = far[0, x], far[1, x]
            bound = max(most[x], most[x + 1], most[x + 2])
            bound = max(bound + share * max(there - bound, ZERO), level)
            more = max(drawn[x], drawn[x + 1], drawn[x + 2]) - bound - SLACK32
            bound += max(abs(there - level) - SLACK32, ZERO) + HEADROOM32 * max(more, ZERO)
            value = min(picture[c, y, x], bound)
            there, level = far[2, x], far[3, x]
            bound = min(least[x], least[x + 1], least[x + 2])
            bound = min(bound - share * max(bound - there, ZERO), level)
            more = bound - min(drawn_least[x], drawn_least[x + 1], drawn_least[x + 2]) - SLACK32
            bound -= max(abs(there - level) - SLACK32, ZERO) + HEADROOM32 * max(more, ZERO)
            out[c, y, x] = max(value, bound)


@njit
def _within(team, count, *arguments):
    spread(_within_some, team, count, arguments)


def highest(plane: Tensor, reach: int) -> Tensor:
    out = torch.empty(plane.shape)
    with kernel_lock:
        source = plane.contiguous().numpy()
        _highest(team(), plane.shape[0] * plane.shape[1], source, reach, out.numpy())
    return out


def doubled(plane: Tensor, like: Tensor) -> Tensor:
    out = torch.empty(plane.shape[0], *like.shape[1:])
    with kernel_lock:
        _doubled(team(), out.shape[0] * out.shape[1], plane.contiguous().numpy(), out.numpy())
    return out


def reaching(near: Tensor, wide: Tensor, radius: Tensor, scale: float) -> Tensor:
    out = torch.empty(near.shape)
    planes = [plane.contiguous().numpy() for plane in (near, wide, radius[0])]
    with kernel_lock:
        _reaching(team(), near.shape[0] * near.shape[1], *planes, np.float32(scale), out.numpy())
    return out


def within(picture: Tensor, photo: Tensor, render: Tensor, radius: Tensor, most: Pair, least: Pair) -> Tensor:
    out = torch.empty(picture.shape)
    planes = [plane.contiguous().numpy() for plane in (picture, photo, render, radius[0], *most, *least)]
    with kernel_lock:
        _within(team(), picture.shape[0] * picture.shape[1], *planes, out.numpy())
    return out
