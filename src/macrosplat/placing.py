"""The cameras and points of a run: its own, another run's, a rig's, the capture's, or found from the photos.

In: a `Capture`, a `Run`. Out: RUN/sparse, and the `TrainingInput`.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial

import torch

from macrosplat.cameras.colmap import read_colmap, write_colmap
from macrosplat.cameras.plausible import unconfirmed
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.cameras.targets import Sizes, read_sizes
from macrosplat.capture.ahead import Ahead
from macrosplat.capture.read_targets import find_targets
from macrosplat.capture.records import Capture, TrainingInput
from macrosplat.capture.rig import partners, renamed
from macrosplat.capture.solve import seen_by, solve, training_input
from macrosplat.lens.known import KnownLens
from macrosplat.live import Nobody
from macrosplat.loop import make_trainer, train
from macrosplat.missing import WIDTH, find_missing, missing
from macrosplat.options import Options
from macrosplat.output.lens_report import read_lens
from macrosplat.output.millimetres import find_scale
from macrosplat.photos.names import listed
from macrosplat.photos.taken import same_photos
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import whole_folder, write_json
from macrosplat.support.progress import Progress
from macrosplat.train.effort import EFFORTS
from macrosplat.train.log import Log
from macrosplat.train.trainer import Trainer
from macrosplat.train.unexplained import unexplained

ROUNDS = 3  # of placing what has no camera


def place(
    opened: Capture, run: Run, progress: Progress, width: int | None, ahead: Ahead | None = None
) -> TrainingInput:
    """Cameras and points: from RUN/sparse, from the capture, or by structure from motion; with feature points that were
    sought `ahead`, perhaps."""
    options = run.manifest.options
    if not run.sparse.is_dir():
        sizes = sizes_of(options, run)
        targets = find_targets(opened, sizes, run.targets, progress) if sizes is not None else None
        finer = options.quality != "draft"
        solved = solve(opened, run.scratch, options.seed, progress, targets, finer=finer, ahead=ahead)
        cameras, points = solved.cameras, solved.points
        # In this order: where there is a model, what it is of is known.
        run.update(camera_source=solved.source, registered=len(cameras), unsure=solved.unsure, doubted=solved.doubted)
        write_colmap(run.sparse, cameras, points)
        for line in unconfirmed(cameras, points):
            progress.note(line)
        if solved.unsure:
            few = f"Few photos share enough with {listed(solved.unsure)}: cameras there may be far off;"
            progress.note(f"{few} add photos between and beside.")
    # Always as they read from there: cameras that were rounded on the way would not resume to the same bits.
    _, cameras, points, _ = read_colmap(run.sparse, opened.photos, upright=True)
    # How sure lengths are depends on whether anybody knew the cameras.
    cameras = replace(cameras, source=run.manifest.camera_source or cameras.source)
    given = training_input(opened, cameras, points, options.hold_out, width)
    if options.scale_mm is not None:  # its photos have to have cameras; said before the work, not after it
        find_scale(options.scale_mm, given.cameras, (), ())
    held_out = given.held_out.names if given.held_out is not None else ()
    run.update(width=given.width, held_out=held_out)
    return given


def sizes_of(options: Options, run: Run | None = None) -> Sizes | None:
    """What is known of coded targets; None: there are none.

    Args:
        run: one that may have kept what was known as it was begun, for where the file is gone since.

    Raises:
        MacrosplatError: the file of --targets cannot be read.
    """
    if options.targets is None:
        return None
    try:
        return read_sizes(options.targets)
    except MacrosplatError:
        if run is None or not run.target_sizes.is_file():
            raise
        return read_sizes(str(run.target_sizes))


def keep_sizes(run: Run, sizes: Sizes) -> None:
    """Into RUN, where they are read at the end: the file of --targets may be elsewhere by then.

    Raises:
        MacrosplatError: the targets that were read in the photos are of another family.
    """
    if run.target_sizes.is_file():
        family = read_sizes(str(run.target_sizes)).family
        if family != sizes.family:
            raise MacrosplatError(
                f"{run.folder} was begun with coded targets of the family {family}, and --targets says {sizes.family} "
                "now; put the file back as it was, or choose another --out."
            )
    write_json(run.target_sizes, sizes.as_file())


def of_rig(rig: Run, run: Run, opened: Capture) -> tuple[Capture, KnownLens | None]:
    """The capture with the cameras of a rig's run, and the rig's lens where it is known.

    Raises:
        MacrosplatError: the rig's run has no cameras yet, or not as many as there are photos.
    """
    if same_photos(rig.manifest.photos, run.manifest.photos):
        take_cameras(rig, run)
        return opened, None
    if not rig.transforms.is_file():
        raise MacrosplatError(
            f"{rig.folder} is not finished: its cameras are not known yet; give --cameras-from a rig's finished run."
        )
    names = [photo.name for photo in rig.manifest.photos]
    cameras = renamed(rig.cameras(), names, opened.photos, str(rig.folder))
    lens, of = read_lens(rig), partners(names, opened.photos)
    known = None
    if lens is not None:
        focus = {of[name].name: distance for name, distance in lens.focus_distances.items() if name in of}
        known = KnownLens(lens.pupil_diameter, focus)
    return replace(opened, cameras=cameras, points=None), known


def take_cameras(begun: Run, run: Run) -> None:
    """Copy the cameras and points of `begun`, if the run has none yet."""
    if run.sparse.is_dir():
        return
    if not begun.sparse.is_dir():
        raise MacrosplatError(f"{begun.folder} has no cameras yet; give --cameras-from a run that has.")
    found = begun.manifest
    run.update(
        camera_source=found.camera_source, registered=found.registered, placed=found.placed, doubted=found.doubted
    )
    with whole_folder(run.sparse) as part:
        shutil.copytree(begun.sparse, part, dirs_exist_ok=True)


def expel(run: Run, opened: Capture, trainer: Trainer, given: TrainingInput, progress: Progress) -> bool:
    """Whether photos have lost their cameras in RUN/sparse, since the scene that the others make contradicts them.

    Cameras that were given are only named: whoever made them may know better.
    """
    found = unexplained(trainer)
    names = [given.cameras.names[v] for v in found.photos]
    placed = run.manifest.placed or ()
    ours = [name for name in names if run.manifest.camera_source == "sfm" or name in placed]
    if names:
        which = listed(f"{name} ({agrees:.1f} dB)" for name, agrees in zip(names, found.agreement, strict=True))
        said = f"The scene does not explain {which}; of most photos it explains {found.usual:.1f} dB"
        progress.note(f"{said}: {'cameras that are wrong are given up' if ours else 'is the camera right?'}.")
    if not ours:
        run.update(expelled=())
        return False
    run.checkpoint.unlink(missing_ok=True)  # first: it holds more photos than there will be cameras
    _, cameras, points, _ = read_colmap(run.sparse, opened.photos, upright=True)
    rest = [name for name in cameras.names if name not in ours]
    write_colmap(run.sparse, cameras.select(rest), seen_by(points, cameras, rest))
    # What the scene has placed it does not place again; others it may find a better place for.
    run.update(expelled=tuple(ours), registered=len(rest), placed=None if not set(ours) & set(placed) else placed)
    return True


def forget(run: Run) -> None:
    """What was learned with wrong cameras."""
    for path in (run.checkpoint, run.log):
        path.unlink(missing_ok=True)


def _learned(of_all: TrainingInput, inner: Run, device: torch.device, progress: Progress) -> Trainer:
    """The scene by which photos are placed: a run of its own, that nobody stops."""
    trainer, names, lens_start = make_trainer(of_all, inner, device, progress)
    with Log(inner.log, trainer.done) as log:
        train(trainer, inner, names, lens_start, log, progress, Nobody(), False)
    progress.stage("placing photos by the scene", 1)
    return trainer


def place_missing(opened: Capture, run: Run, device: torch.device, progress: Progress) -> bool:
    """Whether photos without cameras have got some in RUN/sparse, by a scene that is learned quickly of the others."""
    options = run.manifest.options
    _, cameras, points, _ = read_colmap(run.sparse, opened.photos, upright=True)
    loose = run.manifest.unsure if run.manifest.expelled is None else ()
    firm = [name for name in cameras.names if name not in loose]
    seen = dict(zip(cameras.names, cameras.views, strict=True))
    lost = missing(opened.photos, cameras.select(firm))
    if not lost or run.manifest.placed is not None or run.checkpoint.is_file() or options.deblur_first != "none":
        return False
    without = sum(photo.name not in loose for photo in lost)
    which = "the photo that has" if without == 1 else f"the {without} photos that have"
    some = [f"{which} no camera"] if without else []
    again = [photo.name for photo in lost if photo.name in loose]
    whose = " and ".join([*some, listed(again)] if again else some)
    progress.note(f"A scene is learned first to place {whose}.")
    cameras, points = cameras.select(firm), seen_by(points, cameras, firm)
    steps = min(options.steps or 10**9, EFFORTS["draft"].steps)
    width = min(run.manifest.width or WIDTH, WIDTH)
    quick = replace(options, quality="draft", steps=steps, width=width, max_gaussians=None, hold_out=0)

    def points_of(cameras: Cameras) -> SparsePoints:
        from macrosplat.cameras.sfm.known import triangulate

        return triangulate(opened.photos, cameras, run.scratch, None, options.seed)

    placed: tuple[str, ...] = ()
    for _ in range(ROUNDS):  # the scene of more photos may explain more of the others
        inner = Run.begin(run.placing, opened.root, opened.photos, quick, resume=True)
        inner.update(camera_source=run.manifest.camera_source, registered=len(cameras), placed=placed)
        of_all = training_input(opened, cameras, points, 0, width)

        learn = partial(_learned, of_all, inner, device, progress)
        found = find_missing(opened.photos, of_all, learn, points_of, run.placing, options.seed, seen)
        if found.said is not None:
            progress.note(found.said)
        cameras, points, placed = found.cameras, found.points, placed + found.placed
        shutil.rmtree(run.placing, ignore_errors=True)
        if not found.placed or found.left is None:
            break
    if found.left is not None:
        progress.note(found.left)
    if placed or loose:
        write_colmap(run.sparse, cameras, points)
    run.update(placed=placed, registered=len(cameras))
    return bool(placed or loose)
