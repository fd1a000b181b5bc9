"""A trainer at its first step, or where a checkpoint stands.

In: a `TrainingInput`, its photos and masks at the training width, `Options`. Out: the trainer, and what it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.cameras.breathes import differ
from macrosplat.cameras.focal import focals_px, knows_focal
from macrosplat.capture.pixels import threads_reading
from macrosplat.capture.records import TrainingInput
from macrosplat.lens import LENSES, Lens, LensStart
from macrosplat.lens.known import KnownLens
from macrosplat.lens.start import START_HIGH
from macrosplat.model.exposure import start_exposure
from macrosplat.model.model import Model
from macrosplat.model.start import Geometry, ModelStart, lens_of
from macrosplat.options import Options
from macrosplat.train import checkpoint
from macrosplat.train.checkpoint import Checkpoint
from macrosplat.train.effort import EFFORTS, affords_early, default_gaussians, target_budget
from macrosplat.train.pilot import compare, of_one_blur
from macrosplat.train.schedule import Schedule, by_poses, dssim_share
from macrosplat.train.seen import views_in_frame
from macrosplat.train.targets import Targets
from macrosplat.train.trainer import Trainer

PILOTS_FROM = 1000  # steps: shorter runs are trials
# Pupils that are tried first where EXIF does not tell: as the sharpness of the photos has it, and narrower by these.
NARROWER = (1.0, 2.5, 6.0)
THROUGH_THE_CENTRE = {"aperture_samples": "1"}


@dataclass(frozen=True)
class Begun:
    trainer: Trainer
    names: tuple[str, ...]  # V photos, in the order of the rig
    lens_start: LensStart
    lens_needed: bool  # False: a lens was asked for, and explains the photos no better than a pinhole


def begin(
    given: TrainingInput,
    geometry: Geometry,
    photos: Sequence[NDArray[np.uint8]],  # V of [H, W, 3] sRGB at the training width
    masks: Sequence[NDArray[np.uint8] | None],  # V of [H, W], white = counts
    options: Options,
    device: torch.device,
    state: Checkpoint | None,  # where to go on; None: at the first step
    all_blurred: bool,
    found: Collection[str],  # photos whose cameras were not given, and are refined
    reopened: int | None,  # steps that were planned before more were asked for
    trying: Callable[[], object],  # is called before lenses are tried, which takes a while
    known: KnownLens | None = None,  # of a fixed rig
) -> Begun:
    """The trainer; of a run that goes on, with what it has learned."""
    settings = options.lens_settings(affords_early(device, geometry.frames))
    lens_start = lens_of(given, geometry, photos, options.seed, settings, all_blurred)
    if state:
        lens_start = state.lens_start
    elif known is not None:
        lens_start = known.begin(lens_start, geometry.cameras.names)
    lens = state.model.lens if state else LENSES[options.lens](lens_start)
    most = options.max_gaussians or default_gaussians(options.quality, geometry.frames)
    budget = target_budget(device, geometry.frames, most, options.aperture_samples())
    targets = Targets(photos, geometry.frames, lens.look(photos, masks), device, budget, alpha_masks=masks)
    exposed = start_exposure(given.points, photos, given.cameras.sizes, given.photos)
    of_photos = {"learn_exposure": exposed.learned, "dssim_share": dssim_share(photos)}
    moves = tuple(name in found for name in geometry.cameras.names)
    schedule = _schedule(options, given, geometry, most, moves, reopened, of_photos)
    if state:
        trainer = Trainer(state.model.to(device), targets, schedule, state.pixel, options.seed)
        checkpoint.resume(trainer, state)
        return Begun(trainer, state.names, lens_start, lens.name == options.lens)
    start = ModelStart.of(
        given,
        geometry,
        photos,
        exposed.exposure,
        most,
        schedule.sh_degree,
        options.seed,
        device,
        threads_reading(given),
        _nominal(given) if schedule.refine_focal and schedule.breathing else None,
        moves,
    )
    exif = lens_start.exif
    untold = known is None and (exif is None or exif.expected is None)
    if options.lens == "thin" and not all_blurred and untold and schedule.steps >= PILOTS_FROM:
        trying()
        lens, lens_start = _best_lens(lens_start, start, targets, schedule, geometry.pixel, options.seed)
    trainer = Trainer(start(lens), targets, schedule, geometry.pixel, options.seed)
    return Begun(trainer, geometry.cameras.names, lens_start, lens.name == options.lens)


def _nominal(given: TrainingInput) -> float | None:
    """fx / width of the lens at infinity; None where EXIF does not tell."""
    if not all(knows_focal(photo) for photo in given.photos):
        return None
    return float(np.median(focals_px(given.photos) / [photo.width for photo in given.photos]))


def _best_lens(
    lens_start: LensStart,
    start: Callable[[Lens], Model],
    targets: Targets,
    schedule: Schedule,
    pixel: float,
    seed: int,
) -> tuple[Lens, LensStart]:
    """By short trainings: the thin lens of the best of several pupils, or none, and where it starts."""
    starts = [replace(lens_start, pupil=lens_start.pupil / share) for share in NARROWER]
    lenses = [LENSES["thin"](replace(one, settings=THROUGH_THE_CENTRE)) for one in starts]
    verdict = compare(lenses, of_one_blur(starts[-1]), start, targets, schedule, pixel, seed)
    best = starts[verdict.best]
    if verdict.doubtful:
        lens = LENSES["thin"](replace(best, settings=THROUGH_THE_CENTRE))
        verdict = compare([lens], of_one_blur(best), start, targets, schedule, pixel, seed, longer=True)
        best = replace(best, pupil=min(best.pupil, START_HIGH * verdict.pupils[0]))
    return LENSES["thin" if verdict.needed else "plain"](best), best


def _schedule(
    options: Options,
    given: TrainingInput,
    geometry: Geometry,
    most: int,
    moves: Sequence[bool],
    reopened: int | None,
    of_photos: dict[str, Any],  # what of it the photos decide
) -> Schedule:
    seen, _ = views_in_frame(torch.tensor(given.points.xyz), geometry.first_cameras())
    effort = EFFORTS[options.quality]
    values: dict[str, Any] = {"drop": effort.drop} | by_poses(len(geometry.poses), float(seen.median()))
    return Schedule(
        options.steps or effort.steps,
        most,
        reopened=reopened,
        refine_poses=any(moves),
        refine_focal=all(moves),
        # Training does not tell it, and a lens that shortens breathes less than EXIF's law (experiments:
        # breathing-by-photos); where the photos told it, the cameras have it.
        breathing=options.thin.aberrations == "all" and not differ(given.cameras),
        **values,
        **of_photos,
    )
