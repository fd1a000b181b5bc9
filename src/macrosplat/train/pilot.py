"""Which lens explains pixels that it was not shown: short trainings at half the resolution, before the real one.

Squares of every photo are left out of the loss, and each candidate is judged by how far it is off there. A lens that is
no better than one blur for all depths, beyond what chance makes, is not used: what it would take away is no defocus,
and sharp photos would become worse. One blur and not none, because poses that are a little off blur a scene, too.

A scene that is hardly begun is off wherever it is, and a lens smooths what is far from its focus, which alone takes
something off the error. Where it takes off little, a longer look has the word (experiments: pilots).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from macrosplat.lens import Lens, LensStart, Sampling
from macrosplat.lens.thin import ThinLens
from macrosplat.model.model import Model
from macrosplat.support.colour import to_srgb
from macrosplat.train.schedule import Schedule
from macrosplat.train.targets import Targets
from macrosplat.train.trainer import Trainer

SCALE = 0.5  # of the training width: the blur is half as wide, and a step a quarter of the work
SQUARE = 32  # px of the training width, side of what is left out
LEFT_OUT = 0.15  # of all squares
RIM = 5  # px at `SCALE`: so far the window of SSIM looks from pixels that count into a square
STEPS, ROUNDS = 240, 8  # a pilot takes so many steps at the least, and so many times round the photos
LONGER_STEPS, LONGER_ROUNDS = 800, 12  # the same of a longer look
BEYOND = 2.0  # standard errors by which a lens has to be better than none
POINT = 1e-3  # of a pupil: what is left has no depth of field to speak of
WORTH = 0.015  # of the error: what a lens has to take off it, too (experiments: pilots)
CLEAR = 0.05  # of the error: takes a lens off so much, no longer look is needed
SALT = 77  # of the random squares


@dataclass(frozen=True)
class Verdict:
    """What the candidates came to; errors are mean absolute differences (sRGB) of each photo [V]."""

    errors: tuple[NDArray[np.float64], ...]  # of the lenses
    constant: NDArray[np.float64]  # of one blur for all depths
    pupils: tuple[float, ...] = ()  # of the lenses, as learned, scene units

    @property
    def best(self) -> int:
        """Which lens to take: the first that is not plainly worse than the least wrong one. Widest first, that is the
        one to take: training narrows a pupil sooner than it widens one."""
        least = self.errors[int(np.argmin([error.mean() for error in self.errors]))]
        return next(n for n, error in enumerate(self.errors) if not _plainly(error - least))

    @property
    def gain(self) -> float:
        """What a lens takes off the error, as a share of it; 0: nothing beyond what chance makes."""
        better = [self.constant - error for error in self.errors]
        return max((gain.mean() for gain in better if _plainly(gain)), default=0.0) / self.constant.mean()

    @property
    def needed(self) -> bool:
        """Whether a lens is better than one blur for all depths."""
        return self.gain > WORTH

    @property
    def doubtful(self) -> bool:
        """Whether it takes a longer look to know."""
        return 0 < self.gain < CLEAR


def _plainly(worse: NDArray[np.float64]) -> bool:
    """Whether differences by photo [V] are above 0 beyond what chance makes."""
    chance = worse.std(ddof=1) / np.sqrt(len(worse)) if len(worse) > 1 else np.inf
    return bool(worse.mean() > BEYOND * chance)


def squares(photo: int, width: int, height: int, seed: int) -> NDArray[np.bool_]:
    """[H, W] what of a photo is left out: a function of its arguments."""
    rows, columns = -(-height // SQUARE), -(-width // SQUARE)
    chosen = np.random.default_rng([seed, SALT, photo]).random((rows, columns)) < LEFT_OUT
    return chosen.repeat(SQUARE, 0).repeat(SQUARE, 1)[:height, :width]


def of_one_blur(start: LensStart) -> Lens:
    """A lens with hardly any pupil: it learns one blur for all depths."""
    lens = ThinLens(replace(start, pupil=POINT * start.pupil, exif=None, settings={"aperture_samples": "1"}))
    del lens.rates["lens.pupil"]
    return lens


def compare(
    lenses: Sequence[Lens],  # widest pupil first
    constant: Lens,
    begin: Callable[[Lens], Model],  # a fresh start with that lens, on the device
    targets: Targets,
    schedule: Schedule,
    pixel: float,
    seed: int,
    longer: bool = False,
) -> Verdict:
    """Train each of them for a while, from the same start, and look at what was left out."""
    left_out = [squares(v, p.width, p.height, seed) for v, p in enumerate(targets.frames)]
    masks = [_without(mask, out) for mask, out in zip(targets.masks, left_out, strict=True)]
    shown = Targets(targets.photos, targets.frames, masks, targets.device, targets.budget)
    least, rounds = (LONGER_STEPS, LONGER_ROUNDS) if longer else (STEPS, ROUNDS)
    short = replace(
        schedule,
        steps=max(least, rounds * len(targets)),
        half_from=0.0,
        full_from=2.0,
        sh_from=(),
        densify_until=0.0,
        refine_poses=False,
        drop=0.0,
    )

    def errors(lens: Lens) -> NDArray[np.float64]:
        lens.decide()  # depth alone is asked about: no other term of a lens
        trainer = Trainer(begin(lens), shown, short, pixel, seed)
        while trainer.done < short.steps:
            trainer.step()
        trainer.settle()
        return np.array([_error(trainer, v, left_out[v], targets.masks[v]) for v in range(len(targets))])

    of_lenses = tuple(errors(lens) for lens in lenses)
    return Verdict(of_lenses, errors(constant), tuple(_pupil(lens) for lens in lenses))


def _pupil(lens: Lens) -> float:
    return float(lens.parameters["lens.pupil"].detach().exp())


def _without(mask: NDArray[np.uint8] | None, left_out: NDArray[np.bool_]) -> NDArray[np.uint8]:
    kept = np.where(left_out, 0, 255 if mask is None else mask).astype(np.uint8)
    return kept if kept.any() or mask is None else mask  # a mask within one square


@torch.no_grad()
def _error(trainer: Trainer, photo: int, left_out: NDArray[np.bool_], mask: NDArray[np.uint8] | None) -> float:
    """Mean absolute difference where the photo was left out, away from what was shown."""
    seen, _, frame = trainer.targets.seen(photo, SCALE)
    taken = trainer.model.photograph(photo, Sampling(), frame, degree=0)
    off = np.abs(to_srgb(taken.clamp(0, 1)).cpu().numpy() - seen / 255.0).mean(2)
    inner = np.asarray(binary_erosion(_small(left_out, off.shape), iterations=RIM, border_value=1), bool)
    where = inner if mask is None else inner & _small(mask >= 128, off.shape)
    return float(off[where].mean()) if where.any() else float(off.mean())


def _small(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask [H, W] at another size, by the nearest pixel."""
    rows, columns = ((np.arange(n) + 0.5) * m / n for n, m in zip(shape, mask.shape, strict=True))
    return mask[rows.astype(int)[:, None], columns.astype(int)[None]]
