"""The aperture samples of a thin lens: where in the pupil they lie, how a camera looks from there, and which of them
gradients go through.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from macrosplat.lens.blades import shaped
from macrosplat.lens.model import Sampling
from macrosplat.support.dispatch import on_gpu

# By the number of samples: the radius of their ring in the pupil's, and the sigma, in r, of the residual blur that
# completes them. The second moments are the disc's: radius^2 / 2 * (ring's share) + residual^2 = 1/4. In a scene with
# occlusions the residual blur is what errs, and a ring wider than best for a disc alone is better
# (experiments: aperture-ring).
LAYOUTS = {4: (0.62, 0.24), 8: (0.71, 0.1716)}
CENTRED = 8  # from so many samples on, one of them is the pupil's centre
# So many, as training takes them, lie on a spiral of golden angles: the rim of the disc that they fill, in the pupil's
# radius, and the turn from one to the next, radians. Still more (pictures refocused for export) keep the ring.
SPIRALS, SPIRAL, GOLDEN_TURN = (16, 32), 0.95, 2.399963


def has_centre(samples: int) -> bool:
    """Whether the first of so many samples is the pupil's centre."""
    return samples >= CENTRED and samples not in SPIRALS


def sheared(view: Tensor, u: Tensor, v: Tensor, focus: Tensor) -> Tensor:
    """Views [..., 4, 4] from aperture samples (u, v) [...], sheared so that the plane of focus stays put.

    Args:
        view: [4, 4] from the pupil's centre. u, v, focus []: scene units.
    """
    zero, one = torch.zeros_like(u), torch.ones_like(u)
    rows = [one, zero, u / focus, -u, zero, one, v / focus, -v, zero, zero, one, zero, zero, zero, zero, one]
    return torch.stack(rows, -1).view(*u.shape, 4, 4) @ view


def apertures(
    sampling: Sampling, view: Tensor, pupil: Tensor, focus: Tensor, rows: Sequence[int], blades: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Some of the samples: u, v [M] (scene units) and the views [M, 4, 4] from there; arguments as of `sheared`."""
    n, angle = sampling.samples, sampling.angle
    if isinstance(angle, Tensor) and n not in SPIRALS and on_gpu(view):
        from macrosplat.lens.aperture_cuda import Apertures

        centred = int(n >= CENTRED)
        ring_of = centred, LAYOUTS[8 if centred else 4][0], 2 * math.pi / (n - centred)
        return Apertures.apply(view, pupil, focus, angle, rows, *ring_of, blades)  # type: ignore[return-value]
    u, v = (pupil / 2 * x for x in aperture_samples(sampling, pupil, blades)[:2])
    if len(rows) < n:
        u, v = rows_of(u, rows), rows_of(v, rows)
    return u, v, sheared(view, u, v, focus)


def residual_blur(samples: int) -> float:
    """The sigma, in the pupil's radius, of the blur that completes the samples' second moment to the disc's."""
    return math.sqrt((1 - SPIRAL**2) / 4) if samples in SPIRALS else LAYOUTS[8 if samples >= CENTRED else 4][1]


def aperture_samples(sampling: Sampling, like: Tensor, blades: Tensor | None = None) -> tuple[Tensor, Tensor, float]:
    """Where the samples [M] lie, in the pupil's radius, and their `residual_blur`; None: the pupil is round."""
    u, v = _spiral(sampling, like) if sampling.samples in SPIRALS else _ring(sampling, like)
    if blades is not None:
        u, v = shaped(u, v, blades)
    return u, v, residual_blur(sampling.samples)


def _ring(sampling: Sampling, like: Tensor) -> tuple[Tensor, Tensor]:
    """Few of them: round the middle of a disc, of which, with their residual blur, they have the second moment."""
    centred = sampling.samples >= CENTRED
    radius = LAYOUTS[8 if centred else 4][0]
    u, v = (radius * x for x in ring(sampling.samples - centred, sampling.angle, like))
    if centred:
        centre = torch.zeros_like(u[:1])
        u, v = torch.cat([centre, u]), torch.cat([centre, v])
    return u, v


def _spiral(sampling: Sampling, like: Tensor) -> tuple[Tensor, Tensor]:
    """Many of them: evenly over a disc, of which they have the second moment, radius^2 / 4."""
    n = sampling.samples
    k = torch.arange(n, dtype=like.dtype, device=like.device)
    radius, turn = SPIRAL * ((k + 0.5) / n).sqrt(), GOLDEN_TURN * k + sampling.angle
    u, v = radius * turn.cos(), radius * turn.sin()
    return u - u.mean(), v - v.mean()


def ring(samples: int, angle: float | Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [M] of directions evenly round the pupil, the first at `angle`."""
    turns = [2 * math.pi * k / samples for k in range(samples)]
    if isinstance(angle, Tensor):
        angles = angle + torch.arange(samples, dtype=like.dtype, device=like.device) * (2 * math.pi / samples)
        return angles.cos(), angles.sin()
    return like.new_tensor([math.cos(angle + t) for t in turns]), like.new_tensor([math.sin(angle + t) for t in turns])


def rows_of(values: Tensor, rows: Sequence[int]) -> Tensor:
    """Some rows; an index would come from the host, and a step is recorded on a GPU."""
    return torch.stack([values[row] for row in rows])


@cache
def learned_of(samples: int, learned: int) -> tuple[list[int], list[float]]:
    """Of the samples those that gradients go through, and what each of them stands for, as a multiple of its own share
    of their mean. The pupil's centre stands for itself alone: nothing turns it."""
    centred = int(has_centre(samples))
    of_ring = learned - centred
    first = [0][:centred] + [centred + k * (samples - centred) // of_ring for k in range(of_ring)]
    shares = [learned / samples][:centred] + [learned / samples * (samples - centred) / of_ring] * of_ring
    return first, shares
