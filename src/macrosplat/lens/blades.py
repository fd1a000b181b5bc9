"""The pupil's shape: round, or bounded by the n blades of a diaphragm, straight or curved.

In: where the rim of a round pupil lies, by its angle. Out: where that of the bladed one lies. A sample on the disc goes
to the same share of the way to the rim. An arc goes to its blade evenly: what is 30 % along the arc is 30 % along the
blade's edge. So areas stay in proportion, samples that fill the disc evenly fill the polygon evenly, and nothing has to
be weighted. The polygon is as large as has the disc's second moment, which is what defocus shows first: the diameter,
the foci and the residual blur mean what they meant. (Its area, which the light meter sees, is then 1.7 % less for five
blades and 0.4 % for seven.)

`blades` [3]: their number; the angle at which the middle of one lies, radians from the right (x) downwards (y), as
highlights behind the focus show it; and how straight they are, 0 for an arc of the disc, 1 for a polygon's edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

ORDERS = (5, 6, 7, 8, 9)  # numbers of blades that are looked for


def sought(asked: str) -> tuple[int, ...]:
    """Numbers of blades that are looked for, by `--thin.blades`."""
    return {"auto": ORDERS, "round": ()}[asked] if asked in ("auto", "round") else (int(asked),)


def shaped(u: Tensor, v: Tensor, blades: Tensor) -> tuple[Tensor, Tensor]:
    """Samples (u, v) of the unit disc, brought to the pupil."""
    angle, reach = torch.atan2(v, u), torch.hypot(u, v)
    x, y = rim(angle, blades)
    return reach * x, reach * y


def rim(angle: Tensor, blades: Tensor) -> tuple[Tensor, Tensor]:
    """x, y [...] of the rim of a pupil of radius 1, where a round one has `angle` [...]."""
    count, turn, straight = blades.to(angle)
    half = math.pi / count
    middle = turn + 2 * half * torch.round((angle - turn) / (2 * half))
    along = angle - middle
    # In the frame of one blade: out to it, and along it.
    near, slope = apothem(count), torch.tan(half) / half
    out = torch.lerp(along.cos(), near.expand_as(along), straight)
    side = torch.lerp(along.sin(), near * slope * along, straight)
    # The mean of their squares is to be 1; that of the polygon's and the circle's product is a closed form.
    both = near / half * (half.sin() + slope * (half.sin() - half * half.cos()))
    size = (straight.square() + (1 - straight).square() + 2 * straight * (1 - straight) * both).rsqrt()
    out, side = size * out, size * side
    return out * middle.cos() - side * middle.sin(), out * middle.sin() + side * middle.cos()


def apothem(count: Tensor) -> Tensor:
    """From the middle to the blades of the polygon that has the unit disc's second moment: with R its corners' radius,
    R^2 (2 + cos(2 pi / n)) / 12 = 1 / 4."""
    half = math.pi / count
    return half.cos() * (3 / (2 + (2 * half).cos())).sqrt()


def turned(blades: Sequence[float]) -> tuple[int, float, float]:
    """How many there are, by how many degrees a corner is turned clockwise from pointing upwards (less than from one
    to the next), and how straight they are."""
    count, turn, straight = round(blades[0]), math.degrees(blades[1]), blades[2]
    return count, (turn + 180 / count + 90) % (360 / count), straight


def swing(count: int) -> float:
    """By how much the rim of a polygon swings about the circle, n times around: the amplitude of cos(n angle)."""
    half, steps = math.pi / count, 200
    angles = torch.linspace(0, half, steps + 1, dtype=torch.float64)
    radius = apothem(torch.tensor(float(count), dtype=torch.float64)) / angles.cos()
    return -2 * count / math.pi * float(torch.trapezoid(radius * (count * angles).cos(), angles))
