"""Parts of a model that hang on the rest by next to nothing: rows of photos over made-up points."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pycolmap
import pytest

from macrosplat.cameras.sfm.together import ACROSS, LINK, largest_part, together


def rows_of_photos(across: int, single: int = 0) -> np.ndarray:
    """Photos 0 to 5 and 6 to 8 each see 40 points with their neighbour; `across` points are seen from both rows, by
    another pair of photos each time; photo 9 shares `single` points with photo 0 alone."""
    sees = []

    def seen_by(*photos: int) -> None:
        row = np.zeros(10, np.float32)
        row[list(photos)] = 1
        sees.append(row)

    for i in (0, 1, 2, 3, 4, 6, 7):
        for _ in range(40):
            seen_by(i, i + 1)
    pairs = [(i, j) for i in range(6) for j in (6, 7, 8)]
    assert across <= (LINK - 1) * len(pairs)
    for n in range(across):
        seen_by(*pairs[n % len(pairs)])
    for _ in range(single):
        seen_by(0, 9)
    return np.stack(sees)


@pytest.mark.parametrize("across", [0, 7, ACROSS - 1])
def test_a_row_that_hangs_by_a_few_points_is_not_held(across):
    assert largest_part(rows_of_photos(across)).tolist() == [True] * 6 + [False] * 3 + [True]


def test_a_row_that_shares_many_points_is_held_though_no_two_photos_share_several():
    assert largest_part(rows_of_photos(ACROSS)).all()


def test_a_photo_by_itself_is_left_to_others():
    assert largest_part(rows_of_photos(7, single=3))[9]


def test_photos_of_a_model_by_their_tracks():
    tracks = [[SimpleNamespace(image_id=int(photo) + 1) for photo in np.flatnonzero(row)] for row in rows_of_photos(7)]
    points = {n: SimpleNamespace(track=SimpleNamespace(elements=track)) for n, track in enumerate(tracks)}
    model = cast(pycolmap.Reconstruction, SimpleNamespace(points3D=points, num_points3D=lambda: len(points)))
    assert together(model, list(range(10))) == [0, 1, 2, 3, 4, 5, 9]
    assert together(model, [3, 8, 0, 6]) == [3, 8, 0, 6]  # no two of them share anything: each stands alone
