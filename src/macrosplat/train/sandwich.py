"""What photos tell of numbers, and how surely: one step of Newton, and the sandwich of Huber and White about it.

In: photos beside what a model makes of them, with the slopes of that by numbers that all share and by one of each
photo's own. Out: the step, covariances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCKS = 4  # across a photo: what is wrong in one of them says nothing of the next


@dataclass(frozen=True)
class Look:
    """A photo beside what the model makes of it, by pixel."""

    wrong: Tensor  # [H, W, 3] model less photo, sRGB
    slopes: Tensor  # [G + 1, H, W, 3] of the model, by the numbers that all photos share, and the photo's own
    weight: Tensor  # [H, W]


class Sandwich(NamedTuple):
    covariance: NDArray[np.float64]  # [G, G] of what all photos share
    own: NDArray[np.float64]  # [photos] standard deviations of what each has of its own
    step: NDArray[np.float64]  # [G] by which the loss would have what all share moved


def sandwich(looks: Sequence[Look]) -> Sandwich:
    """What the photos tell.

    H^-1 S H^-1 (Huber 1967, White 1982): H the curvature of a smooth L1 loss by Gauss and Newton, S the sum over blocks
    of the squares of their gradients, so that what is wrong together counts together. Of what all share the photos
    are such blocks as well, and the larger of both counts.
    """
    smooth = float(torch.stack([look.wrong.abs().median() for look in looks]).median()) + 1e-6
    count = len(looks[0].slopes) - 1
    size = count + len(looks)
    curvature, blocks, whole = np.zeros((size, size)), [], []
    for n, look in enumerate(looks):
        slopes = look.slopes.double()
        wrong, weight = look.wrong.double(), look.weight.double()[..., None]
        square = wrong.square() + smooth**2
        bend = smooth**2 * square**-1.5 * weight
        rows = [*range(count), count + n]
        curvature[np.ix_(rows, rows)] += ((slopes * bend).flatten(1) @ slopes.flatten(1).T).cpu().numpy()
        pulls = _sums((slopes * (wrong * square**-0.5 * weight)).sum(-1))
        gradients = np.zeros((len(pulls), size))
        gradients[:, rows] = pulls
        blocks.append(gradients)
        whole.append(gradients.sum(0))
    # What no photo shows has no curvature: it is left out, and told by nothing.
    shown = np.diag(curvature) > 0
    scale = np.diag(curvature)[shown] ** -0.5
    inverse = np.linalg.pinv(curvature[np.ix_(shown, shown)] * scale * scale[:, None], 1e-9, hermitian=True)
    inverse *= scale * scale[:, None]

    def covariance(gradients: NDArray[np.float64]) -> NDArray[np.float64]:
        full = np.diag(np.where(shown, 0.0, np.inf))
        full[np.ix_(shown, shown)] = inverse @ (gradients.T @ gradients)[np.ix_(shown, shown)] @ inverse
        return full

    by_block, by_photo = covariance(np.concatenate(blocks)), covariance(np.stack(whole))
    here, there, wider = np.diag(by_block)[:count], np.diag(by_photo)[:count], np.ones(count)
    rows = shown[:count]
    wider[rows] = np.sqrt(np.maximum(1.0, there[rows] / here[rows].clip(1e-300)))
    step = np.zeros(size)
    step[shown] = -inverse @ np.sum(whole, 0)[shown]
    return Sandwich(by_block[:count, :count] * wider * wider[:, None], np.sqrt(np.diag(by_block)[count:]), step[:count])


def _sums(values: Tensor) -> NDArray[np.float64]:
    """[blocks, K] sums of [K, H, W] over square blocks."""
    height, width = values.shape[1:]
    side = -(-width // BLOCKS)
    padded = torch.nn.functional.pad(values, (0, -width % side, 0, -height % side))
    tiles = padded.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # [K, rows, side, columns, side]
    return tiles.sum((2, 4)).flatten(1).T.cpu().numpy()
