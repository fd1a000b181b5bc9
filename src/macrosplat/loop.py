"""The training loop of a run: a trainer as the run's options and checkpoint say, and steps until it is done.

In: a `TrainingInput`, a `Run`. Out: RUN/train.ckpt and RUN/log.jsonl; the trainer, learned.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from macrosplat.capture.pixels import read_photos
from macrosplat.capture.records import TrainingInput
from macrosplat.capture.rig import RIG
from macrosplat.deblur import deblurred
from macrosplat.lens import LensStart
from macrosplat.lens.known import KnownLens
from macrosplat.lens.sharpest import nothing_in_focus
from macrosplat.live import Watching
from macrosplat.model.start import Geometry
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.progress import Progress
from macrosplat.support.stop import Stop
from macrosplat.train import checkpoint
from macrosplat.train.begin import begin
from macrosplat.train.effort import photo_budget
from macrosplat.train.log import Log
from macrosplat.train.reckoned import work_of
from macrosplat.train.trainer import Trainer
from macrosplat.train.unexplained import LOOKED_AT

SECONDS_BETWEEN_CHECKPOINTS = 30.0
LOG_EVERY = 100  # steps
NO_LENS = (
    "A lens explains these photos no better than a pinhole does, in what neither was shown: they are sharp already, or "
    "their blur does not follow depth, or their cameras are wrong, and they are kept as sharp as they are."
)


def make_trainer(
    given: TrainingInput,
    run: Run,
    device: torch.device,
    progress: Progress,
    known: KnownLens | None = None,
) -> tuple[Trainer, tuple[str, ...], LensStart]:
    """A trainer at step 0, or where the checkpoint stands."""
    options, geometry = run.manifest.options, Geometry.of(given)
    progress.stage("reading photos", len(given.photos))
    photos, masks = read_photos(given, [frame.width for frame in geometry.frames], photo_budget(), progress)
    if options.deblur_first != "none":
        progress.stage("deblurring photos")
        photos = deblurred(run.deblurred, given.photos, photos, options)
    limit = nothing_in_focus(photos, masks)
    if limit is not None:
        progress.note(limit)
    state = checkpoint.load(run.checkpoint) if run.checkpoint.is_file() else None
    begun = begin(
        given,
        geometry,
        photos,
        masks,
        options,
        device,
        state,
        all_blurred=limit is not None,
        found=geometry.cameras.names if run.manifest.camera_source in ("sfm", RIG) else run.manifest.placed or (),
        reopened=run.manifest.reopened,
        trying=lambda: progress.stage("looking whether a lens explains the photos better than none"),
        known=known,
    )
    if not begun.lens_needed:
        limit = NO_LENS
        if state is None:  # a run that goes on has said so
            progress.note(NO_LENS)
    run.update(limit=limit, planned=begun.trainer.schedule.steps)
    return begun.trainer, begun.names, begun.lens_start


def train(
    trainer: Trainer,
    run: Run,
    names: tuple[str, ...],
    start: LensStart,
    log: Log,
    progress: Progress,
    watching: Watching,
    results: bool,
    look: Callable[[], bool] | None = None,
) -> bool:
    """Step until done. Ctrl-C, `kill` and the live view are answered between two steps, with the state saved.

    Args:
        look: is asked once, when `LOOKED_AT` of the steps are done, whether training has to begin again.

    Returns:
        Whether it has to: nothing is learned then.

    Raises:
        KeyboardInterrupt: somebody wants to stop, and no results.
    """
    steps, saved_at = trainer.schedule.steps, time.monotonic()
    progress.stage("training", steps, trainer.done, "steps", work_of(trainer))
    counted = trainer.done
    with Stop() as stop:
        while trainer.done < steps:
            before = trainer.done
            loss = trainer.step()
            figures: dict[str, float] = {}
            if trainer.done > before and (trainer.done // LOG_EVERY > before // LOG_EVERY or trainer.done == steps):
                figures = log.line(trainer, float(loss))
                if not math.isfinite(figures["loss"]):
                    raise MacrosplatError(
                        f"Training diverged at step {trainer.done}; try another --seed, or look for a photo whose "
                        "camera is wrong."
                    )
            # On a GPU steps may have been taken back since they were counted.
            progress.advance(trainer.done - counted, figures=figures)
            counted = trainer.done
            wants_stop = watching.between_steps(figures, lambda: stop.asked)
            if trainer.ranks.count > 1 and not trainer.settled:
                continue  # all ranks settle together; soon
            if wants_stop or time.monotonic() - saved_at > SECONDS_BETWEEN_CHECKPOINTS or trainer.done == steps:
                checkpoint.save(run.checkpoint, trainer, names, start)
                saved_at = time.monotonic()
            if wants_stop:
                if not (results or watching.finishes or stop.wants_results(progress.note)):
                    raise KeyboardInterrupt
                progress.note(f"Stopped at step {trainer.done:,} of {steps:,}; the results of that are being written.")
                return False
            if look is not None and trainer.done >= LOOKED_AT * steps:
                trainer.settle()
                if trainer.done >= LOOKED_AT * steps and trainer.done < steps:
                    if look():
                        return True
                    look = None
    trainer.ranks.leave()
    return False
