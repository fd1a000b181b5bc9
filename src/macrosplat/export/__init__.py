"""Export: a finished run for other programs, and scenes of other programs read.

In: RUN, a format's name. Out: a file or a folder. Splat formats hold scene.ply's colours (sRGB) and coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from macrosplat.export.shape import Shape as Shape
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import no_strangers_beside, written
from macrosplat.support.progress import Face

Format = Literal[
    "ply",
    "compressed-ply",
    "spz",
    "sog",
    "splat",
    "gltf",
    "points",
    "colmap",
    "nerfstudio",
    "mesh",
    "video",
    "focus-stack",
    "zip",
]
# What is written if no --out is given, below RUN.
NAMES: dict[Format, str] = {
    **{"ply": "export.ply", "spz": "scene.spz", "splat": "scene.splat", "gltf": "scene.glb", "points": "points.ply"},
    **{"compressed-ply": "scene.compressed.ply", "sog": "scene.sog"},
    **{"colmap": "colmap", "nerfstudio": "nerfstudio"},
    **{"mesh": "mesh.ply", "video": "orbit.mp4", "focus-stack": "focus_stack", "zip": "share.zip"},
}
# What a file of the format is called; formats that are missing here are folders.
SUFFIXES: dict[Format, tuple[str, ...]] = {
    **{"ply": (".ply",), "spz": (".spz",), "splat": (".splat",), "gltf": (".glb",), "points": (".ply",)},
    **{"mesh": (".ply", ".glb", ".obj", ".stl", ".usdz"), "video": (".mp4",), "zip": (".zip",), "sog": (".sog",)},
    "compressed-ply": (".ply",),
}


@dataclass(frozen=True)
class Film:
    """Of `video`."""

    seconds: float = 8.0
    size: str = "1080p"
    way: Literal["orbit", "turntable", "focus-pull"] = "orbit"


def export(
    run: Path,
    format: Format,
    out: Path | None = None,
    photo: str | None = None,
    film: Film | None = None,
    shape: Shape | None = None,
    mm: bool = False,
    shown: Sequence[Face] = (),
) -> Path:
    """Write RUN in another format; where it was written.

    Args:
        photo: whose view a focus stack is of; None: the first photo's. Other formats have no use for it.
        film: how a video is made.
        shape: what a mesh is to be.
        mm: whether a scene is written in millimetres (points and mesh are, where they are known).
        shown: where progress is shown, too.

    Raises:
        MacrosplatError: RUN is not finished, what the format needs is not installed, or `out` cannot be written.
    """
    if photo is not None and format != "focus-stack":
        raise MacrosplatError(f"--photo belongs to --format focus-stack; leave it out for {format}.")
    out = _named(run, format, out)
    _check_place(out, format)
    from macrosplat.run import Run

    # A folder that is no run, or has no scene, is told so before what the format needs is asked for.
    if format == "zip":
        _ = Run(run).manifest
    else:
        Run(run).check_scene()
    if out.resolve() in [one.resolve() for one in (Run(run).scene, Run(run).coverage_scene)]:
        raise MacrosplatError(f"{out} is the run's own, from which others are made; choose another --out.")
    if format == "mesh" and out.suffix.lower() == ".obj" and shape is not None and shape.texture:
        no_strangers_beside(out, (".mtl", ".jpg"))
    # Each is imported where it is wanted: a small scene is written sooner than all of them are loaded.
    match format:
        case "colmap":
            from macrosplat.export.cameras import write_colmap_folder

            write_colmap_folder(run, out)
        case "nerfstudio":
            from macrosplat.export.cameras import write_nerfstudio_folder

            write_nerfstudio_folder(run, out)
        case "mesh":
            from macrosplat.export.mesh import write_mesh

            write_mesh(run, out, shape or Shape(), shown)
        case "video":
            from macrosplat.export.video import size_of, write_video

            film = film or Film()
            if not 0.1 <= film.seconds <= 3600:
                raise MacrosplatError(f"--seconds is {film.seconds:g}; it has to be 0.1 to 3600.")
            write_video(run, out, film.seconds, size_of(film.size), film.way, shown)
        case "focus-stack":
            from macrosplat.export.focus_stack import write_focus_stack

            write_focus_stack(run, out, photo, shown=shown)
        case "zip":
            from macrosplat.export.share import write_zip

            write_zip(run, out)
        case _:
            _write_scene(run, format, out, mm)
    return out


def _write_scene(run: Path, format: Format, out: Path, mm: bool) -> None:
    """Formats that hold the Gaussians."""
    from macrosplat.output.lens_report import read_lens
    from macrosplat.run import Run
    from macrosplat.scene.formats.read import read_own

    scene, report = read_own(Run(run).scene), read_lens(Run(run))
    unit = report.mm_per_unit if report is not None else None
    if mm and unit is None:
        raise MacrosplatError(f"Nothing says how long a scene unit of {run} is; reconstruct with --scale-mm for mm.")
    if mm and unit is not None and format != "points":
        scene = scene.with_(means=unit * scene.means, log_scales=scene.log_scales + math.log(unit))
    if format in ("splat", "points"):
        from macrosplat.export.flat import flattened

        scene = flattened(scene, Run(run).cameras().centres * (unit if mm and unit and format != "points" else 1.0))
    match format:
        case "points":
            from macrosplat.export.points import write_surface_points

            write_surface_points(out, scene.as_tensors(), Run(run).cameras(), unit or 1.0)
        case "ply":
            from macrosplat.scene.formats.ply import write_ply

            write_ply(out, scene)
        case "compressed-ply":
            from macrosplat.scene.formats.compressed import write_compressed

            write_compressed(out, scene)
        case "spz":
            from macrosplat.scene.formats.spz import write_spz

            write_spz(out, scene)
        case "sog":
            from macrosplat.scene.formats.sog import write_sog

            write_sog(out, scene)
        case "splat":
            from macrosplat.scene.formats.splat import write_splat

            write_splat(out, scene)
        case "gltf":
            from macrosplat.cameras.vertical import vertical
            from macrosplat.export.gltf import write_gltf

            write_gltf(out, scene, vertical(Run(run).cameras().views).tolist())


def _named(run: Path, format: Format, out: Path | None) -> Path:
    """A folder that was meant as one gets the file's usual name in it."""
    if out is None:
        return run / NAMES[format]
    return out / NAMES[format] if format in SUFFIXES and out.is_dir() else out


def _check_place(out: Path, format: Format) -> None:
    """Check that what will be written is not taken for something else, before the work begins.

    Raises:
        MacrosplatError: another suffix than the format has, or a folder that is a file, or the other way round.
    """
    with written(out):
        if format not in SUFFIXES:
            return  # a folder, which whoever writes it looks into
        if out.suffix.lower() not in SUFFIXES[format]:
            wanted = " or ".join(SUFFIXES[format])
            raise MacrosplatError(f"`{format}` is written as {wanted}, not as {out}; give --out that suffix.")
        if out.is_dir():
            raise MacrosplatError(f"{out} is a folder; give --out the name of a file.")
