"""The whole way, room by room: a folder of photos in, RUN out. Every room keeps its result: a run can go on anywhere.

In: CAPTURE, RUN, `Options`. Out: the files of RUN and a `Summary`.
"""

from __future__ import annotations

import io
import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from macrosplat.cameras.colmap import read_colmap, write_colmap
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.capture.made_masks import with_made_masks
from macrosplat.capture.open import open_capture
from macrosplat.capture.pixels import read_photos
from macrosplat.capture.records import Capture, TrainingInput
from macrosplat.capture.rig import RIG
from macrosplat.capture.solve import training_input
from macrosplat.deblur import check_deblur, deblurred
from macrosplat.lens import LensStart
from macrosplat.lens.known import KnownLens
from macrosplat.lens.sharpest import nothing_in_focus
from macrosplat.live import LiveView, Nobody, Preview, Watching, check_viser
from macrosplat.missing import WIDTH, find_missing, missing
from macrosplat.model.start import Geometry
from macrosplat.options import Device, Options
from macrosplat.output.finish import finish
from macrosplat.output.millimetres import check_scale
from macrosplat.output.summary import Summary
from macrosplat.photos.names import listed, natural_key
from macrosplat.photos.records import Photo, resized
from macrosplat.placing import of_rig, place
from macrosplat.render import Frame
from macrosplat.run import Run
from macrosplat.stack import StackSummary, is_stack, reconstruct_stack
from macrosplat.support.dispatch import choose
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import sweep
from macrosplat.support.lock import locked
from macrosplat.support.machine import machine
from macrosplat.support.progress import Face, Progress
from macrosplat.support.stop import Stop
from macrosplat.train import checkpoint
from macrosplat.train.begin import begin
from macrosplat.train.effort import EFFORTS, check_memory, default_gaussians, photo_budget
from macrosplat.train.expected import expected
from macrosplat.train.log import Log
from macrosplat.train.ranks import Meeting
from macrosplat.train.trainer import Trainer
from macrosplat.train.working_size import working_width

SECONDS_BETWEEN_CHECKPOINTS = 30.0
LOG_EVERY = 100  # steps
NO_LENS = (
    "A lens explains these photos no better than a pinhole does, in what neither was shown: they are sharp already, or "
    "their blur does not follow depth, and they are kept as sharp as they are."
)


def reconstruct(
    capture: Path,
    out: Path,
    options: Options | None = None,
    resume: bool = False,
    cameras_from: Path | None = None,
    live: int | None = None,
    shown: Sequence[Face] = (),
    results: bool = False,
    preview: bool = False,
) -> Summary | StackSummary:
    """Sharp photos and a sharp scene of a folder of blurred photos; see `macrosplat reconstruct --help`.

    Args:
        cameras_from: a run of the same rig, whose cameras and lens this one begins with: of the same photos, or of
            others in the order of their names.
        live: a port on this machine for a page that shows the training; 0: a free one; None: no page.
        shown: further ways of showing progress, besides stderr.
        results: whether a run that is stopped while it trains writes the results of what there is.
        preview: whether RUN/preview.jpg shows the scene while it trains.

    Raises:
        MacrosplatError: bad input; one sentence says what and where.
        KeyboardInterrupt: interrupted; what was done is in `out`, and `resume` goes on to the same result.
    """
    options = options or Options()
    said: list[str] = []
    device = choose(options.device, said.append)
    if options.scale_mm is not None:
        check_scale(options.scale_mm)
    viewer, meeting = _viewer(live), Meeting()
    began = time.monotonic()
    with Progress(more=shown) as progress, ExitStack() as holding:
        opened = _opened(capture, options)
        check_deblur(options)
        alone, width = is_stack(opened), 0
        if not alone:
            width = _width(opened.photos, Run(out) if resume else None, options, device)
            _fits(opened.photos, options, width)
        holding.enter_context(locked(out))
        run = Run.begin(out, capture, opened.photos, options, resume, opened.found)
        options = run.manifest.options
        sweep(out)
        for note in (*said, *opened.notes):
            progress.note(note)
        if run.other_masks:
            which = listed(run.other_masks)
            progress.note(f"The masks of {which} have changed since the run was begun; what was learned keeps the old.")
        if alone:
            stacked = reconstruct_stack(opened, run, progress)
            _page(out, progress)
            return stacked
        if not resume:
            known = opened.cameras is not None or cameras_from is not None
            guess = expected(opened.photos, replace(options, width=width), known, device)
            progress.note(guess.sentence(shutil.disk_usage(out).free))
        rig_lens = None
        if cameras_from is not None:
            opened, rig_lens = of_rig(Run(cameras_from), run, opened)
        opened = _with_masks(opened, run, progress)
        given = place(opened, run, progress, width)
        if rig_lens is None and options.place != "off" and _place_missing(opened, run, given, device, progress):
            given = place(opened, run, progress, width)
        widest = max(photo.width for photo in given.photos)
        if options.width is None and given.width < widest:
            progress.note(
                f"Trained at {given.width} of {widest} px, which this machine does in minutes; with --width "
                f"{min(widest, 2 * given.width)} the scene is finer and it takes up to four times as long. The sharp "
                "photos keep their size."
            )
        trainer, names, lens_start = _trainer(given, run, device, progress, rig_lens)
        if meeting.count > 1:
            checkpoint.save(run.checkpoint, trainer, names, lens_start)  # where the others begin
            trainer.share(meeting.join(device), meeting.count)
        try:
            with Log(run.log, trainer.done) as log, viewer(trainer, names, progress) as watching:
                if preview:
                    watching = holding.enter_context(Preview(trainer, run.preview, watching))
                _train(trainer, run, names, lens_start, log, progress, watching, results)
        finally:  # an interrupted run's time counts, too
            seconds = run.manifest.seconds + time.monotonic() - began
            run.update(seconds=seconds, machine=machine(device))
        summary = finish(run, trainer.model, trainer.targets, given, trainer.last_sampling(), trainer.done, progress)
        _page(out, progress)
        return summary


def go_on(
    out: Path,
    steps: str | None = None,
    device: Device | None = None,
    live: int | None = None,
    shown: Sequence[Face] = (),
    results: bool = False,
    preview: bool = False,
) -> Summary | StackSummary:
    """Go on with a run, with the options that it was begun with; see `macrosplat continue --help`.

    Args:
        steps: "+2000": so many more than planned; "5000": so many in all; None: as planned.
        device: where to compute now.

    Raises:
        MacrosplatError: `out` is no run, its photos are gone, or `steps` is less than what is planned.
        KeyboardInterrupt: see `reconstruct`.
    """
    run = Run(out)
    options, capture = run.manifest.options, Path(run.manifest.capture)
    if not capture.is_dir():
        raise MacrosplatError(
            f"The photos of {out} are no longer in {capture}; say where they are: "
            f"macrosplat reconstruct CAPTURE --out {out} --resume, with the options of before."
        )
    if steps is not None:
        planned = run.manifest.planned or options.steps or EFFORTS[options.quality].steps
        with locked(out):
            options = replace(options, steps=_further(steps, planned))
            run.update(options=options, planned=options.steps, reopened=planned)
    if device is not None:
        options = replace(options, device=device)
    return reconstruct(capture, out, options, resume=True, live=live, shown=shown, results=results, preview=preview)


def _further(text: str, planned: int) -> int:
    """Steps in all."""
    number = text.removeprefix("+")
    if not number.isdecimal():
        raise MacrosplatError(f"--steps {text} cannot be read; give how many more (+2000), or how many in all (5000).")
    total = planned + int(number) if text.startswith("+") else int(number)
    if total <= planned:
        raise MacrosplatError(f"--steps {text} is not more than the {planned} steps of this run; give more, or none.")
    return total


def find_cameras(capture: Path, out: Path, options: Options) -> None:
    """Only the cameras and points of a capture, as a run begins: what several runs may begin with.

    Raises:
        MacrosplatError: bad input; one sentence says what and where.
    """
    with Progress() as progress, locked(out):
        opened = _opened(capture, options)
        run = Run.begin(out, capture, opened.photos, options, True, opened.found)
        sweep(out)
        place(_with_masks(opened, run, progress), run, progress, options.width)


def _opened(capture: Path, options: Options) -> Capture:
    """The capture; with those photos, too, that a file of cameras does not name, where they are to be placed."""
    opened = open_capture(capture, options.masks != "off", options.brackets == "auto")
    if options.place != "all" or not opened.unplaced or any(photo.pose is not None for photo in opened.photos):
        names = listed(photo.name for photo in opened.unplaced)
        left = f"Left out, having no camera: {names}; --place all seeks them by the scene of the others."
        return replace(opened, notes=(*opened.notes, left)) if opened.unplaced else opened
    photos = sorted((*opened.photos, *opened.unplaced), key=lambda photo: natural_key(photo.name))
    return replace(opened, photos=tuple(photos), unplaced=())


def _with_masks(opened: Capture, run: Run, progress: Progress) -> Capture:
    if run.manifest.options.masks != "auto":
        return opened
    opened, said = with_made_masks(opened, run.masks, progress.stage, progress.advance)
    if said:
        progress.note(said)
    return opened


def follow(out: Path, capture: Path | None = None, device: Device | None = None) -> None:
    """Train along with the process that reconstructs `capture` into `out`, as another rank; nothing is written.

    Args:
        capture: None: the photos that the run was begun with. device: None: the one that it was begun with.

    Raises:
        MacrosplatError: see `reconstruct`.
    """
    meeting = Meeting()
    if not meeting.wait():
        return
    run = Run(out, read_only=True)
    options, capture = run.manifest.options, capture or Path(run.manifest.capture)
    where = choose(device or options.device, lambda _: None)
    with Progress(io.StringIO()) as progress:
        opened = _with_masks(_opened(capture, options), run, progress)
        given = place(opened, run, progress, run.manifest.width)
        trainer, _, _ = _trainer(given, run, where, progress)
        trainer.share(meeting.join(where), meeting.count)
        while trainer.done < trainer.schedule.steps:
            trainer.step()
        trainer.ranks.leave()


def _page(out: Path, progress: Progress) -> None:
    """RUN/index.html; that it is missing is said, and spoils nothing else."""
    from macrosplat.web.page import write_page

    progress.stage("writing the page")
    try:
        write_page(out)
    except MacrosplatError as error:
        progress.note(str(error))


def _width(photos: tuple[Photo, ...], begun: Run | None, options: Options, device: torch.device) -> int:
    """px that the photos are trained at: as asked for, as a run began, or what suits the machine."""
    known = begun.manifest.width if begun is not None and begun.manifest_file.is_file() else None
    sizes = [(photo.width, photo.height) for photo in photos]
    return (
        options.width
        or known
        or working_width(sizes, device, options.quality, options.max_gaussians, options.aperture_samples())
    )


def _fits(photos: tuple[Photo, ...], options: Options, width: int) -> None:
    """Memory is judged before RUN is begun: what is asked for instead may have the same RUN."""
    frames = [Frame(*resized(photo.width, photo.height, width)) for photo in photos]
    check_memory(
        frames, options.max_gaussians or default_gaussians(options.quality, frames), options.aperture_samples()
    )


def _place_missing(opened: Capture, run: Run, given: TrainingInput, device: torch.device, progress: Progress) -> bool:
    """Whether photos without cameras have got some in RUN/sparse, by a scene that is learned quickly of the others."""
    options = run.manifest.options
    _, cameras, points, _ = read_colmap(run.sparse, opened.photos, upright=True)
    lost = missing(opened.photos, cameras)
    if not lost or run.manifest.placed is not None or run.checkpoint.is_file() or options.deblur_first != "none":
        return False
    progress.note(f"A scene is learned first to place the {len(lost)} photos that have no camera.")
    steps = min(options.steps or 10**9, EFFORTS["draft"].steps)
    width = min(given.width, WIDTH)
    quick = replace(options, quality="draft", steps=steps, width=width, max_gaussians=None, hold_out=0)
    inner = Run.begin(run.placing, opened.root, opened.photos, quick, resume=True)
    inner.update(camera_source=run.manifest.camera_source, registered=len(cameras))
    of_all = training_input(opened, cameras, points, 0, width)

    def learn() -> Trainer:
        trainer, names, lens_start = _trainer(of_all, inner, device, progress)
        with Log(inner.log, trainer.done) as log:
            _train(trainer, inner, names, lens_start, log, progress, Nobody(), False)
        progress.stage("placing photos by the scene", 1)
        return trainer

    def points_of(cameras: Cameras) -> SparsePoints:
        from macrosplat.cameras.sfm.solve import triangulate

        return triangulate(opened.photos, cameras, run.scratch, None, options.seed)

    found = find_missing(opened.photos, of_all, learn, points_of, run.placing, options.seed)
    for line in found.sentences:
        progress.note(line)
    if found.placed:
        write_colmap(run.sparse, found.cameras, found.points)
    run.update(placed=found.placed, registered=len(found.cameras))
    shutil.rmtree(run.placing, ignore_errors=True)
    return bool(found.placed)


def _trainer(
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
    limit = nothing_in_focus(photos)
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
        refine_poses=run.manifest.camera_source in ("sfm", RIG) or bool(run.manifest.placed),
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


def _viewer(port: int | None) -> Callable[[Trainer, tuple[str, ...], Progress], AbstractContextManager[Watching]]:
    """What shows the training; that it cannot is said before the work begins."""
    if port is None:
        return lambda trainer, names, progress: nullcontext(Nobody())
    check_viser()
    return lambda trainer, names, progress: LiveView(trainer, names, port, progress.note)


def _train(
    trainer: Trainer,
    run: Run,
    names: tuple[str, ...],
    start: LensStart,
    log: Log,
    progress: Progress,
    watching: Watching,
    results: bool,
) -> None:
    """Step until done. Ctrl-C, `kill` and the live view are answered between two steps, with the state saved.

    Raises:
        KeyboardInterrupt: somebody wants to stop, and no results.
    """
    steps, saved_at = trainer.schedule.steps, time.monotonic()
    progress.stage("training", steps, trainer.done, "steps")
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
                return
    trainer.ranks.leave()
