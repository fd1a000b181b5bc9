"""How surely the photos tell the numbers of a thin lens: by the curvature of the loss, and by how its gradients differ
from place to place and from photo to photo.

In: a model after its last step, which stays as it is, and the photos. Out: `Told`, variances of the lens's numbers with
the scene as it is; what the scene gives way is added where they are reported (`how_sure`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.lens import Sampling
from macrosplat.lens.terms import SEEN, TERMS
from macrosplat.model.model import Model
from macrosplat.render import Frame
from macrosplat.support.colour import to_srgb
from macrosplat.support.dispatch import one_torch_thread
from macrosplat.train.targets import Targets

PHOTOS = 24  # that are looked at: evenly among all
WIDEST = 320  # px that they are brought to: what a lens does to them shows at that size, for a quarter of the work
BLOCKS = 4  # across a photo: what is wrong in one of them says nothing of the next
# Between which the slope of a picture is taken: ln, ln, relative, px, ln, px, px.
STEP = {
    "lens.pupil": 0.02,
    "lens.sigma0": 0.02,
    "lens.focus": 1e-3,
    "lens.colour": 0.05,
    "lens.vignetting": 0.02,
    "lens.curvature": 0.05,
    "lens.lateral": 0.05,
}
FOCUS, CORNER = "lens.focus", "corner"


@dataclass(frozen=True)
class Told:
    """Standard deviations; infinite: no photo tells."""

    pupil: float  # relative
    focus: NDArray[np.float64]  # [V] relative; of photos that were not looked at the median of the others
    terms: Mapping[str, NDArray[np.float64]]  # by name of the parameter: its covariance [n, n]
    corner: float  # displacement of the corner, relative to a pinhole's picture


@dataclass(frozen=True)
class Look:
    """A photo beside what the model makes of it, by pixel."""

    wrong: Tensor  # [H, W, 3] model less photo, sRGB
    slopes: Tensor  # [G + 1, H, W, 3] of the model, by the numbers that all photos share, and the photo's own
    weight: Tensor  # [H, W]


@torch.no_grad()
def told(model: Model, targets: Targets, sampling: Sampling) -> Told:
    """What the photos tell of the lens, the scene, cameras and exposures being as they are."""
    shared = [("lens.pupil", 0), ("lens.sigma0", 0)]
    shared += [(t.name, k) for t in TERMS if _seen(model, t.name) for k in range(t.count)]
    photos = np.unique(np.linspace(0, len(targets) - 1, min(PHOTOS, len(targets))).round().astype(int)).tolist()
    with one_torch_thread():
        looks = [_look(model, targets, photo, sampling, shared) for photo in photos]
    covariance, own = sandwich(looks)
    nearer = 1 + model.lens.parameters[FOCUS].double().cpu().numpy()
    focus = np.full(len(targets), float(np.median(own)))
    focus[photos] = own
    names = [name for name, _ in shared] + [CORNER]
    terms = {}
    for term in TERMS:
        rows = [k for k, name in enumerate(names) if name == term.name]
        if rows:
            terms[term.name] = covariance[np.ix_(rows, rows)]
    variances = np.diag(covariance)
    return Told(float(variances[0] ** 0.5), focus / nearer, terms, float(variances[-1] ** 0.5))


def sandwich(looks: Sequence[Look]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Covariance [G, G] of what all photos share, and the standard deviation [photos] of what each has of its own.

    H^-1 S H^-1 (Huber 1967, White 1982): H the curvature of a smooth L1 loss by Gauss and Newton, S the sum over blocks
    of the squares of their gradients, so that what is wrong together counts together. Of what all share the photos
    are such blocks as well, and the larger of both counts.
    """
    smooth = float(torch.stack([look.wrong.abs().median() for look in looks]).median()) + 1e-6
    count = len(looks[0].slopes) - 1
    size = count + len(looks)
    curvature, blocks, whole = np.zeros((size, size)), [], []
    for n, look in enumerate(looks):
        slopes = look.slopes.double()
        wrong, weight = look.wrong.double(), look.weight.double()[..., None]
        square = wrong.square() + smooth**2
        bend = smooth**2 * square**-1.5 * weight
        rows = [*range(count), count + n]
        curvature[np.ix_(rows, rows)] += ((slopes * bend).flatten(1) @ slopes.flatten(1).T).cpu().numpy()
        pulls = _sums((slopes * (wrong * square**-0.5 * weight)).sum(-1))
        gradients = np.zeros((len(pulls), size))
        gradients[:, rows] = pulls
        blocks.append(gradients)
        whole.append(gradients.sum(0))
    # What no photo shows has no curvature: it is left out, and told by nothing.
    shown = np.diag(curvature) > 0
    scale = np.diag(curvature)[shown] ** -0.5
    inverse = np.linalg.pinv(curvature[np.ix_(shown, shown)] * scale * scale[:, None], 1e-9, hermitian=True)
    inverse *= scale * scale[:, None]

    def covariance(gradients: NDArray[np.float64]) -> NDArray[np.float64]:
        full = np.diag(np.where(shown, 0.0, np.inf))
        full[np.ix_(shown, shown)] = inverse @ (gradients.T @ gradients)[np.ix_(shown, shown)] @ inverse
        return full

    by_block, by_photo = covariance(np.concatenate(blocks)), covariance(np.stack(whole))
    here, there, wider = np.diag(by_block)[:count], np.diag(by_photo)[:count], np.ones(count)
    rows = shown[:count]
    wider[rows] = np.sqrt(np.maximum(1.0, there[rows] / here[rows].clip(1e-300)))
    return by_block[:count, :count] * wider * wider[:, None], np.sqrt(np.diag(by_block)[count:])


def _sums(values: Tensor) -> NDArray[np.float64]:
    """[blocks, K] sums of [K, H, W] over square blocks."""
    height, width = values.shape[1:]
    side = -(-width // BLOCKS)
    padded = torch.nn.functional.pad(values, (0, -width % side, 0, -height % side))
    tiles = padded.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # [K, rows, side, columns, side]
    return tiles.sum((2, 4)).flatten(1).T.cpu().numpy()


def _seen(model: Model, name: str) -> bool:
    return float(model.lens.parameters[f"{name}_seen"]) == SEEN


def _look(model: Model, targets: Targets, photo: int, sampling: Sampling, shared: Sequence[tuple[str, int]]) -> Look:
    """A photo as the lens makes it from its aperture samples, and how that changes, as it does through the centre of
    the pupil: all that is rendered again for the slopes is the blur."""
    wanted, counts, frame = targets.seen(photo, min(1.0, WIDEST / targets.frames[photo].width))
    taken = to_srgb(model.photograph(photo, sampling, frame).clamp(0, 1))
    camera = model.camera(photo, frame)
    sharp = model.draw(camera.at(camera.view[None]), photo)

    def picture() -> Tensor:
        light = model.lens.photograph(lambda *_: sharp, camera, photo, Sampling())
        return to_srgb(model.exposure.expose(light, photo).clamp(0, 1))

    slopes = [_slope(model, name, k, picture) for name, k in [*shared, (FOCUS, photo)]]
    slopes.insert(-1, _outwards(taken, frame))
    wrong = taken - torch.tensor(wanted).to(taken) / 255
    weight = torch.ones_like(wrong[..., 0]) if counts is None else torch.from_numpy(counts).to(wrong)
    return Look(wrong, torch.stack(slopes), weight)


def _slope(model: Model, name: str, k: int, picture: Callable[[], Tensor]) -> Tensor:
    """[H, W, 3] how a picture changes with a number of the lens."""
    parameters, found = model.lens.parameters, model.lens.parameters[name]
    sides = []
    try:
        for step in (STEP[name], -STEP[name]):
            parameters[name] = moved = found.detach().clone()
            moved.view(-1)[k] += step
            sides.append(picture())
    finally:
        parameters[name] = found
    return (sides[0] - sides[1]) / (2 * STEP[name])


def _outwards(taken: Tensor, frame: Frame) -> Tensor:
    """[H, W, 3] how a picture changes as its corner moves outwards, relative to the way there, by a k1."""
    down, right = torch.gradient(taken, dim=(0, 1))
    x = torch.arange(frame.width, device=taken.device) + 0.5 - frame.width / 2
    y = (torch.arange(frame.height, device=taken.device) + 0.5 - frame.height / 2)[:, None]
    share = (x.square() + y.square()) / (0.25 * (frame.width**2 + frame.height**2))
    return -(right * (x * share)[..., None] + down * (y * share)[..., None])
