"""Parts of a model that hang on the rest by next to nothing: rows of photos over made-up points."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pycolmap
import pytest

from macrosplat.cameras.sfm.together import ACROSS, LINK, largest_part, together


def rows_of_photos(across: int, single: int = 0, by_two: int = 0) -> np.ndarray:
    """Photos 0 to 5 and 6 to 8 each see 40 points with their neighbours; `across` points are seen from both rows, by
    others each time; photo 9 shares `single` points with photos 0 and 1 alone, and 0 and 6 share `by_two` with no
    other."""
    sees = []

    def seen_by(*photos: int) -> None:
        row = np.zeros(10, np.float32)
        row[list(photos)] = 1
        sees.append(row)

    for i in (0, 1, 2, 3, 6):
        for _ in range(40):
            seen_by(i, i + 1, i + 2)
    apart = [(i, (i + 3) % 6, j) for j in (6, 7, 8) for i in range(6)]
    assert across <= (LINK - 1) * len(apart) // 2
    for n in range(across):
        seen_by(*apart[n % len(apart)])
    for _ in range(single):
        seen_by(0, 1, 9)
    for _ in range(by_two):
        seen_by(0, 6)
    return np.stack(sees)


@pytest.mark.parametrize("across", [0, 7, ACROSS - 1])
def test_a_row_that_hangs_by_a_few_points_is_not_held(across):
    assert largest_part(rows_of_photos(across)).tolist() == [True] * 6 + [False] * 3 + [True]


def test_a_row_that_shares_many_points_is_held_though_no_two_photos_share_several():
    assert largest_part(rows_of_photos(ACROSS)).all()


def test_what_two_photos_alone_have_seen_holds_nothing():
    assert largest_part(rows_of_photos(7, by_two=100)).tolist() == [True] * 6 + [False] * 3 + [True]


def test_a_photo_by_itself_is_left_to_others():
    assert largest_part(rows_of_photos(7, single=3))[9]


def test_photos_of_a_model_by_their_tracks():
    tracks = [[SimpleNamespace(image_id=int(photo) + 1) for photo in np.flatnonzero(row)] for row in rows_of_photos(7)]
    points = {n: SimpleNamespace(track=SimpleNamespace(elements=track)) for n, track in enumerate(tracks)}
    model = cast(pycolmap.Reconstruction, SimpleNamespace(points3D=points, num_points3D=lambda: len(points)))
    assert together(model, list(range(10))) == [0, 1, 2, 3, 4, 5, 9]
    assert together(model, [3, 8, 0, 6]) == [3, 8, 0, 6]  # no two of them share anything: each stands alone
