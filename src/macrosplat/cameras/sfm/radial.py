"""The distortion of the lens: one radial term, where photos without given cameras surely tell it.

In: a model whose points the pixels have placed (key points of blurred photos do not tell it; experiments:
breathing-by-photos). Out: the model with k1 and what goes with it, or as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from macrosplat.cameras.parts import parts_of
from macrosplat.cameras.sfm import bundle
from macrosplat.cameras.sfm.features import Features
from macrosplat.cameras.sfm.sure import unit_cost
from macrosplat.support.colmap import pycolmap

# Standard deviations, by how much better all points fit and by leaving out each part of the thing in turn, and share of
# a photo's width by which its corner is displaced: less is not told from none (experiments: radial-by-photos).
SURE, SURE_BY_PARTS, SEEN, PARTS = 5.0, 3.0, 1.5e-3, 8


def with_radial(
    model: pycolmap.Reconstruction, features: Sequence[Features], noise: bundle.Noise
) -> pycolmap.Reconstruction:
    """The model adjusted with one radial term for each camera, if that explains its points surely better.

    Args:
        model: image n + 1 is photo n, of pinholes, adjusted under `noise`; it is left as it is.
        features: of each photo.
    """
    bent = pycolmap.Reconstruction(model)
    for camera_id, camera in bent.cameras.items():
        params = [*camera.params, 0.0]
        radial = pycolmap.Camera(
            model="SIMPLE_RADIAL", width=camera.width, height=camera.height, params=params, camera_id=camera_id
        )
        camera.model, camera.params = radial.model, radial.params
    bundle.adjust(bent, noise, radial=True)
    before, after = (bundle.costs(one, noise) for one in (model, bent))
    sure = np.sqrt(max(0.0, 2 * (before.sum() - after.sum()) / max(unit_cost(bent, after), 1e-12)))
    seen = max((_displaced(bent, image_id, features) for image_id in bent.reg_image_ids()), default=0.0)
    return bent if sure > SURE and seen > SEEN and _agreed(bent, noise) else model


def _agreed(bent: pycolmap.Reconstruction, noise: bundle.Noise) -> bool:
    """Whether the parts of the thing tell the same distortion: gloss on one of them may look like one."""
    ids = np.array(sorted(bent.points3D))
    part, found = parts_of(np.array([bent.points3D[one].xyz for one in ids.tolist()]), PARTS), []
    for n in np.unique(part):
        rest = pycolmap.Reconstruction(bent)
        for point in ids[part == n].tolist():
            rest.delete_point3D(point)
        bundle.adjust(rest, noise, radial=True)
        found.append([camera.params[3] for _, camera in sorted(rest.cameras.items())])
    if len(found) < PARTS:
        return False
    told = [camera.params[3] for _, camera in sorted(bent.cameras.items())]
    spread = np.sqrt((len(found) - 1) * np.var(found, axis=0))
    return bool((np.abs(told) > SURE_BY_PARTS * spread).any())


def _displaced(model: pycolmap.Reconstruction, image_id: int, features: Sequence[Features]) -> float:
    """By what share of its width a photo's corner is displaced."""
    focal, _, _, k1 = model.cameras[model.images[image_id].camera_id].params
    width, height = features[image_id - 1].size
    radius = float(np.hypot(width, height)) / 2
    return abs(k1) * (radius / focal) ** 2 * radius / float(width)
