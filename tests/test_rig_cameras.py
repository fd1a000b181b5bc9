"""Cameras of a fixed rig for other photos: by the order of names, in the size of the photos at hand."""

from pathlib import Path

import numpy as np
import pytest

from macrosplat.capture.rig import RIG, partners, renamed
from macrosplat.lens import LensStart
from macrosplat.lens.known import HIGH, KnownLens
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError
from making_captures import make_cameras


def photos(names: list[str], width: int = 96, height: int = 72) -> list[Photo]:
    return [Photo(name, Path(name), width, height) for name in names]


def test_the_n_th_photo_by_name_has_the_n_th_camera() -> None:
    cameras = make_cameras(4)  # 0.png ... 3.png
    there = photos([f"IMG_{n}.jpg" for n in (10, 9, 11, 100)], 192, 144)
    # The rig's second photo never got a camera.
    found = renamed(cameras.select(["0.png", "2.png", "3.png"]), cameras.names, there, "rig")
    assert found.names == ("IMG_9.jpg", "IMG_11.jpg", "IMG_100.jpg") and found.source == RIG
    np.testing.assert_array_equal(found.views, cameras.views[[0, 2, 3]])
    np.testing.assert_allclose(found.intrinsics, 2 * cameras.intrinsics[[0, 2, 3]])
    np.testing.assert_array_equal(found.sizes, [[192, 144]] * 3)


def test_counts_and_shapes_have_to_agree() -> None:
    cameras = make_cameras(3)
    with pytest.raises(MacrosplatError, match=r"rig is a rig of 3 photos, and here are 2: which is taken by which"):
        renamed(cameras, cameras.names, photos(["a.jpg", "b.jpg"]), "rig")
    with pytest.raises(MacrosplatError, match=r"a.jpg is 72 x 96 px and has another shape than 0.png"):
        renamed(cameras, cameras.names, photos(["a.jpg", "b.jpg", "c.jpg"], 72, 96), "rig")


def test_the_lens_begins_as_it_was_found() -> None:
    of = partners(["x", "y"], photos(["b", "a"]))
    assert {name: photo.name for name, photo in of.items()} == {"x": "a", "y": "b"}
    start = LensStart(1.0, (5.0, 6.0, 7.0), (1.0, 1.0, 1.0))
    begun = KnownLens(0.5, {"a": 5.5, "c": 7.5}).begin(start, ["a", "b", "c"])
    assert begun.pupil == HIGH * 0.5 and begun.focus == (5.5, 6.0, 7.5)
