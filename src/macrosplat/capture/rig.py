"""A fixed rig: the cameras of one capture are those of another, photo by photo in the order of their names.

In: cameras that were found for one capture, the photos of another. Out: the same cameras by the other's names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.undistort import rescaled
from macrosplat.photos.names import natural_key
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError

RIG = "rig"  # `Cameras.source`


def partners(names: Sequence[str], photos: Sequence[Photo], whose: str = "") -> dict[str, Photo]:
    """The photo at hand for each of the rig's, both in the order of their names; as of `renamed`."""
    if len(names) != len(photos):
        raise MacrosplatError(
            f"{whose} is a rig of {len(names)} photos, and here are {len(photos)}: which is taken by which camera "
            "cannot be told; add or remove photos, or leave out --cameras-from."
        )
    mine = sorted(photos, key=lambda photo: natural_key(photo.name))
    return dict(zip(sorted(names, key=natural_key), mine, strict=True))


def renamed(cameras: Cameras, names: Sequence[str], photos: Sequence[Photo], whose: str) -> Cameras:
    """The rig's cameras for other photos.

    Args:
        cameras: of those photos of the rig's own capture that have one.
        names: all photos of that capture. photos: those of the capture at hand. whose: the rig's run, for the sentence.

    Raises:
        MacrosplatError: there are more or fewer photos than the rig has cameras, or one has another shape.
    """
    of = partners(names, photos, whose)
    mine = [of[name] for name in cameras.names]
    sizes = np.array([(photo.width, photo.height) for photo in mine])
    factor = sizes / cameras.sizes
    for name, photo, (x, y) in zip(cameras.names, mine, factor, strict=True):
        if abs(x / y - 1) > 0.01:
            raise MacrosplatError(
                f"{photo.name} is {photo.width} x {photo.height} px and has another shape than {name} of the rig "
                f"{whose}; leave out --cameras-from."
            )
    return replace(
        cameras,
        names=tuple(photo.name for photo in mine),
        intrinsics=cameras.intrinsics * factor[:, [0, 1, 0, 1]],
        sizes=sizes,
        distortion=tuple(
            None if one is None else rescaled(one, int(w), int(h))
            for one, (w, h) in zip(cameras.distortion, sizes, strict=True)
        ),
        source=RIG,
    )
