"""Between which distances a viewer may focus: where the scene lies that the first photo shows, and where photos focus.

In: a scene, a view, the photos' focus distances. Out: `FocusRange`, scene units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macrosplat.scene.gaussians import Gaussians

OPACITY_SEEN = 0.1  # Gaussians fainter than this do not count
MARGIN = 0.1  # of the range, at either end


@dataclass(frozen=True)
class FocusRange:
    start: float  # the photos' median; where no focus is known, the middle of the scene
    nearest: float
    farthest: float


def means_seen(scene: Gaussians, among: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """[N, 3] centres of the Gaussians that are no haze, among those flagged [N]; of all where that leaves none."""
    logits, means = (t.detach().cpu().double().numpy() for t in (scene.opacity_logits, scene.means))
    seen = logits > np.log(OPACITY_SEEN / (1 - OPACITY_SEEN))
    seen = seen if among is None else seen & among
    return means[seen] if seen.any() else means


def focus_range(
    means: NDArray[np.float64],  # [N, 3]
    view: NDArray[np.floating],  # [4, 4] world to camera
    focuses: Sequence[float],
    strays: float,  # % of the centres at either end that do not count
) -> FocusRange:
    depths = means @ view[2, :3] + view[2, 3]
    near, far = (float(depth) for depth in np.percentile(depths, [strays, 100 - strays]))
    start = float(np.median(focuses)) if len(focuses) else (near + far) / 2
    near, far = min(near, *focuses, start), max(far, *focuses, start)
    return FocusRange(start, near - MARGIN * (far - near), far + MARGIN * (far - near))
