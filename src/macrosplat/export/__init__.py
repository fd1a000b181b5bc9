"""Export: a finished run for other programs, and scenes of other programs read.

In: RUN, a format's name. Out: a file or a folder. Splat formats hold scene.ply's colours (sRGB) and coordinates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Format = Literal["ply", "spz", "splat", "gltf", "colmap", "nerfstudio", "points"]
# What is written if no --out is given, below RUN.
NAMES: dict[Format, str] = {
    **{"ply": "export.ply", "spz": "scene.spz", "splat": "scene.splat", "gltf": "scene.glb", "colmap": "colmap"},
    **{"nerfstudio": "nerfstudio", "points": "points.ply"},
}


def export(run: Path, format: Format, out: Path | None = None) -> Path:
    """Write RUN in another format; where it was written.

    Raises:
        MacrosplatError: RUN is not finished, or `out` cannot be written.
    """
    from macrosplat.export import cameras, gltf, points, splat, spz
    from macrosplat.output.ply import read_ply, write_ply

    out = out or run / NAMES[format]
    if format == "colmap":
        cameras.write_colmap_folder(run, out)
    elif format == "nerfstudio":
        cameras.write_nerfstudio_folder(run, out)
    else:
        writers = {
            **{"ply": write_ply, "spz": spz.write_spz, "splat": splat.write_splat, "gltf": gltf.write_gltf},
            "points": points.write_scene_points,
        }
        writers[format](out, read_ply(run / "scene.ply"))
    return out
