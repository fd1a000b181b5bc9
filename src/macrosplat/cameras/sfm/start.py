"""The cameras that structure from motion starts with.

In: photos, their features. Out: a canvas camera per photo, of the focal length that is to be tried.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.focal import focals_px
from macrosplat.cameras.sfm import mapping
from macrosplat.cameras.sfm.features import Features, working_size
from macrosplat.photos.records import Photo
from macrosplat.support.colmap import pycolmap

# The nominal focal length times this is where SfM starts: m = 1, the middle of macro (`focal.py` explains m). Set
# free at the end it is found from far off (experiments: focal-start).
FOCAL_START = 2.0
# For a second try, if the model is wrong: m = 0.2.
OTHER_START = 1.2


def start_cameras(photos: tuple[Photo, ...], features: list[Features], factor: float) -> list[pycolmap.Camera]:
    """A camera per photo; photos of one camera, zoom and longer side share theirs, whichever way up they are."""
    nominal = nominal_focals(photos)
    cameras: dict[tuple[object, ...], pycolmap.Camera] = {}
    chosen = []
    for photo, side, focal in zip(photos, (one.side for one in features), nominal, strict=True):
        # Phones crop what they call another lens: only the equivalent tells.
        key = (photo.exif.camera, photo.exif.focal_mm, photo.exif.focal_35mm, max(photo.width, photo.height))
        if key not in cameras:
            cameras[key] = mapping.pinhole(side, factor * focal, len(cameras) + 1)
        chosen.append(cameras[key])
    return chosen


def nominal_focals(photos: tuple[Photo, ...]) -> NDArray[np.float64]:
    """[V] nominal focal lengths in canvas px."""
    sides = np.array([max(working_size(photo.width, photo.height)) for photo in photos])
    return focals_px(photos) * sides / np.array([max(photo.width, photo.height) for photo in photos])


def median_focal(cameras: list[pycolmap.Camera], nominal: NDArray[np.float64]) -> float:
    """In nominal focal lengths."""
    return float(np.median(np.array([camera.focal_length_x for camera in cameras]) / nominal))
