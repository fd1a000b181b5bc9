"""Photos that a scene does not explain as it explains the others: their cameras are wrong, or they show something else.

In: a trainer that has taken some of its steps. Out: which photos, and how far they are off. A photo with a wrong camera
contradicts all others, which the scene follows: it stays far worse than they are from early on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macrosplat.support.dispatch import one_torch_thread
from macrosplat.train.place import own_agreement
from macrosplat.train.trainer import Trainer

LOOKED_AT = 0.3  # of the steps: the scene stands, and little is lost if training has to begin again
FEWEST = 6  # photos: of fewer nobody can say which one is wrong
# dB below the median of all, and standard deviations (by the median deviation), that make a photo unexplained
# (experiments: expelled-photos).
BELOW, SURELY = 10.0, 4.0
MAD_TO_SIGMA = 1.4826
MOST = 0.25  # of the photos: if more are unexplained, it is not they that are wrong


@dataclass(frozen=True)
class Unexplained:
    photos: tuple[int, ...]  # rows of the trainer
    agreement: tuple[float, ...]  # dB, of each of these
    usual: float  # dB, median of all


def unexplained(trainer: Trainer) -> Unexplained:
    """The photos that the scene does not explain."""
    targets, sampling = trainer.targets, trainer.last_sampling()
    with one_torch_thread():
        own = [
            own_agreement(trainer.model, v, targets.photos[v], targets.masks[v], sampling) for v in range(len(targets))
        ]
    found, usual = far_below(np.array(own))
    return Unexplained(tuple(found), tuple(own[v] for v in found), usual)


def far_below(agreement: NDArray[np.float64]) -> tuple[list[int], float]:
    """Which of some values [V] dB are far below the others, and the median."""
    usual = float(np.median(agreement))
    if len(agreement) < FEWEST:
        return [], usual
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(agreement - usual)))
    found = np.flatnonzero(usual - agreement > max(BELOW, SURELY * sigma)).tolist()
    return (found if len(found) <= MOST * len(agreement) else []), usual
