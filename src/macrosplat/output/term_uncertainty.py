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
from macrosplat.train.sandwich import Look, sandwich
from macrosplat.train.targets import Targets

PHOTOS = 24  # that are looked at: evenly among all
WIDEST = 320  # px that they are brought to: what a lens does to them shows at that size, for a quarter of the work
# Between which the slope of a picture is taken: ln, ln, relative, px, ln, px, px, pupil radii.
STEP = {
    "lens.pupil": 0.02,
    "lens.sigma0": 0.02,
    "lens.focus": 1e-3,
    "lens.colour": 0.05,
    "lens.vignetting": 0.02,
    "lens.curvature": 0.05,
    "lens.lateral": 0.05,
    "lens.cats_eye": 0.01,
}
FOCUS, CORNER = "lens.focus", "corner"


@dataclass(frozen=True)
class Told:
    """Standard deviations; infinite: no photo tells."""

    pupil: float  # relative
    focus: NDArray[np.float64]  # [V] relative; of photos that were not looked at the median of the others
    terms: Mapping[str, NDArray[np.float64]]  # by name of the parameter: its covariance [n, n]
    corner: float  # displacement of the corner, relative to a pinhole's picture


@torch.no_grad()
def told(model: Model, targets: Targets, sampling: Sampling) -> Told:
    """What the photos tell of the lens, the scene, cameras and exposures being as they are."""
    shared = [("lens.pupil", 0), ("lens.sigma0", 0)]
    shared += [(t.name, k) for t in TERMS if _seen(model, t.name) for k in range(t.count)]
    photos = np.unique(np.linspace(0, len(targets) - 1, min(PHOTOS, len(targets))).round().astype(int)).tolist()
    with one_torch_thread():
        looks = [_look(model, targets, photo, sampling, shared) for photo in photos]
    covariance, own, _ = sandwich(looks)
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
