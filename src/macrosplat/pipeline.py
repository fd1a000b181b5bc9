"""The whole way, room by room: a folder of photos in, RUN out. Every room keeps its result: a run can go on anywhere.

In: CAPTURE, RUN, `Options`. Out: the files of RUN and a `Summary`.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.brackets.recognise import poses_of
from macrosplat.cameras.colmap import read_colmap, write_colmap
from macrosplat.cameras.plausible import unconfirmed
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.cameras.undistort import read_undistorted, read_undistorted_mask
from macrosplat.capture.made_masks import with_made_masks
from macrosplat.capture.open import open_capture
from macrosplat.capture.records import Capture, TrainingInput
from macrosplat.capture.solve import solve, training_input
from macrosplat.deblur import check_deblur, deblurred
from macrosplat.lens import LENSES, Lens, LensStart
from macrosplat.lens.sharpest import nothing_in_focus
from macrosplat.lens.start import start_lens
from macrosplat.live import LiveView, Nobody, Preview, Watching, check_viser
from macrosplat.model.backdrop import Backdrop, grid_of
from macrosplat.model.exposure import Exposure, start_exposure
from macrosplat.model.model import Model
from macrosplat.model.rig import Rig, leaders
from macrosplat.options import Device, Options
from macrosplat.output.finish import finish
from macrosplat.output.log import Log
from macrosplat.output.millimetres import check_scale, find_scale
from macrosplat.output.summary import Summary
from macrosplat.photos.decode import TABLE_8
from macrosplat.photos.names import listed, natural_key
from macrosplat.photos.records import Photo, resized
from macrosplat.photos.shelf import Shelf
from macrosplat.placing import WIDTH, find_missing, missing
from macrosplat.render import Camera, Frame
from macrosplat.run import Run, same_photos
from macrosplat.scene.start import observed_depths, start_scene
from macrosplat.stack import StackSummary, is_stack, reconstruct_stack
from macrosplat.support.dispatch import choose
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import sweep, whole_folder
from macrosplat.support.lock import locked
from macrosplat.support.machine import machine
from macrosplat.support.progress import Face, Progress
from macrosplat.support.stop import Stop
from macrosplat.support.threads import ordered, workers
from macrosplat.train import checkpoint
from macrosplat.train.effort import EFFORTS, check_memory, default_gaussians, photo_budget, target_budget
from macrosplat.train.pilot import compare, of_one_blur
from macrosplat.train.schedule import Schedule, by_poses, dssim_share
from macrosplat.train.seen import views_in_frame
from macrosplat.train.targets import Targets
from macrosplat.train.trainer import Trainer
from macrosplat.train.working_size import working_width

# Nearest drawn depth, as a share of the distance to the object: nothing stands in front of a macro lens.
NEAR = 0.2
SECONDS_BETWEEN_CHECKPOINTS = 30.0
LOG_EVERY = 100  # steps
# Pupils that are tried first where EXIF does not tell: as the sharpness of the photos has it, and narrower by these.
PILOTS_FROM = 1000  # steps: shorter runs are trials
THROUGH_THE_CENTRE = {"aperture_samples": "1"}
NARROWER = (1.0, 2.5, 6.0)
NO_LENS = (
    "A lens explains these photos no better than a pinhole does, in what neither was shown: they are sharp already, or "
    "their blur does not follow depth, and they are kept as sharp as they are."
)
READING = 40  # bytes per pixel that a photo takes while it is read


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
        cameras_from: what `find_cameras` wrote for the same capture, to begin with.
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
    viewer = _viewer(live)
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
        if cameras_from is not None:
            _take_cameras(Run(cameras_from), run)
        opened = _with_masks(opened, run, progress)
        given = _cameras(opened, run, progress, width)
        if options.place == "auto" and _place_missing(opened, run, given, device, progress):
            given = _cameras(opened, run, progress, width)
        widest = max(photo.width for photo in given.photos)
        if options.width is None and given.width < widest:
            progress.note(
                f"Trained at {given.width} of {widest} px, which this machine does in minutes; with --width "
                f"{min(widest, 2 * given.width)} the scene is finer and it takes up to four times as long. The sharp "
                "photos keep their size."
            )
        trainer, names, lens_start = _trainer(given, run, device, progress)
        try:
            with Log(run.log, trainer.done) as log, viewer(trainer, names, progress) as watching:
                if preview:
                    watching = holding.enter_context(Preview(trainer, run.preview, watching))
                _train(trainer, run, names, lens_start, log, progress, watching, results)
        finally:  # an interrupted run's time counts, too
            seconds = run.manifest.seconds + time.monotonic() - began
            run.update(seconds=seconds, machine=machine(device))
        summary = finish(run, trainer, given, progress)
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
        _cameras(_with_masks(opened, run, progress), run, progress, options.width)


def _opened(capture: Path, options: Options) -> Capture:
    """The capture; with those photos, too, that a file of cameras does not name, where they are to be placed."""
    opened = open_capture(capture, options.masks != "off", options.brackets == "auto")
    if options.place == "off" or not opened.unplaced or any(photo.pose is not None for photo in opened.photos):
        return opened
    photos = sorted((*opened.photos, *opened.unplaced), key=lambda photo: natural_key(photo.name))
    return replace(opened, photos=tuple(photos), unplaced=())


def _with_masks(opened: Capture, run: Run, progress: Progress) -> Capture:
    if run.manifest.options.masks != "auto":
        return opened
    opened, said = with_made_masks(opened, run.masks, progress.stage, progress.advance)
    if said:
        progress.note(said)
    return opened


def _take_cameras(begun: Run, run: Run) -> None:
    """Copy the cameras and points of `begun`, if the run has none yet."""
    if run.sparse.is_dir():
        return
    if not same_photos(begun.manifest.photos, run.manifest.photos):
        raise MacrosplatError(f"{begun.folder} holds the cameras of other photos; remove it to have them found again.")
    run.update(
        camera_source=begun.manifest.camera_source, registered=begun.manifest.registered, placed=begun.manifest.placed
    )
    with whole_folder(run.sparse) as part:
        shutil.copytree(begun.sparse, part, dirs_exist_ok=True)


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


def _schedule(run: Run, most: int, of_poses: dict[str, Any]) -> Schedule:
    """`of_poses`: what `by_poses` said."""
    options, refine_poses = run.manifest.options, run.manifest.camera_source == "sfm"
    effort = EFFORTS[options.quality]
    values: dict[str, Any] = {"drop": effort.drop} | of_poses
    steps = options.steps or effort.steps
    run.update(planned=steps)
    return Schedule(steps, most, reopened=run.manifest.reopened, refine_poses=refine_poses, **values)


def _cameras(opened: Capture, run: Run, progress: Progress, width: int | None) -> TrainingInput:
    """Cameras and points: from RUN/sparse, from the capture, or by structure from motion."""
    options = run.manifest.options
    if not run.sparse.is_dir():
        cameras, points, source = solve(opened, run.scratch, options.seed, progress)
        # In this order: where there is a model, what it is of is known.
        run.update(camera_source=source, registered=len(cameras))
        write_colmap(run.sparse, cameras, points)
        for line in unconfirmed(cameras, points):
            progress.note(line)
    # Always as they read from there: cameras that were rounded on the way would not resume to the same bits.
    _, cameras, points, _ = read_colmap(run.sparse, opened.photos, upright=True)
    given = training_input(opened, cameras, points, options.hold_out, width)
    if options.scale_mm is not None:  # its photos have to have cameras; said before the work, not after it
        find_scale(options.scale_mm, given.cameras, (), ())
    held_out = given.held_out.names if given.held_out is not None else ()
    run.update(width=given.width, held_out=held_out)
    return given


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
) -> tuple[Trainer, tuple[str, ...], LensStart]:
    """A trainer at step 0, or where the checkpoint stands."""
    options = run.manifest.options
    small = given.cameras.resized(given.width)
    depths = observed_depths(given.points, given.cameras)
    distance = float(np.median(depths))
    pixel = distance / float(np.median(small.intrinsics[:, 0]))
    frames = [Frame(int(width), int(height), NEAR * distance) for width, height in small.sizes]
    most = options.max_gaussians or default_gaussians(options.quality, frames)
    progress.stage("reading photos", len(given.photos))
    distortion = given.cameras.distortion
    photos: Sequence[NDArray[np.uint8]] = Shelf(
        len(frames), lambda v: read_undistorted(given.photos[v], distortion[v], frames[v].width), photo_budget()
    )

    def read(v: int) -> NDArray[np.uint8] | None:
        photos[v]  # what cannot be read is said now
        return read_undistorted_mask(given.photos[v], distortion[v], frames[v].width) if given.photos[v].mask else None

    masks, threads = [], workers(READING * max(photo.width * photo.height for photo in given.photos))
    for photo, mask in zip(given.photos, ordered(read, range(len(frames)), threads), strict=True):
        if mask is not None and mask.max() < 128:
            raise MacrosplatError(
                f"The mask {photo.mask} of {photo.name} is black: paint the object white, or give --masks off."
            )
        masks.append(mask)
        progress.advance()
    if options.deblur_first != "none":
        progress.stage("deblurring photos")
        photos = deblurred(run.deblurred, given.photos, photos, options)
    limit = nothing_in_focus(photos)
    if limit is not None:
        progress.note(limit)
    run.update(limit=limit)
    lens_start = replace(
        start_lens(given.points, depths, small, given.cameras.sizes, photos, given.photos),
        focal=tuple((small.intrinsics[:, 0] / small.sizes[:, 0]).tolist()),
        centre=tuple(np.median(given.points.xyz, 0).tolist()),
        distance=distance,
        spread=max(float(depths.std()), 1e-9 * distance),
        all_blurred=limit is not None,
        seed=options.seed,
        settings=options.lens_settings(),
    )
    saved = run.checkpoint
    state = checkpoint.load(saved) if saved.is_file() else None
    if state and state.model.lens.name != options.lens:
        run.update(limit=NO_LENS)  # as its beginning found
    lens = state.model.lens if state else LENSES[options.lens](lens_start)
    budget = target_budget(device, frames, most, options.aperture_samples())
    targets = Targets(photos, frames, lens.look(photos, masks), device, budget, alpha_masks=masks)
    poses = poses_of(given.photos)
    first = [group[0] for group in poses]
    seen, _ = views_in_frame(
        torch.tensor(given.points.xyz),
        [Camera(torch.tensor(small.views[v]), torch.tensor(small.intrinsics[v]), frames[v]) for v in first],
    )
    of_poses = by_poses(len(poses), float(seen.median()))
    exposed = start_exposure(given.points, photos, given.cameras.sizes, given.photos)
    of_poses |= {"learn_exposure": exposed.learned, "dssim_share": dssim_share(photos)}
    schedule = _schedule(run, most, of_poses)
    if state:
        trainer = Trainer(state.model.to(device), targets, schedule, state.pixel, options.seed)
        checkpoint.resume(trainer, state)
        return trainer, state.names, lens_start
    count = max(min(most, len(given.points)), most // 3)
    scene = start_scene(
        given.points, small, photos, given.cameras.sizes, pixel, count, schedule.sh_degree, options.seed
    )
    grids = list(ordered(lambda v: grid_of(torch.from_numpy(TABLE_8[photos[v]])), range(len(photos)), threads))

    def begin(lens: Lens) -> Model:
        model = Model(
            gaussians=scene.map(torch.clone),
            lens=lens,
            rig=Rig(
                torch.tensor(small.views, dtype=torch.float32),
                torch.tensor(small.intrinsics, dtype=torch.float32),
                frames,
                torch.full((len(small),), distance),
                pixel,
                leaders(poses),
            ),
            backdrop=Backdrop(torch.stack(grids)),
            exposure=Exposure(exposed.exposure.log_gains.clone()),
        )
        return model.to(device)

    exif = lens_start.exif
    untold = exif is None or exif.expected is None
    if options.lens == "thin" and limit is None and untold and schedule.steps >= PILOTS_FROM:
        progress.stage("looking whether a lens explains the photos better than none")
        starts = [replace(lens_start, pupil=lens_start.pupil / share) for share in NARROWER]
        lenses = [LENSES["thin"](replace(start, settings=THROUGH_THE_CENTRE)) for start in starts]
        numbers = schedule, pixel, options.seed
        verdict = compare(lenses, of_one_blur(starts[-1]), begin, targets, *numbers)
        lens_start = starts[verdict.best]
        lens = LENSES["thin" if verdict.needed else "plain"](lens_start)
        if not verdict.needed:
            progress.note(NO_LENS)
            run.update(limit=NO_LENS)
    return Trainer(begin(lens), targets, schedule, pixel, options.seed), small.names, lens_start


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
            if trainer.done > before and (trainer.done % LOG_EVERY == 0 or trainer.done == steps):
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
            if wants_stop or time.monotonic() - saved_at > SECONDS_BETWEEN_CHECKPOINTS or trainer.done == steps:
                checkpoint.save(run.checkpoint, trainer, names, start)
                saved_at = time.monotonic()
            if wants_stop:
                if not (results or watching.finishes or stop.wants_results(progress.note)):
                    raise KeyboardInterrupt
                progress.note(f"Stopped at step {trainer.done:,} of {steps:,}; the results of that are being written.")
                return
