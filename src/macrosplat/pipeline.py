"""The whole way, room by room: a folder of photos in, RUN out. Every room keeps its result: a run can go on anywhere.

In: CAPTURE, RUN, `Options`. Out: the files of RUN and a `Summary`.
"""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from macrosplat.capture.ahead import Ahead, many
from macrosplat.capture.made_masks import with_made_masks
from macrosplat.capture.open import open_capture
from macrosplat.capture.records import Capture
from macrosplat.deblur import check_deblur
from macrosplat.live import After, LiveView, Nobody, Preview, Watching, check_viser
from macrosplat.loading import loading
from macrosplat.loop import make_trainer, train
from macrosplat.options import Device, Options
from macrosplat.output.finish import finish
from macrosplat.output.millimetres import check_scale
from macrosplat.output.summary import Summary
from macrosplat.photos.names import listed, natural_key
from macrosplat.photos.records import Looking, Photo, resized
from macrosplat.photos.targets import opencv
from macrosplat.placing import expel, forget, keep_sizes, of_rig, place, place_missing, sizes_of
from macrosplat.render import Frame
from macrosplat.run import Run
from macrosplat.stack import StackSummary, is_stack, reconstruct_stack
from macrosplat.support.ahead import compiling
from macrosplat.support.dispatch import choose
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import sweep
from macrosplat.support.lock import locked
from macrosplat.support.machine import machine
from macrosplat.support.progress import Face, Progress
from macrosplat.train import checkpoint
from macrosplat.train.effort import EFFORTS, check_memory, default_gaussians
from macrosplat.train.expected import check_results, expected
from macrosplat.train.log import Log
from macrosplat.train.ranks import Meeting
from macrosplat.train.trainer import Trainer
from macrosplat.train.working_size import working_width

NO_MORE = "+0"  # steps: what there is is enough


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
    now: bool = False,
    ahead: Ahead | None = None,
) -> Summary | StackSummary:
    """Sharp photos and a sharp scene of a folder of blurred photos; see `macrosplat reconstruct --help`.

    Args:
        cameras_from: a run of the same rig, whose cameras and lens this one begins with: of the same photos, or of
            others in the order of their names.
        live: a port on this machine for a page that shows the training; 0: a free one; None: no page.
        shown: further ways of showing progress, besides stderr.
        results: whether a run that is stopped while it trains writes the results of what there is.
        preview: whether RUN/preview.jpg shows the scene while it trains.
        now: of a run that is resumed, only the results of what it has learned so far.
        ahead: has opened the capture already, as `options` have it.

    Raises:
        MacrosplatError: bad input; one sentence says what and where.
        KeyboardInterrupt: interrupted; what was done is in `out`, and `resume` goes on to the same result.
    """
    options = options or Options()
    said: list[str] = []
    device = choose(options.device, said.append)
    if options.scale_mm is not None:
        check_scale(options.scale_mm)
    if not resume:
        options.check_used()
    sizes = sizes_of(options, Run(out) if resume else None)
    if sizes is not None:
        opencv()
    viewer, meeting = _viewer(live), Meeting()
    began = time.monotonic()
    with Progress(more=shown) as progress, ExitStack() as holding:
        looking = partial(_looking, progress, None if resume else options, device)
        opened = _opened(capture, options, looking, ahead)
        check_deblur(options, opened.photos)
        if options.scale_mm is not None:
            check_scale(options.scale_mm, [photo.name for photo in opened.photos])
        alone, width = is_stack(opened), 0
        if not alone:
            width = _width(opened.photos, Run(out) if resume else None, options, device)
            _fits(opened.photos, options, width)
            check_results(opened.photos)
        holding.enter_context(locked(out))
        run = Run.begin(out, capture, opened.photos, options, resume, opened.found)
        options = run.manifest.options
        sweep(out)
        if sizes is not None:
            keep_sizes(run, sizes)
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
            seen = [(photo.width, photo.height) for photo in opened.photos]
            pointed = opened.points is not None and len(opened.points) > 0
            guess = expected(seen, replace(options, width=width), known, device, pointed)
            progress.note(guess.sentence(shutil.disk_usage(out).free))
        rig_lens = None
        if cameras_from is not None:
            opened, rig_lens = of_rig(Run(cameras_from), run, opened)
        opened = _with_masks(opened, run, progress)
        if device.type == "cpu" and opened.cameras is None and not run.sparse.is_dir():
            holding.enter_context(compiling())
        with nullcontext() if run.sparse.is_dir() else loading(device, options):
            given = place(opened, run, progress, width, ahead)
        if rig_lens is None and options.place != "off" and place_missing(opened, run, device, progress):
            given = place(opened, run, progress, width)
        widest = max(photo.width for photo in given.photos)
        if options.width is None and given.width < widest:
            progress.note(
                f"Trained at {given.width} of {widest} px, which this machine does in minutes; with --width "
                f"{min(widest, 2 * given.width)} the scene is finer and it takes up to four times as long. The sharp "
                "photos keep their size."
            )
        try:
            while True:
                trainer, names, lens_start = make_trainer(given, run, device, progress, rig_lens)
                if meeting.count > 1:
                    checkpoint.save(run.checkpoint, trainer, names, lens_start)  # where the others begin
                    trainer.share(meeting.join(device), meeting.count)
                look = None
                if rig_lens is None and meeting.count == 1 and options.place != "off" and run.manifest.expelled is None:
                    look = partial(expel, run, opened, trainer, given, progress)
                with ExitStack() as shows:
                    watching = shows.enter_context(viewer(trainer, names, progress, run))
                    if preview:
                        watching = shows.enter_context(Preview(trainer, run.preview, watching))
                    with Log(run.log, trainer.done) as log:
                        again = not (now and _learned(run, trainer, progress)) and train(
                            trainer, run, names, lens_start, log, progress, watching, results, look
                        )
                    if not again:
                        holding.push(shows.pop_all())  # the page becomes the result when training has ended
                        break
                forget(run)
                place_missing(opened, run, device, progress)
                given = place(opened, run, progress, width)
        finally:  # an interrupted run's time counts, too
            seconds = run.manifest.seconds + time.monotonic() - began
            run.update(seconds=seconds, machine=machine(device))
        watching.trained()
        run.check_whole(capture, opened.photos)
        with _preparing(out) as (prepare, prepared):
            learned = trainer.model, trainer.targets, given, trainer.last_sampling(), trainer.done
            summary = finish(run, *learned, progress, prepare)
            _page(out, progress, prepared)
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
        steps: "+2000": so many more than planned; "5000": so many in all; "+0": none, only the results of what there
            is; None: as planned.
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
    now = steps == NO_MORE
    if steps is not None and run.manifest.stack is not None:
        raise MacrosplatError(f"{out} is a stack of one pose, which is not trained: leave out --steps.")
    if steps is not None and not now:
        planned = run.manifest.planned or options.steps or EFFORTS[options.quality].steps
        with locked(out):
            options = replace(options, steps=_further(steps, planned))
            run.update(options=options, planned=options.steps, reopened=planned)
    if device is not None:
        options = replace(options, device=device)
    return reconstruct(
        capture, out, options, resume=True, live=live, shown=shown, results=results, preview=preview, now=now
    )


def _learned(run: Run, trainer: Trainer, progress: Progress) -> bool:
    """Say how far a run has come whose results are written as it is; True.

    Raises:
        MacrosplatError: it has not begun to learn.
    """
    if not trainer.done:
        raise MacrosplatError(f"{run.folder} was stopped before it had learned anything: leave out --steps to go on.")
    progress.note(f"Stopped at step {trainer.done:,} of {trainer.schedule.steps:,}; the results of that are written.")
    return True


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


def _looking(progress: Progress, options: Options | None, device: torch.device, known: bool) -> Looking:
    """Shows how far the photos are looked through, after what all may take where that is long; no options: not that."""

    def begin(sizes: list[tuple[int, int]]) -> None:
        progress.stage("looking through the photos", len(sizes))
        if options is not None and many(sizes):
            progress.note(expected(sizes, options, known, device).bound(len(sizes)))

    return Looking(begin, progress.advance)


def _opened(
    capture: Path,
    options: Options,
    looking: Callable[[bool], Looking] | None = None,
    ahead: Ahead | None = None,
) -> Capture:
    """The capture; with those photos, too, that a file of cameras does not name, where they are to be placed."""
    opened = None if ahead is None else ahead.capture()
    if opened is None:
        opened = open_capture(capture, options.masks != "off", options.brackets == "auto", looking)
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
        trainer, _, _ = make_trainer(given, run, where, progress)
        trainer.share(meeting.join(where), meeting.count)
        while trainer.done < trainer.schedule.steps:
            trainer.step()
        trainer.ranks.leave()


@contextmanager
def _preparing(out: Path) -> Iterator[tuple[Callable[[], object], Callable[[], Any]]]:
    """What begins to make most of the page in a thread, and what waits for it; None where that went wrong."""
    begun: list[Future[Any]] = []

    def prepared() -> Any:
        from macrosplat.web.page import prepare

        return prepare(out)

    def wait() -> Any:
        with suppress(Exception):  # it is made once more then, which says what is wrong
            return begun[0].result()

    with ThreadPoolExecutor(1, "page") as pool:
        yield lambda: begun.append(pool.submit(prepared)), wait


def _page(out: Path, progress: Progress, prepared: Callable[[], Any] = lambda: None) -> None:
    """RUN/index.html; that it is missing is said, and spoils nothing else."""
    from macrosplat.web.page import write_page

    progress.stage("writing the page")
    try:
        write_page(out, prepared())
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


def _viewer(port: int | None) -> Callable[[Trainer, tuple[str, ...], Progress, Run], AbstractContextManager[Watching]]:
    """What shows the training; that it cannot is said before the work begins."""
    if port is None:
        return lambda trainer, names, progress, run: nullcontext(Nobody())
    check_viser()
    from macrosplat.web.gallery import linked

    def viewer(
        trainer: Trainer, names: tuple[str, ...], progress: Progress, run: Run
    ) -> AbstractContextManager[Watching]:
        return LiveView(trainer, names, port, progress.note, After(run.page, lambda: linked(run.folder)))

    return viewer
