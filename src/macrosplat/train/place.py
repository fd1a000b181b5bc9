"""Cameras of photos that nobody has placed, from a scene that was learned of the others.

In: a model, and photos without cameras. Out: a view for each that the scene explains as it explains its own photos.

A photo is compared with what the lens model would photograph from where it may have been taken: between its neighbours
in order, and from their places. Matches between the photo and such pictures lead through the depth of the render to
points of the scene, and these to a pose (PnP), from which the next pictures are drawn. Then the photo itself is fitted,
by the gradients of its pixels by its pose and focus: of every other block of pixels, as on a chess board. The blocks
left out say whether the pose is right.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from macrosplat.cameras.records import centres_of
from macrosplat.cameras.sfm.features import QUICK, Features, extract_pictures
from macrosplat.cameras.sfm.pairs import match
from macrosplat.lens import Sampling
from macrosplat.model.backdrop import Backdrop, grid_of
from macrosplat.model.exposure import Exposure
from macrosplat.model.model import Model
from macrosplat.model.rig import Rig
from macrosplat.photos.decode import TABLE_8
from macrosplat.render import Frame
from macrosplat.support.colmap import pycolmap
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.dispatch import one_torch_thread

# A pose from matches: px of the training width to a point's projection, and matches that it needs. With so many no
# other place is looked at.
ERROR, INLIERS, PLENTY = 4.0, 12, 60
PLACES = 8  # from which it is looked, at most
TRIED = 8  # places from which the photo is fitted coarsely where few matches vouch for one
ROUNDS = 2  # of drawing and matching, each from the pose that the one before has found
OPAQUE = 0.8  # alpha from which a depth is a surface's
# Fitting the pixels: share of the training width and steps; learning rates at the first step, which fall to a tenth.
SCALES, STEPS = (0.25, 0.5, 1.0), 60
RATES = {"turn": 2e-3, "shift": 0.3, "focus": 2e-3, "exposure": 5e-3}  # radians, px at the pivot, relative, ln
NEARNESS = np.linspace(-0.08, 0.08, 9)  # relative: where the focus is sought at first
BLOCKS = 32  # per width: blocks of pixels that are fitted and left out by turns
# dB: what the blocks left out may be worse than the median of the photos that the scene was learned from, all of them
# fitted (the scene knows nothing of a lost photo yet), with matches and without (experiments: placed-by-the-scene); and
# from where others were taken it has to look so much worse.
BELOW_MEDIAN, BELOW_UNMATCHED, ABOVE_ELSEWHERE = 12.0, 5.0, 1.0
MATCHED = 30  # matches that vouch for a pose
# Share of the matches that a fitted view has to keep: else the scene does not know what the photo shows, and the view
# is that of the matches. And of the distance: a view that was found before is confirmed by one that matches lead to no
# farther from it (experiments: placing-unsure).
KEPT, CONFIRMED = 0.7, 0.05
# So many matches or more vouch for it by themselves, if from elsewhere it looks so many dB worse: a scene
# that fits its own photos closely has them far above any that it was not shown (experiments: placing-at-size).
VOUCHED = ((150, 5.25), (250, 4.5))


@dataclass(frozen=True)
class Lost:
    """A photo without a camera."""

    name: str
    photo: NDArray[np.uint8]  # [H, W, 3] sRGB at the training width
    mask: NDArray[np.uint8] | None  # [H, W] 255 = counts
    like: int  # photo of the model whose intrinsics, focus and exposure it begins with: the nearest in order
    before: int | None  # photos of the model between which it was taken, by the order of names
    after: int | None
    share: float = 0.5  # of the way from `before` to `after`
    around: tuple[tuple[int, int, float], ...] = ()  # further two photos of the model each, and shares of the way
    seen: NDArray[np.float64] | None = None  # [4, 4] a view that it may have


@dataclass(frozen=True)
class Matched:
    """A view, and what leads to it."""

    view: NDArray[np.float64]  # [4, 4] world to camera
    px: NDArray[np.float64]  # [N, 2] where the photo shows points of the scene
    xyz: NDArray[np.float64]  # [N, 3] world
    intrinsics: tuple[float, ...]  # fx, fy, cx, cy

    @property
    def count(self) -> int:
        return len(self.px)


@dataclass(frozen=True)
class Placed:
    """Where it was taken."""

    view: NDArray[np.float64]  # [4, 4] world to camera
    inliers: int  # matches that the first pose was found from; 0: the place between its neighbours
    agrees: float  # dB on the pixels left out
    usual: float  # dB, median of the model's own photos
    elsewhere: float  # dB on the pixels left out, from where the scene's own photos were taken: the best of some
    accepted: bool


def place(
    model: Model,
    photos: Sequence[NDArray[np.uint8]],  # V of [H, W, 3] sRGB at the training width
    masks: Sequence[NDArray[np.uint8] | None],  # V
    lost: Sequence[Lost],
    sampling: Sampling,
    folder: Path,
    seed: int,
) -> list[Placed]:
    """Place every photo, as well as it goes; `accepted` tells which may be believed.

    Args:
        sampling: of the aperture, as training ended with.
        folder: for scratch files, which are removed.
    """
    with one_torch_thread():
        usual = [own_agreement(model, v, photos[v], masks[v], sampling) for v in range(len(photos))]
        median = float(np.median(usual))
        found = []
        features = extract_pictures([one.photo for one in lost], QUICK, folder)
        for one, own in zip(lost, features, strict=True):
            tried = candidates(model, one)
            matched = _by_matches(model, one, own, tried[:PLACES], sampling, folder, seed)
            start = tried[0] if matched is None else matched.view
            if matched is None or matched.count < MATCHED:
                fits = [_fitted(model, one, view, sampling, SCALES[:1]) for view in [start, *tried[:TRIED]]]
                closest = max(fits, key=lambda fit: fit[1])[0]
                again = _by_matches(model, one, own, [closest], sampling, folder, seed)
                if matched is None or (again is not None and again.count > matched.count):
                    matched, start = again, closest if again is None else again.view
            view, agrees = _fitted(model, one, start, sampling)
            inliers = 0 if matched is None else matched.count
            if matched is not None and _still_met(matched, view) < KEPT:
                view, agrees = _fitted(model, one, start, sampling, SCALES[-1:], pose=False)
            elsewhere = _elsewhere(model, one, sampling)
            below = BELOW_MEDIAN if inliers >= MATCHED else BELOW_UNMATCHED
            vouched = any(inliers >= many and agrees >= elsewhere + above for many, above in VOUCHED)
            vouched |= one.seen is not None and inliers >= MATCHED and _apart(model, one.seen, view) < CONFIRMED
            accepted = vouched or agrees >= max(median - below, elsewhere + ABOVE_ELSEWHERE)
            found.append(Placed(view, inliers, agrees, median, elsewhere, accepted))
        return found


def candidates(model: Model, lost: Lost) -> list[NDArray[np.float64]]:
    """[4, 4] each: views that the photo may have, the likeliest first."""
    with torch.no_grad():
        known = [model.rig.camera(v).view.cpu().numpy().astype(np.float64) for v in range(len(model.rig))]
    near = [known[v] for v in (lost.before, lost.after) if v is not None]
    pairs = list(lost.around)
    if lost.before is not None and lost.after is not None:
        pairs.insert(0, (lost.before, lost.after, lost.share))
    pivot = float(model.rig.pivot_depth.median())
    found = [between(known[a], known[b], share, pivot) for a, b, share in pairs]
    if lost.seen is not None:
        found.insert(0, lost.seen)
    rest = sorted(range(len(known)), key=lambda v: abs(v - lost.like))
    return [*found, *near, *(known[v] for v in rest if v not in (lost.before, lost.after))]


def between(first: NDArray[np.float64], second: NDArray[np.float64], share: float, depth: float) -> NDArray[np.float64]:
    """[4, 4] the view a share of the way from one to another, turning about what lies at `depth` before them."""
    way = Rotation.from_matrix(second[:3, :3] @ first[:3, :3].T).as_rotvec()
    turn = Rotation.from_rotvec(share * way).as_matrix() @ first[:3, :3]
    pivots = [view[:3, :3].T @ (np.array([0, 0, depth]) - view[:3, 3]) for view in (first, second)]
    view = np.eye(4)
    view[:3, :3] = turn
    view[:3, 3] = np.array([0, 0, depth]) - turn @ ((1 - share) * pivots[0] + share * pivots[1])
    return view


def _apart(model: Model, first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Between the centres of two views, in parts of the distance to what is photographed."""
    one, other = centres_of(np.stack([first, second]))
    return float(np.linalg.norm(one - other) / float(model.rig.pivot_depth.median()))


def _still_met(matched: Matched, view: NDArray[np.float64]) -> float:
    """The share of the matches that another view meets, too."""
    fx, fy, cx, cy = matched.intrinsics
    local = matched.xyz @ view[:3, :3].T + view[:3, 3]
    there = local[:, :2] / local[:, 2:] * (fx, fy) + (cx, cy)
    return float((np.linalg.norm(there - matched.px, axis=1) < ERROR).mean())


def _by_matches(
    model: Model,
    lost: Lost,
    own: Features,
    tried: Sequence[NDArray[np.float64]],
    sampling: Sampling,
    folder: Path,
    seed: int,
) -> Matched | None:
    """The view for which most matches speak; None: there is none."""
    best = None
    for start in tried:
        view, found = start, None
        for _ in range(ROUNDS):
            again = _pnp(model, lost, own, view, sampling, folder, seed)
            if again is None or (found is not None and again.count < found.count):
                break
            view, found = again.view, again
        if found is not None and (best is None or found.count > best.count):
            best = found
        if best is not None and best.count >= PLENTY:
            break
    return best


def _pnp(
    model: Model, lost: Lost, own: Features, view: NDArray[np.float64], sampling: Sampling, folder: Path, seed: int
) -> Matched | None:
    trial = _trial(model, lost, view)
    with torch.no_grad():
        camera = trial.camera(lost.like)
        sharp = trial.draw(camera, lost.like)
        taken = trial.photograph(lost.like, sampling)
    pictures = [_bytes(trial.exposure.expose(sharp.colour, lost.like)), _bytes(taken)]
    depth, alpha = sharp.depth.cpu().numpy(), sharp.alpha.cpu().numpy()
    fx, fy, cx, cy = camera.intrinsics.tolist()
    width, height = camera.frame.width, camera.frame.height
    to_world = np.linalg.inv(view)
    px, xyz = [], []
    for drawn in extract_pictures(pictures, QUICK, folder):
        rows = match(own, drawn)
        if not len(rows):
            continue
        there = drawn.photo_px(width, height)[rows[:, 1]]
        column, row = (np.clip(there[:, k].astype(int), 0, (width, height)[k] - 1) for k in (0, 1))
        solid = alpha[row, column] > OPAQUE
        z = depth[row, column][solid]
        x, y = (there[solid, 0] - cx) / fx * z, (there[solid, 1] - cy) / fy * z
        xyz.append(np.stack([x, y, z], 1) @ to_world[:3, :3].T + to_world[:3, 3])
        px.append(own.photo_px(width, height)[rows[solid, 0]])
    if sum(map(len, px)) < INLIERS:
        return None
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error = ERROR
    options.ransac.random_seed = seed
    pinhole = pycolmap.Camera(model="PINHOLE", width=width, height=height, params=[fx, fy, cx, cy])
    found = pycolmap.estimate_and_refine_absolute_pose(np.concatenate(px), np.concatenate(xyz), pinhole, options)
    if found is None or found["num_inliers"] < INLIERS:
        return None
    met = np.asarray(found["inlier_mask"], bool)
    placed = np.vstack([found["cam_from_world"].matrix(), [0, 0, 0, 1]])
    return Matched(placed, np.concatenate(px)[met], np.concatenate(xyz)[met], (fx, fy, cx, cy))


def _trial(model: Model, lost: Lost, view: NDArray[np.float64]) -> Model:
    """The model with the lost photo in place of the one that it is like: nothing of the model itself is changed."""
    rig, like = model.rig, lost.like
    with torch.no_grad():
        cameras = [rig.camera(v) for v in range(len(rig))]
        views = torch.stack([camera.view for camera in cameras]).clone()
        views[like] = torch.from_numpy(view).to(views)
        intrinsics = torch.stack([camera.intrinsics for camera in cameras])
        height, width = lost.photo.shape[:2]
        frames = list(rig.frames)
        frames[like] = Frame(width, height, frames[like].near)
        alone = Rig(views, intrinsics, frames, rig.pivot_depth, rig.pixel)
        grids = model.backdrop.grids.detach().clone()
        grids[like] = grid_of(torch.from_numpy(TABLE_8[lost.photo])).to(grids)
        lens = copy.copy(model.lens)
        lens.parameters = {name: t.detach().clone() for name, t in model.lens.parameters.items()}
        return Model(
            model.gaussians.map(lambda t: t.detach()),
            alone,
            lens,
            Backdrop(grids),
            Exposure(model.exposure.log_gains.detach().clone()),
        )


def _fitted(
    model: Model,
    lost: Lost,
    view: NDArray[np.float64],
    sampling: Sampling,
    scales: Sequence[float] = SCALES,
    pose: bool = True,
) -> tuple[NDArray[np.float64], float]:
    """The view after fitting the photo at some scales, and the dB, at the last, on the pixels left out of it.

    Args:
        pose: whether that is fitted, or the focus and the exposure alone.
    """
    trial = _trial(model, lost, view)
    learned = {"exposure": trial.exposure.log_gains}
    if pose:
        learned |= {name: trial.rig.parameters[f"pose.{name}"] for name in ("turn", "shift")}
    if "lens.focus" in trial.lens.parameters:
        learned["focus"] = trial.lens.parameters["lens.focus"]
        _look_for_focus(trial, lost, sampling)
    for leaf in learned.values():
        leaf.requires_grad_()
    for scale in scales:
        seen, fitted, _ = _seen(lost, scale, trial.rig.views.device)
        frame = Frame(seen.shape[1], seen.shape[0], trial.rig.frames[lost.like].near)
        adam = torch.optim.Adam([{"params": [leaf], "lr": RATES[name]} for name, leaf in learned.items()])
        falls = torch.optim.lr_scheduler.ExponentialLR(adam, 0.1 ** (1 / STEPS))
        for _ in range(STEPS):
            adam.zero_grad()
            off = _curve(trial.photograph(lost.like, sampling, frame)) - seen
            ((off.abs().mean(-1) * fitted).sum() / fitted.sum()).backward()
            adam.step()
            falls.step()
    seen, _, left_out = _seen(lost, scales[-1], trial.rig.views.device)
    frame = Frame(seen.shape[1], seen.shape[0], trial.rig.frames[lost.like].near)
    with torch.no_grad():
        taken = trial.photograph(lost.like, sampling, frame)
        return trial.rig.camera(lost.like).view.cpu().numpy().astype(np.float64), _psnr(taken, seen, left_out)


@torch.no_grad()
def _elsewhere(model: Model, lost: Lost, sampling: Sampling) -> float:
    """dB on the pixels left out, seen from the places of photos near it in order: the best of them."""
    seen, _, left_out = _seen(lost, 1.0, model.rig.views.device)
    own = range(len(model.rig))
    near = sorted(own, key=lambda v: abs(v - lost.like))[:PLACES]
    views = [model.rig.camera(v).view.cpu().numpy().astype(np.float64) for v in near]
    return max(_psnr(_trial(model, lost, view).photograph(lost.like, sampling), seen, left_out) for view in views)


@torch.no_grad()
def _look_for_focus(trial: Model, lost: Lost, sampling: Sampling) -> None:
    """Begin the focus where the photo looks most alike at half its size."""
    seen, fitted, _ = _seen(lost, 0.5, trial.rig.views.device)
    frame = Frame(seen.shape[1], seen.shape[0], trial.rig.frames[lost.like].near)
    focus = trial.lens.parameters["lens.focus"]
    start, scores = float(focus[lost.like]), []
    for step in NEARNESS:
        focus[lost.like] = start + step
        scores.append(_psnr(trial.photograph(lost.like, sampling, frame), seen, fitted))
    focus[lost.like] = start + float(NEARNESS[int(np.argmax(scores))])


def _seen(lost: Lost, scale: float, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The photo [H, W, 3] sRGB at a scale, and the weights [H, W] of the pixels that are fitted and left out."""
    height, width = lost.photo.shape[:2]
    size = max(16, round(height * scale)), max(16, round(width * scale))
    photo = torch.from_numpy(TABLE_8[lost.photo]).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(photo, size, mode="area")[0].permute(1, 2, 0)
    weight = torch.ones(size)
    if lost.mask is not None:
        mask = torch.from_numpy(lost.mask.astype(np.float32) / 255)[None, None]
        weight = torch.nn.functional.interpolate(mask, size, mode="area")[0, 0]
    block = max(2, math.ceil(size[1] / BLOCKS))
    rows, columns = torch.arange(size[0]) // block, torch.arange(size[1]) // block
    even = ((rows[:, None] + columns) % 2 == 0).float()
    return _curve(small).to(device), (weight * even).to(device), (weight * (1 - even)).to(device)


def own_agreement(
    model: Model, v: int, photo: NDArray[np.uint8], mask: NDArray[np.uint8] | None, sampling: Sampling
) -> float:
    """dB of one of the model's own photos."""
    with torch.no_grad():
        taken = model.photograph(v, sampling)
    seen = torch.from_numpy(np.ascontiguousarray(photo, np.float32)).to(taken) / 255
    weight = torch.ones_like(seen[..., 0]) if mask is None else torch.from_numpy(mask).to(taken) / 255
    return _psnr(taken, seen, weight)


def _psnr(taken: Tensor, seen: Tensor, weight: Tensor) -> float:
    wrong = ((_curve(taken) - seen).square().mean(-1) * weight).sum() / weight.sum().clamp_min(1e-9)
    return -10 * math.log10(max(1e-10, float(wrong)))


def _curve(light: Tensor) -> Tensor:
    return to_srgb(light.clamp(1e-6, 1))


def _bytes(light: Tensor) -> NDArray[np.uint8]:
    return to_bytes(to_srgb(light.clamp(0, 1).cpu().numpy()))
