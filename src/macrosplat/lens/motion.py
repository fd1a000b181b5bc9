"""Motion of a hand-held photo during its exposure: its camera goes along a screw, exp(t X) with t from -1/2 to 1/2.

In: six numbers of a photo, px of the training width over the exposure. Out: cameras at instants. The middle of the
exposure is the photo's own camera, so that motion moves no pose. Each aperture sample stands for an instant of its own:
no more renders than without motion.

The six are a twist about the point that the photo has in focus on its axis (the pivot): shifts along x and y, a shift
along the axis, a roll about it, and turns about x and y through the pivot. A px of the first two moves all that is in
focus by a px, one of the next two moves it by a px in the mean over the frame; a turn about the pivot moves only what
is out of focus, infinity by a px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from macrosplat.lens.aperture import has_centre
from macrosplat.lens.model import CENTRE_INSTANTS
from macrosplat.render import Camera

NUMBERS = 6
MOVING = 4  # of them, first, that move what is in focus
# By how many samples take their turns: which instant is whose. Time has next to nothing to do with the place in the
# pupil: else a motion would be a drift of the pupil, too. The sum of t times place, over the sizes of both, is 0.71 of
# four (and turns with their ring), 0.02 of seven, 0.001 of sixteen.
ORDERS = {4: (0, 2, 1, 3), 7: (0, 6, 1, 4, 3, 2, 5), 16: (14, 9, 10, 1, 7, 0, 8, 3, 6, 15, 5, 11, 4, 12, 2, 13)}
ORDER = 0.382  # of others: each is so many of their number later than the one before it
TERMS = 5  # of the series of exp: 1e-7 for a turn of 0.2 radians, and the exposures of hands turn by a hundredth


# Of the training: when photos are looked at for motion (`train.motion`). Full resolution begins at 0.4.
LOOKS = tuple(round(0.45 + 0.05 * n, 2) for n in range(10))
# px: where more is seen, a photo moved; of one that is known to have moved less does not show (experiments: motion).
SEEN_FROM, LEAST = 1.5, 1.0
# Of Adam, px per step.
RATE = 2e-2
BELIEF = 1e-5  # of the loss per px^2: pulls to none what no photo tells


def parameters(count: int) -> dict[str, Tensor]:
    """Of so many photos, at the start: how they move, and what is decided of each (`lens.terms`)."""
    return {
        "lens.motion": torch.zeros(count, NUMBERS),
        "lens.motion_seen": torch.zeros(count),
        "lens.motion_looks": torch.zeros(()),  # that were taken
    }


def screw(numbers: Tensor, focus: Tensor, focal: Tensor, reach: float) -> Tensor:
    """[4, 4] X of a photo, camera to camera: exp(t X) is where what it sees stands at instant t.

    Args:
        numbers: [6] px. focus: [] scene units, of the pivot. focal: [] px, likewise of the training width. reach: px
            there, root mean square of how far the frame's pixels are from its middle.
    """
    x, y, z, roll, tip, pan = numbers.unbind()
    size = focus / focal  # scene units of a px in focus
    by_x, by_y, by_z = tip / focal, pan / focal, roll / reach
    zero = torch.zeros_like(x)
    rows = [zero, -by_z, by_y, x * size - by_y * focus, by_z, zero, -by_x, y * size + by_x * focus]
    rows += [-by_y, by_x, zero, z * focus / reach, zero, zero, zero, zero]
    return torch.stack(rows).view(4, 4)


def along(screw: Tensor, instants: Tensor) -> Tensor:
    """[M, 4, 4] exp(t X) at instants [M]."""
    steps = instants[:, None, None] * screw
    unit = torch.eye(4, dtype=screw.dtype, device=screw.device)
    out = unit + steps / TERMS
    for n in range(TERMS - 1, 0, -1):  # Horner's scheme; torch's own would make a GPU's host wait
        out = unit + times(steps, out) / n
    return out


def times(first: Tensor, second: Tensor) -> Tensor:
    """[M, 4, 4] products of matrices [M, 4, 4] and [M, 4, 4] or [4, 4]: of a few numbers, no work for a library."""
    return (first[:, :, :, None] * second[..., None, :, :]).sum(-2)


def smear(screw: Tensor, depth: Tensor, camera: Camera) -> Tensor:
    """[H, W] px of the camera's frame that a photo moved over its exposure what is seen at depth [H, W] (camera z)."""
    height, width = depth.shape
    fx, fy, cx, cy = camera.intrinsics
    x = (torch.arange(width, dtype=depth.dtype, device=depth.device) + 0.5 - cx) / fx
    y = ((torch.arange(height, dtype=depth.dtype, device=depth.device) + 0.5 - cy) / fy)[:, None]
    by_x, by_y, by_z = (row[0] * x + row[1] * y + row[2] + row[3] / depth for row in screw[:3])
    return torch.hypot(fx * (by_x - x * by_z), fy * (by_y - y * by_z))


def reach_of(width: float, height: float) -> float:
    """Root mean square of how far the pixels of a frame are from its middle, px."""
    return math.sqrt((width**2 + height**2) / 12)


def centres(screw: Tensor, view: Tensor) -> Tensor:
    """[M, 4, 4] views from the pupil's centre at `CENTRE_INSTANTS`, of one [4, 4] in the middle of the exposure."""
    instants = _on_device(tuple(spread_evenly(CENTRE_INSTANTS)), screw.dtype, screw.device)
    return times(along(screw, instants), view)


def moved(
    sheared: Tensor, screw: Tensor, view: Tensor, samples: int, rows: Sequence[int], learned: bool = False
) -> Tensor:
    """[M, 4, 4] views from some of the aperture samples, each at its instant.

    Args:
        sheared: [M, 4, 4] how the samples look (`aperture.sheared`), of a camera at the origin.
        view: [4, 4] from the pupil's centre in the middle of the exposure.
        learned: whether the rows are those that gradients go through (`aperture.learned_of`).
    """
    instants = _on_device(instants_of(samples, tuple(rows), learned), screw.dtype, screw.device)
    return times(sheared, times(along(screw, instants), view))


@cache
def instants_of(samples: int, rows: tuple[int, ...], learned: bool = False) -> tuple[float, ...]:
    """When each of these aperture samples is taken, in exposures from its middle on.

    Their weighted mean is 0 and their second moment that of all instants, 1/12. The pupil's centre is taken in the
    middle.

    Args:
        learned: the rows are those that gradients go through (`aperture.learned_of`): they stand for all.
    """
    centred = int(has_centre(samples))
    turns = spread_evenly((len(rows) if learned else samples) - centred, (samples - centred) / samples)
    of_all = (0.0,) * centred + turns
    return of_all if learned else tuple(of_all[row] for row in rows)


@cache
def _on_device(instants: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Asked for first by a step that is not recorded."""
    return torch.tensor(instants, dtype=dtype, device=device)


def spread_evenly(count: int, weight: float = 1.0) -> tuple[float, ...]:
    """So many instants in the order of `ORDERS`, whose squares have a mean of 1/12 if all of them together
    weigh so much."""
    if count == 1:
        return (0.0,)
    step = 1 / math.sqrt(weight * (count**2 - 1))
    if count in ORDERS:
        order = ORDERS[count]
    else:
        stride = next(s for s in range(max(1, round(ORDER * count)), 2 * count) if math.gcd(s, count) == 1)
        order = [stride * k % count for k in range(count)]
    return tuple(step * (place - (count - 1) / 2) for place in order)


def length(numbers: Tensor) -> Tensor:
    """[...] px of the training width over the exposure: how far what is in focus moves under numbers [..., 6], in the
    mean over the frame (root mean square)."""
    return numbers[..., :MOVING].square().sum(-1).sqrt()
