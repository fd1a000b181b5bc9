"""A folder of pictures of one view, focused from its nearest to its farthest part, and the deblurred photo.

The photo that could be taken only once, taken as a focus bracket afterwards: for stacking programs, or to choose from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from macrosplat.export.cameras import copy_sharp
from macrosplat.export.refocus import load_refocus
from macrosplat.output.lens_report import read_lens
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import only_ours, write_json, write_whole
from macrosplat.support.progress import Face, Progress

STEPS = 12


def write_focus_stack(
    run: Path, out: Path, photo: str | None = None, steps: int = STEPS, shown: Sequence[Face] = ()
) -> None:
    """`out/focus_00.png` (near) to `focus_11.png` (far), `all_in_focus.png`, and `focus.json` with the distances.

    At the size of the photo. Steps are even in 1 / distance: each moves the blur by the same amount.

    Args:
        photo: whose view; None: the first photo's.

    Raises:
        MacrosplatError: RUN is not finished, or has no such photo.
    """
    pictures_of = {f"focus_{n:02d}.png" for n in range(steps)}
    only_ours(out, {*pictures_of, "all_in_focus.png", "focus.json"}.__contains__)
    with Progress(more=shown) as progress:
        refocus = load_refocus(run, progress)
        names, cameras = refocus.state.names, Run(run).cameras()
        v = _number(run, names, photo)
        width, height = (int(side) for side in cameras.sizes[v])
        camera = refocus.state.model.cameras()[v].scaled(width, height)
        near, far = refocus.depths(camera)
        report = read_lens(Run(run))
        unit = report.mm_per_unit if report is not None else None
        progress.stage("focusing", steps + 1)
        copy_sharp(Run(run), names[v], out / "all_in_focus.png", cameras.distortion[v])
        progress.advance()
        pictures = []
        for n, focus in enumerate(1 / np.linspace(1 / near, 1 / far, steps)):
            name = f"focus_{n:02d}.png"
            write_whole(out / name, Image.fromarray(refocus.taken(camera, v, float(focus))).save)
            pictures.append(
                {"picture": name, "focus_distance": {"scene_units": float(focus), "mm": unit and float(focus * unit)}}
            )
            progress.advance()
    about = "distance from the entrance pupil to the plane of focus, along the optical axis"
    write_json(
        out / "focus.json",
        {"about": about, "photo": names[v], "pupil_diameter": refocus.pupil, "pictures": pictures},
    )


def _number(run: Path, names: tuple[str, ...], photo: str | None) -> int:
    if photo is None:
        return 0
    found = [v for v, name in enumerate(names) if photo in (name, name.rpartition(".")[0])]
    if len(found) != 1:
        raise MacrosplatError(f"{run} has no photo {photo} with a camera; name one of {names[0]} to {names[-1]}.")
    return found[0]
