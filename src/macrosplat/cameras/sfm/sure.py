"""How sure a model is of its focal length.

In: an adjusted model. Out: standard deviations. A narrow field of view hardly tells a longer focal length from a
greater distance: where the focal length is held elsewhere and all else adjusted, how much worse do the points fit? And
since blur moves the key points of a part of the thing alike: what does the focal length become without that part?
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.parts import parts_of
from macrosplat.cameras.sfm import mapping
from macrosplat.support.colmap import pycolmap

# By which share the focal length is held shorter and longer: less is lost in outliers that come and go.
STEP = 0.06
# Parts of the thing that are left out in turn.
PARTS = 8
# How many times the one and the other deviation focal lengths are off by at most (experiments: focal-spread).
SPREADS, SPREADS_BY_PARTS = 5.0, 4.0


def focal_spread(model: pycolmap.Reconstruction, loss: float) -> float | None:
    """The standard deviation of the focal lengths, a share of them; None where none was adjusted.

    Args:
        model: adjusted under a Cauchy loss of `loss` px; it is left as it is.
    """
    photos = Counter(model.images[image_id].camera_id for image_id in model.reg_image_ids())
    if max(photos.values(), default=0) < mapping.FOCAL_PHOTOS:
        return None
    here, there = costs(model, loss), 0.0
    for share in (1 - STEP, 1 + STEP):
        held = pycolmap.Reconstruction(model)
        for camera in held.cameras.values():
            camera.params = [share * camera.params[0], *camera.params[1:]]
        mapping.adjust(held, loss, focal=False, end=mapping.EXACT)
        there += costs(held, loss).sum() / 2
    rise = (there - here.sum()) / max(unit_cost(model, here), 1e-12)
    return float(min(STEP / np.sqrt(2 * max(rise, 1e-12)), 1.0))


def may_be_off(model: pycolmap.Reconstruction, loss: float) -> float | None:
    """The share by which the focal lengths may be off; None where none was adjusted.

    Args:
        model: adjusted under a Cauchy loss of `loss` px, all observations alike; it is left as it is.
    """
    told = focal_spread(model, loss)
    return None if told is None else float(np.hypot(SPREADS * told, SPREADS_BY_PARTS * spread_by_parts(model, loss)))


def spread_by_parts(model: pycolmap.Reconstruction, loss: float) -> float:
    """The standard deviation of the focal lengths, a share of them, by leaving out each part of the thing (jackknife).

    Args:
        model: adjusted under a Cauchy loss of `loss` px; it is left as it is.
    """
    ids = np.array(sorted(model.points3D))
    if len(ids) < PARTS:
        return 1.0
    part, found = parts_of(np.array([model.points3D[one].xyz for one in ids.tolist()]), PARTS), []
    for n in np.unique(part):
        rest = pycolmap.Reconstruction(model)
        for point in ids[part == n].tolist():
            rest.delete_point3D(point)
        mapping.adjust(rest, loss, end=mapping.EXACT)
        grown = [camera.focal_length_x / model.cameras[i].focal_length_x for i, camera in sorted(rest.cameras.items())]
        if all(one == 1 for one in grown):  # it ran away
            return 1.0
        found.append(np.log(grown))
    return float(np.sqrt((len(found) - 1) * np.var(found, axis=0)).max())


def unit_cost(model: pycolmap.Reconstruction, costs: NDArray[np.float64]) -> float:
    """px^2: the variance of an observation's coordinate, by what is left of all."""
    unknowns = 6 * model.num_reg_images() + 3 * len(model.points3D)
    return float(2 * costs.sum() / max(2 * len(costs) - unknowns, 1))


def costs(model: pycolmap.Reconstruction, loss: float) -> NDArray[np.float64]:
    """[O] px^2, the Cauchy cost of every observation."""
    found = []
    for image_id in sorted(model.reg_image_ids()):
        image = model.images[image_id]
        seen = image.get_observation_points2D()
        if not seen:
            continue
        xyz = np.array([model.points3D[one.point3D_id].xyz for one in seen])
        local = xyz @ image.cam_from_world().rotation.matrix().T + image.cam_from_world().translation
        wrong = np.asarray(model.cameras[image.camera_id].img_from_cam(local)) - np.array([one.xy for one in seen])
        found.append(0.5 * loss**2 * np.log1p((wrong**2).sum(1) / loss**2))
    return np.concatenate(found) if found else np.zeros(0)
