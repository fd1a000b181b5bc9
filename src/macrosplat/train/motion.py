"""Which photos moved during their exposure, and how: looked for between two steps, by the blur that a photo has and the
model's photo has not.

In: a model that is being trained, the photos. Out: what the lens is told of each photo (`ThinLens.say_moved`).

Where there is no motion yet, gradients know of none (exp(t X) and exp(-t X) make the same photo). But a small motion xi
adds half the second derivatives of a photo by place, times the variances of where light went, xi xi^T / 12: in those
the loss is a parabola. So of each photo

    photo - model's photo = V_xx D_xx / 2 + V_xy D_xy + V_yy D_yy / 2 + a D_x + b D_y

is solved by robust least squares, and V is added to what is known of its motion. An error of the focus adds the same in
every direction, and a scene that holds some of the blur of all photos, or is not yet as fine as they are, takes away
about the same: what counts as motion is by how much the larger eigenvalue is more than the other one, if that is more
than none, or than half of it. Once the motion of some is known the scene gets sharper, and that of others is seen: so
photos are looked at several times. A look begins a motion or ends it; in between all its numbers follow the gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.lens import Sampling
from macrosplat.lens.motion import LEAST, SEEN_FROM
from macrosplat.lens.thin import ThinLens
from macrosplat.model.model import Model
from macrosplat.support.colour import to_srgb
from macrosplat.support.dispatch import one_torch_thread
from macrosplat.train.targets import Targets

SAMPLES = 8  # of the aperture, through which the model's photos are made
SMOOTH = 1.0  # px: grain and single pixels tell nothing
BLOCKS = 4  # across a photo: what is wrong in one of them says nothing of the next
ROUNDS = 5  # of least squares, whose weights fall beyond twice the median of what is left
NOTHING = 1e-9  # sRGB^2 / px^4, mean square of second derivatives
SURE = 2.0  # standard deviations
CREDITED = 0.5  # of what a photo is sharper than the model's in every direction (experiments: motion)


@dataclass(frozen=True)
class Blur:
    """What blur a photo has that a picture has not."""

    more: NDArray[np.float64]  # [2, 2] variance, px^2; negative: it is sharper
    covariance: NDArray[np.float64]  # [3, 3] of its xx, yy, xy

    def along(self, way: NDArray[np.float64]) -> tuple[float, float]:
        """The variance in a direction [2], and its standard deviation, px^2."""
        extent = np.array([way[0] ** 2, way[1] ** 2, 2 * way[0] * way[1]])
        return float(way @ self.more @ way), math.sqrt(extent @ self.covariance @ extent)


@torch.no_grad()
def look_for_motion(model: Model, targets: Targets, scale: float) -> None:
    """Tell the lens of all photos, as they are at `scale` of the training width."""
    lens = model.lens
    assert isinstance(lens, ThinLens), f"{lens.name} knows no motion"
    with one_torch_thread():
        found = [_of_photo(model, lens, targets, photo, scale) for photo in range(len(targets))]
    for photo, numbers in enumerate(found):
        lens.say_moved(photo, numbers)


def blur_of(model: Model, targets: Targets, photo: int, scale: float) -> Blur | None:
    """By how much more a photo is blurred than the model's, at `scale` of the training width; None: nothing tells."""
    seen, counts, frame = targets.seen(photo, scale)
    taken = to_srgb(model.photograph(photo, Sampling(SAMPLES), frame).clamp(0, 1))
    wanted = torch.tensor(seen).to(taken) / 255
    weight = torch.ones_like(taken[..., 0]) if counts is None else torch.from_numpy(counts).to(taken)
    return blur_between(wanted, taken, weight)


def _of_photo(model: Model, lens: ThinLens, targets: Targets, photo: int, scale: float) -> Tensor | None:
    blur = blur_of(model, targets, photo, scale)
    if blur is None:
        return None
    before = lens.motion(photo) * scale  # [6] px of this frame
    shift = before[:2].double().cpu().numpy()
    found = moved(blur, shift, scale * (LEAST if lens.moved(photo) else SEEN_FROM))
    if found is None:
        return None
    # What moves already is left to the gradients: a scene that got too sharp along its way would have it go farther,
    # and get sharper still.
    return lens.motion(photo) if lens.moved(photo) else torch.cat([torch.tensor(found).to(before), before[2:]]) / scale


def moved(blur: Blur, before: NDArray[np.float64], least: float) -> NDArray[np.float64] | None:
    """[2] px by which a photo moved, of whose model's photo it is known that it moved by `before` [2]; None: by less
    than `least`, or than is sure."""
    known = blur.more + np.outer(before, before) / 12
    values, vectors = np.linalg.eigh(known)
    along = vectors[:, 1]
    _, sure = blur.along(along)
    variance = values[1] - (values[0] if values[0] > 0 else CREDITED * values[0])
    # Of a photo whose focus is wrong by more than that, the rest is not told to be motion (experiments: motion).
    if variance < max(least**2 / 12, SURE * sure, values[0]):
        return None
    return math.sqrt(12 * variance) * (along if along @ before >= 0 else -along)


def blur_between(photo: Tensor, picture: Tensor, weight: Tensor) -> Blur | None:
    """By how much more a photo [H, W, 3] is blurred than a picture of the same; None: there is nothing to see.

    Args:
        weight: [H, W] how much a pixel counts.
    """
    assert photo.shape == picture.shape and photo.shape[:2] == weight.shape, f"{photo.shape}, {weight.shape}"
    less = _derivative(photo - picture, 0, 0)
    by = [_derivative(picture, *orders) for orders in ((2, 0), (0, 2), (1, 1), (1, 0), (0, 1))]
    slopes = torch.stack([0.5 * by[0], 0.5 * by[1], *by[2:]]).double()  # [5, H, W, 3]
    less, weight = less.double(), weight.double()[..., None].expand_as(less)
    strength = slopes[:3].square().sum(0)
    shown = (strength > strength.mean()) & (weight > 0)
    if not bool(shown.any()) or float(strength.mean()) < NOTHING:
        return None
    solved, robust = torch.zeros(5, dtype=torch.float64), weight
    for _ in range(ROUNDS):
        weighted = (slopes * robust).flatten(1)
        normal, right = weighted @ slopes.flatten(1).T, weighted @ less.flatten()
        solved = torch.linalg.lstsq(normal.cpu(), right.cpu(), driver="gelsd").solution.to(less)
        left = less - torch.einsum("k,khwc->hwc", solved, slopes)
        size = left[shown].abs().median() + 1e-4
        robust = weight / (1 + (left / (2 * size)).square()).sqrt()
    inverse = torch.linalg.pinv(normal.cpu(), hermitian=True).numpy()
    pulls = _sums((slopes * (left * robust)).sum(-1)).cpu().numpy()
    covariance = inverse @ (pulls @ pulls.T) @ inverse
    xx, yy, xy, *shift = solved.tolist()
    # A shift has second derivatives, too.
    return Blur(np.array([[xx, xy], [xy, yy]]) - np.outer(shift, shift), covariance[:3, :3])


def _sums(values: Tensor) -> Tensor:
    """[K, blocks] sums of [K, H, W] over square blocks."""
    height, width = values.shape[1:]
    side = -(-width // BLOCKS)
    padded = F.pad(values, (0, -width % side, 0, -height % side))
    return padded.unflatten(2, (-1, side)).unflatten(1, (-1, side)).sum((2, 4)).flatten(1)


def _derivative(picture: Tensor, by_x: int, by_y: int) -> Tensor:
    """[H, W, C] of [H, W, C], smoothed."""
    planes = picture.permute(2, 0, 1)[:, None]
    for order, size in ((by_x, (1, -1)), (by_y, (-1, 1))):
        taps = torch.tensor(_taps(order), dtype=picture.dtype, device=picture.device)
        reach = len(taps) // 2
        pad = (reach, reach, 0, 0) if size == (1, -1) else (0, 0, reach, reach)
        planes = F.conv2d(F.pad(planes, pad, mode="replicate"), taps.view(1, 1, *size))
    return planes[:, 0].permute(1, 2, 0)


def _taps(order: int) -> list[float]:
    """Of a Gaussian, or its first or second derivative."""
    x = np.arange(-math.ceil(4 * SMOOTH), math.ceil(4 * SMOOTH) + 1)
    bell = np.exp(-(x**2) / (2 * SMOOTH**2))
    bell /= bell.sum()
    if order == 1:  # as a correlation has it: the slope of x is 1
        return (bell * x / (bell * x * x).sum()).tolist()
    if order == 2:  # the bend of x^2 / 2 is 1, that of a constant 0
        bent = bell * (x**2 - (bell * x * x).sum())
        return (bent / (bent * x * x / 2).sum()).tolist()
    return bell.tolist()
