"""Export: a finished run for other programs, and scenes of other programs read.

In: RUN, a format's name. Out: a file or a folder. Splat formats hold scene.ply's colours (sRGB) and coordinates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import written

Format = Literal["ply", "spz", "splat", "gltf", "points", "colmap", "nerfstudio", "mesh", "video", "focus-stack"]
# What is written if no --out is given, below RUN.
NAMES: dict[Format, str] = {
    **{"ply": "export.ply", "spz": "scene.spz", "splat": "scene.splat", "gltf": "scene.glb", "points": "points.ply"},
    **{"colmap": "colmap", "nerfstudio": "nerfstudio"},
    **{"mesh": "mesh.ply", "video": "orbit.mp4", "focus-stack": "focus_stack"},
}
# What a file of the format is called; formats that are missing here are folders.
SUFFIXES: dict[Format, tuple[str, ...]] = {
    **{"ply": (".ply",), "spz": (".spz",), "splat": (".splat",), "gltf": (".glb",), "points": (".ply",)},
    **{"mesh": (".ply", ".glb"), "video": (".mp4",)},
}


def export(run: Path, format: Format, out: Path | None = None, photo: str | None = None) -> Path:
    """Write RUN in another format; where it was written.

    Args:
        photo: whose view a focus stack is of; None: the first photo's. Other formats have no use for it.

    Raises:
        MacrosplatError: RUN is not finished, what the format needs is not installed, or `out` cannot be written.
    """
    from macrosplat.export import cameras, focus_stack, gltf, mesh, points, video
    from macrosplat.export.flat import flattened
    from macrosplat.run import Run
    from macrosplat.scene.formats import splat, spz
    from macrosplat.scene.formats.ply import write_ply
    from macrosplat.scene.formats.read import read_own

    if photo is not None and format != "focus-stack":
        raise MacrosplatError(f"--photo belongs to --format focus-stack; leave it out for {format}.")
    out = out or run / NAMES[format]
    _check_place(out, format)
    of_scene = {
        **{"ply": write_ply, "spz": spz.write_spz, "splat": splat.write_splat, "gltf": gltf.write_gltf},
        "points": points.write_scene_points,
    }
    of_run = {
        **{"colmap": cameras.write_colmap_folder, "nerfstudio": cameras.write_nerfstudio_folder},
        **{"mesh": mesh.write_mesh, "video": video.write_video},
    }
    if format == "focus-stack":
        focus_stack.write_focus_stack(run, out, photo)
    elif format in of_run:
        of_run[format](run, out)
    else:
        scene = read_own(Run(run).scene)
        if format in ("splat", "points"):
            scene = flattened(scene, Run(run).cameras().centres)
        of_scene[format](out, scene)
    return out


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
