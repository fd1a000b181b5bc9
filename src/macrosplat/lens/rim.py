"""How a photo changes with the shape of the pupil that took it: all of it is seen from the pupil's rim.

If the rim of a pupil of radius 1 lies at 1 + delta(angle), the photo changes by twice the mean of delta times the view
from there. So the views from K points of the rim tell the slopes of every shape at once: of n blades, whose rim swings
n times around (`blades.swing`), and of cat's eyes, which cut it most towards and away from the middle of the frame.

In: a lens that photographs, `draw(camera)`. Out: the photo through an evenly sampled pupil, and its slopes, in linear
light; what shape the photos show, once somebody (`train.rim_look`) has compared them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.lens.aperture import sheared
from macrosplat.lens.blades import ORDERS, shaped, swing
from macrosplat.lens.cats_eye import LEAST, MOST, WHOLE, weights
from macrosplat.lens.defocused import Foci, apart, blurred
from macrosplat.lens.model import Draw, Sharp
from macrosplat.lens.opening import Opening
from macrosplat.render import Camera, Plane

# Rings that fill the disc: samples, radius, angle of the first. None repeats itself as often around as blades do, which
# the spiral does 5 and 8 times and the rings of training 7 times.
RINGS = ((4, 0.2, 0.1), (11, 0.53, 0.4), (17, 0.85, 0.9))
AROUND = 32  # views from the rim
AT_ONCE = 8  # views that are drawn together: a GPU waits for each drawing
SPOT = 0.1  # in the pupil's radius: sigma of their blur, half of the way from one to the next
SURE = 3.5  # standard deviations from which a shape is seen: of five numbers of blades chance makes one in 100 runs
SURE_OF_SAID = 2.5  # where the number of blades was said
STRAIGHT = 0.4  # of a polygon's swing: what swings less is round
# Slopes, in this order: by the pupil's relative width, by the corner's t of `cats_eye`, by light that falls off as
# `vignetting` has it, which is no sign of a shape, and by how straight n blades are that have a corner at the angle 0,
# and at a quarter of the way to the next.
NAMES = ("pupil", "cats_eye", "second", "fourth", *(f"{side}{order}" for order in ORDERS for side in ("cos", "sin")))


def slopes(
    draw: Draw,
    camera: Camera,
    numbers: tuple[Tensor, Tensor, Tensor],  # pupil and focus (scene units), blur in focus (px of the frame)
    foci: Foci,
    opening: Opening,
    towards: tuple[Tensor, Tensor],  # `cats_eye.directions` of the frame
    developed: Callable[[Tensor], Tensor],  # what else the lens does to a picture
) -> tuple[Tensor, Tensor]:
    """The photo [H, W, C], and its slopes [len(NAMES), H, W, C]."""
    pupil, focus, sigma0 = numbers
    plane = Plane()

    def seen_from(u: Tensor, v: Tensor, counted: Tensor | None = None) -> list[Sharp]:
        """From points (u, v) in the pupil's radius: views [M, ...] of some of them at a time."""
        found = []
        for part in torch.arange(len(u), device=u.device).split(AT_ONCE):
            x, y = u[part] * pupil / 2, v[part] * pupil / 2
            seen = draw(camera.at(sheared(camera.view, x, y, focus), plane))
            colour = foci.apart(seen.colour, x, y, camera.intrinsics[:2])
            found.append(replace(seen, colour=colour if counted is None else colour * counted[part][..., None]))
        return found

    def by(blur: float) -> tuple[Camera, Tensor, Tensor, Tensor, Foci, Opening]:
        """What views are blurred by: a sigma in the pupil's radius."""
        return camera, 2 * blur * pupil, focus, sigma0, foci, opening

    u, v = placed(RINGS, pupil)
    blur = math.sqrt(0.25 - sum(count * reach**2 for count, reach, _ in RINGS) / len(u) / 2)
    if opening.blades is not None:
        u, v = shaped(u, v, opening.blades)
    counted = None if opening.clipped is None else weights(u, v, *opening.clipped, one_ring=False)
    parts = [len(seen.colour) / len(u) * developed(blurred(seen, *by(blur))) for seen in seen_from(u, v, counted)]
    taken = torch.stack(parts).sum(0)
    x, y = placed(((AROUND, 1.0, 0.0),), pupil)
    u, v = (x, y) if opening.blades is None else shaped(x, y, opening.blades)
    views = torch.stack([developed(one) for seen in seen_from(u, v) for one in apart(seen, *by(SPOT))]) * (2 / AROUND)
    away, (cosine, sine) = towards
    # abs of the cosine of an angle by the cosine of twice of it
    twice = (2 * x**2 - 1)[:, None, None] * cosine + (2 * x * y)[:, None, None] * sine
    cut = (away * ((1 + twice).clamp_min(0) / 2).sqrt())[..., None]
    falls = [away[..., None] ** power * taken for power in (2, 4)]
    eye = (4 / math.pi * away)[..., None] * taken - (cut * views).sum(0)
    angles = 2 * math.pi / AROUND * torch.arange(AROUND, dtype=taken.dtype, device=taken.device)
    waves = [swing(n) / faded(n) * way for n in ORDERS for way in ((n * angles).cos(), (n * angles).sin())]
    shapes = (torch.stack(waves) @ views.flatten(1)).view(-1, *taken.shape)
    return taken, torch.cat([torch.stack([views.sum(0) - 2 * taken, eye, *falls]), shapes])


def faded(order: int) -> float:
    """What is left of a swing of the rim behind the blur of its views."""
    return math.exp(-((order * SPOT) ** 2) / 2)


def placed(rings: tuple[tuple[int, float, float], ...], like: Tensor) -> tuple[Tensor, Tensor]:
    """Samples (u, v) on rings."""
    places = [
        (reach * math.cos(first + 2 * math.pi * k / count), reach * math.sin(first + 2 * math.pi * k / count))
        for count, reach, first in rings
        for k in range(count)
    ]
    u, v = like.new_tensor(places).unbind(1)
    return u, v


@dataclass(frozen=True)
class RimTold:
    """What photos tell of the pupil's shape; all else but foci and the pupil's width is as it is."""

    step: NDArray[np.float64]  # [len(NAMES)] by which the shape should change
    covariance: NDArray[np.float64]  # [len(NAMES), len(NAMES)]

    def blades(self, order: int) -> tuple[complex, float, float]:
        """Of so many: how straight they are times e^(i n angle of a corner); the standard deviation of either part; and
        how many standard deviations it is from none."""
        rows = [NAMES.index(f"{side}{order}") for side in ("cos", "sin")]
        found, spread = self.step[rows], self.covariance[np.ix_(rows, rows)]
        if not np.isfinite(spread).all():
            return 0j, math.inf, 0.0
        away = float(found @ np.linalg.pinv(spread, hermitian=True) @ found) ** 0.5
        return complex(*found), float(np.trace(spread) / 2) ** 0.5, away

    def cats_eye(self) -> tuple[float, float]:
        """The corner's t, and its standard deviation."""
        row = NAMES.index("cats_eye")
        return float(self.step[row]), float(self.covariance[row, row]) ** 0.5


def blades_seen(told: RimTold, orders: Sequence[int]) -> tuple[float, float, float] | None:
    """`blades` of those that the photos show best; None: they show none."""
    best = max(orders, key=lambda order: told.blades(order)[2])
    found, _, away = told.blades(best)
    if away < (SURE if len(orders) > 1 else SURE_OF_SAID) or abs(found) < STRAIGHT:
        return None
    corner = math.atan2(found.imag, found.real) / best
    turn = (corner + math.pi / best) % (2 * math.pi / best)
    return float(best), turn, min(abs(found), 1.0)


def cats_eye_seen(told: RimTold) -> float | None:
    """The corner's t, if the photos show one: more than is found of pupils that are whole, beyond its uncertainty."""
    found, sure = told.cats_eye()
    return min(found, MOST) if found >= max(LEAST, WHOLE + SURE * sure) else None
