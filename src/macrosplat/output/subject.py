"""What the photos are of: the Gaussians that belong to the object, and from where it was looked at.

In: a scene, its cameras, perhaps masks. Out: flags per Gaussian, and the limits within which a viewer may move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.vertical import unit, vertical
from macrosplat.render.project_reference import rotations
from macrosplat.run import Run
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.files import below

FRAMED = 0.8  # of the photos have the object in the frame; as `coverage` counts
MASKED = 0.5  # of those photos' masks are white where a Gaussian of the object lies
ENDS = 2.0  # standard deviations: as far as a Gaussian is seen. Needles that leave the frame are no part of the object
SEEN = 0.05  # opacity of the faintest Gaussian that counts for the middle and the radius
EDGE = 0.005  # of the Gaussians at either end do not count for the radius: strays
MASK_WIDTH = 256  # px that a mask is read at
MARGIN = 8.0  # degrees that a viewer may look beyond what the photos show
GAP = 60.0  # degrees without a photo, going round, from which the far side is closed to viewers
NEAREST, FARTHEST = 0.15, 1.4  # zoom, as shares of the distances of the nearest and the farthest photo


def of_object(scene: Gaussians, cameras: Cameras, masks: Sequence[Path | None] = ()) -> NDArray[np.bool_]:
    """[N] whether a Gaussian belongs to what most photos have in the frame, ends and all; white in most masks.

    All of them where that would leave next to nothing (photos that each show another part of a large thing).
    """
    means = scene.means.double().numpy()
    count = len(cameras)
    if count < 3 or not len(means):
        return np.ones(len(means), bool)
    reaching = sum(
        (_inside(low, cameras, v)[0] & _inside(high, cameras, v)[0]).astype(np.int32)
        for low, high in [_ends(scene)]
        for v in range(count)
    )
    core = where_framed(means, cameras, masks) & (reaching >= FRAMED * count / 2)
    opaque = scene.opacity_logits.numpy() > _logit(SEEN)
    return core if (core & opaque).sum() > 0.02 * opaque.sum() else np.ones(len(means), bool)


def where_framed(points: NDArray[np.float64], cameras: Cameras, masks: Sequence[Path | None] = ()) -> NDArray[np.bool_]:
    """[N] whether most photos have a point [N, 3] in the frame, and most of their masks are white there."""
    framed, white, asked = np.zeros(len(points), np.int32), np.zeros(len(points)), np.zeros(len(points))
    painted = [small_mask(path, MASK_WIDTH) for path in masks] if any(masks) else [None] * len(cameras)
    for v in range(len(cameras)):
        inside, px = _inside(points, cameras, v)
        framed += inside
        mask = painted[v] if v < len(painted) else None
        if mask is not None:
            height, width = mask.shape
            x = np.clip(px[inside, 0] / cameras.sizes[v, 0] * width, 0, width - 1).astype(int)
            y = np.clip(px[inside, 1] / cameras.sizes[v, 1] * height, 0, height - 1).astype(int)
            white[inside] += mask[y, x]
            asked[inside] += 1
    core = framed >= FRAMED * len(cameras)
    return core & (white >= MASKED * np.maximum(asked, 1)) if asked.any() else core


def masks_of(run: Run, names: Sequence[str]) -> tuple[Path | None, ...]:
    """The masks that a run was told with, or made, if they are still there; nothing where there are none."""
    if run.manifest.options.masks == "off":
        return ()
    for folder in (Path(run.manifest.capture) / "masks", run.masks):
        found = [_mask_in(folder, name) for name in names]
        if any(found):
            return tuple(found)
    return ()


def _mask_in(folder: Path, name: str) -> Path | None:
    at = below(folder, name)
    paths = (at.with_suffix(".png"), at.with_name(f"{at.name}.png"), at.with_suffix(".jpg"))
    return next((path for path in paths if path.is_file()), None)


def _ends(scene: Gaussians) -> NDArray[np.float64]:
    """[2, N, 3] both ends of each Gaussian's longest axis."""
    # The columns of the rotation matrix are the axes.
    axes = rotations(scene.quats.double()).mT.numpy()
    scales = np.exp(scene.log_scales.double().numpy())
    longest = scales.argmax(1)
    rows = np.arange(len(longest))
    half = ENDS * scales[rows, longest, None] * axes[rows, longest]
    means = scene.means.double().numpy()
    return np.stack([means - half, means + half])


def _inside(points: NDArray[np.float64], cameras: Cameras, v: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether photo v has each point in its frame, and where [N, 2] (px of the photo)."""
    local = points @ cameras.views[v, :3, :3].T + cameras.views[v, :3, 3]
    fx, fy, cx, cy = cameras.intrinsics[v]
    depth = np.maximum(local[:, 2], 1e-12)
    x, y = fx * local[:, 0] / depth + cx, fy * local[:, 1] / depth + cy
    width, height = cameras.sizes[v]
    inside = (local[:, 2] > 0) & (x >= 0) & (y >= 0) & (x < width) & (y < height)
    return inside, np.stack([x, y], 1)


def small_mask(path: Path | None, width: int) -> NDArray[np.bool_] | None:
    """A mask so wide, True = object; None where there is none that can be read."""
    if path is None:
        return None
    try:
        with Image.open(path) as picture:
            size = (width, max(1, round(width * picture.height / picture.width)))
            return np.asarray(picture.convert("L").resize(size, Image.Resampling.BOX)) >= 128
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class Limits:
    """Where a viewer may be. Angles in degrees, lengths in scene units."""

    target: tuple[float, float, float]  # what is turned about
    up: tuple[float, float, float]  # the axis that is turned about
    radius: float  # of the object
    nearest: float  # distances from `target`
    farthest: float
    polar: tuple[float, float]  # from `up`
    azimuth: tuple[float, float] | None  # about `up`, from the direction `zero`; None: all the way round
    zero: tuple[float, float, float]


def limits(scene: Gaussians, cameras: Cameras, core: NDArray[np.bool_]) -> Limits:
    """From where the photos show the object; a little more, and a viewer would see what no photo has seen."""
    counts = core & (scene.opacity_logits.numpy() > _logit(SEEN))
    means = scene.means.double().numpy()
    means = means[counts] if counts.any() else means if len(means) else np.zeros((1, 3))
    target = np.median(means, axis=0)
    radius = max(float(np.quantile(np.linalg.norm(means - target, axis=1), 1 - EDGE)), 1e-9)
    distances = np.linalg.norm(cameras.centres - target, axis=1)
    up = vertical(cameras.views)
    zero = unit(np.cross(up, [1.0, 0, 0] if abs(up[0]) < 0.9 else [0, 1.0, 0]))
    nearest = max(NEAREST * float(distances.min()), 1e-6 * radius)
    farthest = max(FARTHEST * float(distances.max()), 2 * nearest)
    polar, azimuth = (0.0, 180.0), None
    if len(cameras) > 1:
        # Backwards along the axes as well as from where they stand: a photo's own view is turned about its axis.
        seen_from = np.concatenate([cameras.centres - target, -cameras.views[:, 2, :3]])
        seen_from /= np.maximum(np.linalg.norm(seen_from, axis=1, keepdims=True), 1e-12)
        down = np.degrees(np.arccos(np.clip(seen_from @ up, -1, 1)))
        polar = max(0.0, float(down.min()) - MARGIN), min(180.0, float(down.max()) + MARGIN)
        azimuth = _azimuth(np.degrees(np.arctan2(seen_from @ np.cross(up, zero), seen_from @ zero)))
    return Limits(_three(target), _three(up), radius, nearest, farthest, polar, azimuth, _three(zero))


def _azimuth(around: NDArray[np.float64]) -> tuple[float, float] | None:
    """The arc that photos were taken from, with a margin; None where they go all the way round."""
    around = np.sort(around)
    gaps = np.diff(np.append(around, around[0] + 360))
    widest = int(gaps.argmax())
    if gaps[widest] < GAP:
        return None
    first = float(around[(widest + 1) % len(around)])
    return first - MARGIN, first + 360 - float(gaps[widest]) + MARGIN


def _three(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(vector[0]), float(vector[1]), float(vector[2])


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))
