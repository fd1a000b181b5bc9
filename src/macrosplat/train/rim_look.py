"""The photos compared with what every point of the pupil's rim sees, for the shape of the pupil.

In: a model, which stays as it is, and the photos. Out: what they tell (`RimTold`).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from macrosplat.lens import Sampling
from macrosplat.lens.rim import RimTold
from macrosplat.lens.thin import ThinLens
from macrosplat.model.model import Model
from macrosplat.render import Camera
from macrosplat.support.colour import to_srgb
from macrosplat.support.dispatch import one_torch_thread
from macrosplat.train.sandwich import Look, sandwich
from macrosplat.train.targets import Targets

PHOTOS = 24  # that are looked at: evenly among all
# px that they are brought to: blades are told as surely there as at 320 px (experiments: blades), for half the work.
WIDEST = 240
STEP = 1e-3  # of a focus distance, relative: between which its slope is taken


@torch.no_grad()
def look_at_rim(model: Model, targets: Targets) -> RimTold:
    """What the photos tell of the pupil's shape, with the scene as it is."""
    photos = np.unique(np.linspace(0, len(targets) - 1, min(PHOTOS, len(targets))).round().astype(int)).tolist()
    with one_torch_thread():
        found = sandwich([_look(model, targets, photo) for photo in photos])
    return RimTold(found.step, found.covariance)


def _look(model: Model, targets: Targets, photo: int) -> Look:
    lens = model.lens
    assert isinstance(lens, ThinLens), f"{lens.name} has no pupil"
    wanted, counts, frame = targets.seen(photo, min(1.0, WIDEST / targets.frames[photo].width))
    camera = model.camera(photo, frame)
    taken, by_shape = lens.rim(lambda seen_from, _=None: model.draw(seen_from, photo), camera, photo)
    light = model.exposure.expose(taken, photo)
    slopes = [model.exposure.expose(one, photo) for one in by_shape]
    slopes.append(model.exposure.expose(_by_focus(model, camera, photo), photo))
    clipped = light.clamp(0, 1)
    # Of the sRGB curve, and none where a photo is burnt out.
    bend = (to_srgb((clipped + STEP).clamp(0, 1)) - to_srgb((clipped - STEP).clamp(0, 1))) / (2 * STEP)
    bend = bend * (light == clipped)
    wrong = to_srgb(clipped) - torch.tensor(wanted).to(clipped) / 255
    weight = torch.ones_like(wrong[..., 0]) if counts is None else torch.from_numpy(counts).to(wrong)
    return Look(wrong, torch.stack(slopes) * bend, weight)


def _by_focus(model: Model, camera: Camera, photo: int) -> Tensor:
    """[H, W, 3] how a photo changes with its focus distance: of one render, through the middle of the pupil."""
    focus, sides = model.lens.parameters["lens.focus"], []
    sharp = model.draw(camera.at(camera.view[None]), photo)
    try:
        for step in (STEP, -STEP):
            model.lens.parameters["lens.focus"] = moved = focus.detach().clone()
            moved[photo] += step
            sides.append(model.lens.photograph(lambda *_: sharp, camera, photo, Sampling()))
    finally:
        model.lens.parameters["lens.focus"] = focus
    return (sides[0] - sides[1]) / (2 * STEP)
