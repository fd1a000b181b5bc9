"""Cameras of the pixels as stored, turned to the upright photo.

A camera held in portrait, or upside down on a copy stand, stores its pixels as the sensor has them and writes into the
EXIF how to turn them. Photos are upright here; COLMAP, nerfstudio and most others work on the pixels as stored. In: a
camera of those, the EXIF orientation. Out: the camera of the upright photo.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.records import Distortion
from macrosplat.cameras.undistort import colmap_camera
from macrosplat.photos.records import Photo, same_shape
from macrosplat.support.errors import MacrosplatError

# EXIF orientation: the rotation [3, 3] of the camera's axes by which the stored picture comes to stand upright.
TURNS = {
    1: np.eye(3),
    3: np.diag([-1.0, -1.0, 1.0]),
    6: np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    8: np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
}
MIRRORED = (2, 4, 5, 7)
# Vectors of the image plane among COLMAP's parameters: they turn with it. OpenCV's tangential distortion is
# 2 (q . u) u + q |u|^2 with q = (p2, p1); the thin prism's is (sx1, sy1) |u|^2.
VECTORS = (("p2", "p1"), ("sx1", "sy1"))
OTHER_VECTORS = ("p0", "s0")  # of models whose vectors are others


def stored_size(photo: Photo) -> tuple[int, int]:
    """(width, height) of the pixels as stored."""
    return (photo.height, photo.width) if photo.orientation >= 5 else (photo.width, photo.height)


def fits(size: tuple[int, int], photo: Photo) -> tuple[bool, bool]:
    """Whether a camera for `size` can be of the upright photo, and whether of its pixels as stored."""
    return same_shape(size, (photo.width, photo.height)), same_shape(size, stored_size(photo))


def turn_of(photo: Photo, where: str) -> NDArray[np.float64]:
    """[3, 3] what brings a camera of the stored pixels to the upright photo, from the left.

    Raises:
        MacrosplatError: the photo is stored mirrored, which no turn brings upright.
    """
    if photo.orientation in MIRRORED:
        raise MacrosplatError(
            f"{where} has a camera for the pixels of {photo.name} as stored, which its EXIF orientation "
            f"{photo.orientation} mirrors; store the photo upright, without that tag, and make the cameras from it."
        )
    return TURNS.get(photo.orientation, TURNS[1])


def turned(lens: Distortion, turn: NDArray[np.float64]) -> Distortion:
    """The lens of the turned picture.

    Raises:
        ValueError: the model's parameters do not turn as those of COLMAP's others do.
    """
    if np.array_equal(turn, TURNS[1]):
        return lens
    camera = colmap_camera(lens)
    names = [name.strip() for name in camera.params_info.split(",")]
    if any(name in names for name in OTHER_VECTORS):
        raise ValueError(lens.model)
    params = np.array(lens.params, np.float64)
    at = {name: i for i, name in enumerate(names)}
    if "fx" in at and turn[0, 0] == 0:
        params[[at["fx"], at["fy"]]] = params[[at["fy"], at["fx"]]]
    centre = turned_px(params[[at["cx"], at["cy"]]], turn, (lens.width, lens.height))
    params[[at["cx"], at["cy"]]] = centre
    for x, y in VECTORS:
        if x in at:
            params[[at[x], at[y]]] = turn[:2, :2] @ params[[at[x], at[y]]]
    width, height = (lens.height, lens.width) if turn[0, 0] == 0 else (lens.width, lens.height)
    return Distortion(lens.model, tuple(params.tolist()), width, height)


def turned_px(px: NDArray[np.float64], turn: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """[..., 2] px of a picture of `size` (width, height) as they lie in the turned one."""
    corner = turn[:2, :2] @ np.array(size, np.float64)
    return px @ turn[:2, :2].T - np.minimum(corner, 0)
