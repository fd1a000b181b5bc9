"""Photos that hold each other, but hang on the rest of a model by next to nothing.

Another side of a thing, another light, what looks alike on both sides: a row of photos fits together within itself, and
a few false matches put it anywhere beside the others. Every photo of it agrees with all that it is compared with. In: a
model. Out: the photos of its largest part that is held as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from macrosplat.support.colmap import pycolmap

# Points that two photos share where they hold each other; and those that a part and the largest one have to share where
# no two photos of theirs do (experiments: apart). What two photos alone have seen is false too often.
LINK, ACROSS, SEEN_BY = 5, 30, 3


def together(model: pycolmap.Reconstruction, photos: Sequence[int]) -> list[int]:
    """Which of the photos (indices) the largest part of a model holds, in the order given. Single ones stay: what they
    agree on is judged elsewhere."""
    place = {photo: n for n, photo in enumerate(photos)}
    sees = np.zeros((model.num_points3D(), len(place)), np.float32)
    for row, point in enumerate(model.points3D.values()):
        for element in point.track.elements:
            if (n := place.get(element.image_id - 1)) is not None:
                sees[row, n] = 1
    held = largest_part(sees)
    return [photo for photo in photos if held[place[photo]]]


def largest_part(sees: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[V] which photos belong to the largest part or stand alone.

    Args:
        sees: [P, V] 1 where a photo sees a point, else 0.
    """
    sees = sees[sees.sum(1) >= SEEN_BY]
    count, part = connected_components(sees.T @ sees >= LINK, directed=False)
    if count < 2:
        return np.ones(sees.shape[1], bool)
    sizes = np.bincount(part)
    held = part == sizes.argmax()
    waiting = [n for n in np.flatnonzero(sizes > 1) if n != sizes.argmax()]
    while joined := [n for n in waiting if _shared(sees, held, part == n) >= ACROSS]:
        held |= np.isin(part, joined)
        waiting = [n for n in waiting if n not in joined]
    return held | (sizes[part] == 1)


def _shared(sees: NDArray[np.float32], these: NDArray[np.bool_], those: NDArray[np.bool_]) -> int:
    """How many points both sets of photos see."""
    return int(np.count_nonzero(sees[:, these].any(1) & sees[:, those].any(1)))
