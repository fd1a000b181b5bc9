"""The cameras and points of a run: its own, another run's, a rig's, the capture's, or found from the photos.

In: a `Capture`, a `Run`. Out: RUN/sparse, and the `TrainingInput`.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

from macrosplat.cameras.colmap import read_colmap, write_colmap
from macrosplat.cameras.plausible import unconfirmed
from macrosplat.capture.records import Capture, TrainingInput
from macrosplat.capture.rig import partners, renamed
from macrosplat.capture.solve import solve, training_input
from macrosplat.lens.known import KnownLens
from macrosplat.output.lens_report import read_lens
from macrosplat.output.millimetres import find_scale
from macrosplat.run import Run, same_photos
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import whole_folder
from macrosplat.support.progress import Progress


def place(opened: Capture, run: Run, progress: Progress, width: int | None) -> TrainingInput:
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
    run.update(camera_source=found.camera_source, registered=found.registered, placed=found.placed)
    with whole_folder(run.sparse) as part:
        shutil.copytree(begun.sparse, part, dirs_exist_ok=True)
