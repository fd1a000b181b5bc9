"""Photos that a model holds in a wrong place together, since something of the thing repeats.

Balls of one pattern, legs, the scales of a wing: photos may agree with each other, and with others that show the same
pattern elsewhere, and lie far off all the same. What their true neighbours share with them then fits nothing, although
the model has them side by side. In: a model's views and what pairs of photos agreed on. Out: which photos to give up.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.sfm.features import Features, Matches
from macrosplat.cameras.sfm.verify import TELLING_PAIR, Agreement, fits_model

# Shares of a pair's matches: from which on the model is supported by them, and up to which they contradict it.
SUPPORTS, CONTRADICTS = 0.5, 0.3
# Degrees between viewing directions up to which what contradicts counts, the more the nearer they are: what looks alike
# is mostly elsewhere on the thing, so false matches are of views far apart (experiments: contradicted).
SIDE_BY_SIDE = 50.0
# Of matches that support the model as many outweigh one of views in one direction that contradicts it: they may repeat.
OUTWEIGHS = 10.0
MOST = 1 / 3  # of the photos: if more are contradicted, it is not told which are wrong
# Share of what pairs agreed on that right models explain; one that was bent all over explained 0.89.
USUAL = 0.91


@dataclass(frozen=True)
class Contradicted:
    """Photo indices."""

    photos: tuple[int, ...] = ()
    all_doubted: bool = False  # so many that the others may as well be wrong
    by: tuple[int, ...] = ()  # photos that speak against them: which side is wrong is a guess
    beside: tuple[int, ...] = ()  # photos that hold them, or speak against them

    @property
    def given_up(self) -> tuple[int, ...]:
        return () if self.all_doubted else self.photos


NOBODY = Contradicted()


def badly_explained(judged: Agreement, photos: Collection[int]) -> tuple[int, ...]:
    """Which of the photos are explained worse than is usual, if the model as a whole is."""
    return tuple(i for i in photos if judged.per_photo[i] < USUAL) if judged.share < USUAL else ()


def otherwise(
    features: list[Features],
    verified: Matches,
    views: dict[int, NDArray[np.float64]],
    calibrations: list[NDArray[np.float64]],
    photos: Collection[int],
) -> Matches:
    """What pairs agreed on, without those by which a model holds `photos` where they contradict the others."""
    holds = _weights(features, verified, views, calibrations) > 0
    return {
        pair: rows for pair, rows in verified.items() if not holds[pair] or (pair[0] in photos) == (pair[1] in photos)
    }


def contradicted(
    features: list[Features],
    verified: Matches,
    views: dict[int, NDArray[np.float64]],
    calibrations: list[NDArray[np.float64]],
) -> Contradicted:
    """The photos that what their neighbours share with them speaks against more than what holds them speaks for them.

    Args:
        verified: from `verify`.
        views: photo index to [4, 4] world to camera; registered photos only.
        calibrations: [3, 3] per photo, canvas px.
    """
    weights = _weights(features, verified, views, calibrations)
    rest = set(views)
    found: set[int] = set()
    while wrong := _together(weights, sorted(rest)):
        found |= wrong
        rest -= wrong
        if len(found) > MOST * len(views):
            break
    inside, out = (np.array(sorted(some), np.int64) for some in (found, rest))
    between = np.ix_(out, inside)
    of_all = _weights(features, verified, views, calibrations, 0)
    by, beside = (tuple(out[told.any(1)].tolist()) for told in (weights[between] < 0, of_all[between] != 0))
    return Contradicted(tuple(sorted(found)), len(found) > MOST * len(views), by, beside)


def _weights(
    features: list[Features],
    verified: Matches,
    views: dict[int, NDArray[np.float64]],
    calibrations: list[NDArray[np.float64]],
    telling: int = TELLING_PAIR,
) -> NDArray[np.float64]:
    """[V, V] how much speaks for each pair of photos to be held as it is; below 0: against it, by pairs with `telling`
    matches."""
    weights = np.zeros((len(features), len(features)))
    for (i, j), rows in verified.items():
        if i not in views or j not in views:
            continue
        fits = fits_model(
            features[i].px[rows[:, 0]], features[j].px[rows[:, 1]], views[i], views[j], calibrations[i], calibrations[j]
        )
        if fits.mean() >= SUPPORTS:
            weights[i, j] = weights[j, i] = fits.sum()
        elif fits.mean() < CONTRADICTS and len(rows) >= telling:
            turn = np.degrees(np.arccos(np.clip(views[i][2, :3] @ views[j][2, :3], -1, 1)))
            weights[i, j] = weights[j, i] = -OUTWEIGHS * len(rows) * max(1 - turn / SIDE_BY_SIDE, 0)
    return weights


def _together(weights: NDArray[np.float64], photos: list[int]) -> set[int]:
    """Of all groups of up to half of the photos that grow from one by what is best to add, the one that the others
    speak against most; empty where they speak for all."""
    best, against = set[int](), 0.0
    for start in photos:
        if not (weights[start, photos] < 0).any():
            continue
        group = {start}
        while True:
            out = [photo for photo in photos if photo not in group]
            inside = sorted(group)
            said = float(weights[np.ix_(inside, out)].sum())
            if said < against:
                best, against = set(group), said
            if 2 * (len(group) + 1) > len(photos):
                break
            gains = weights[np.ix_(out, out)].sum(1) - weights[np.ix_(out, inside)].sum(1)
            group.add(out[int(gains.argmin())])
    return best
