"""Whether the sharp scene is the photo where the photo is in focus: a run can see for itself that it is not.

What stands near a camera is spread over the whole photo by the lens, and can make up for anything there; in the sharp
picture it is plain to see. What lies behind the edge of something near and blurred is left out: light of that covers it
in the photo, and not in the sharp picture. In: a photo, the scene as it is and as the lens takes it. Out: dB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

FOCUSED = 0.7  # px, the largest radius of a circle of confusion that counts as in focus
COARSE = 2.0  # px, sigma of what is compared: coarser than what a lens takes in focus
LARGEST = 0.1  # of the frame's width, radius: what has a larger one stands before a camera, and excuses nothing
ENOUGH = 0.003  # of the frame: less in focus than that says nothing


@dataclass(frozen=True)
class Agreement:
    """How well one photo is matched where it is in focus, in dB of what is coarser than `COARSE`."""

    name: str
    sharp: float  # by the scene as it is
    taken: float  # by the scene through the lens

    @property
    def lost(self) -> float:
        """dB that only the lens makes up for."""
        return self.taken - self.sharp


def agreement(
    name: str,
    photo: NDArray[np.floating],  # [H, W, 3] sRGB in 0 ... 1, as the others
    sharp: NDArray[np.floating],
    taken: NDArray[np.floating],
    radius: NDArray[np.floating],  # [H, W] px, signed
    counts: NDArray[np.bool_],  # [H, W] where there is a scene, and it was learned
) -> Agreement | None:
    """None where too little is in focus to say."""
    where = counts & (np.abs(radius) < FOCUSED) & ~covered(radius, counts)
    if where.mean() < ENOUGH:
        return None

    def off(picture: NDArray[np.floating]) -> float:
        wrong = gaussian_filter(picture.astype(np.float32) - photo.astype(np.float32), (COARSE, COARSE, 0))
        return float(-10 * np.log10(max(1e-10, float((wrong[where] ** 2).mean()))))

    return Agreement(name, off(sharp), off(taken))


def covered(radius: NDArray[np.floating], there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[H, W] where the circle of a point nearer than the focus may reach: by up to twice its radius.

    Args:
        radius: [H, W] px, negative nearer than the focus.
        there: [H, W] where there is a scene.
    """
    reached = np.zeros(radius.shape, bool)
    near = np.where(there & (-radius < LARGEST * radius.shape[1]), -radius, 0.0)
    least = FOCUSED
    while least <= near.max():
        ring = (near >= least) & (near < 2 * least)
        if ring.any():
            reached |= np.asarray(distance_transform_edt(~ring)) < 2 * least + 2 * COARSE
        least *= 2
    return reached
