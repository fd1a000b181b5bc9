"""The commands that show and pass on what a run made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from macrosplat.export import Format
from macrosplat.options import Device
from macrosplat.support.errors import MacrosplatError

if TYPE_CHECKING:
    from macrosplat.support.progress import Face


@dataclass(frozen=True)
class Render:
    """Draw sharp views of a reconstructed scene from any cameras."""

    run_folder: Annotated[Positional[Path], arg(name="run", metavar="RUN")]
    """What `macrosplat reconstruct` wrote."""

    cameras: Annotated[Path, arg(metavar="FILE.json")]
    """The cameras, laid out like transforms.json and in the coordinates of RUN/transforms.json.
    A view is named after its `file_path`."""

    out: Annotated[Path, arg(metavar="DIR")]
    """The folder to write the views to, as PNG."""

    device: Device = "auto"
    """Where to draw."""

    def run(self) -> None:
        from macrosplat import loaded
        from macrosplat.support.dispatch import choose

        written = loaded.render_cameras(self.run_folder, self.cameras, self.out, choose(self.device))
        print(f"{len(written)} views in {self.out}")


@dataclass(frozen=True)
class Export:
    """Write a reconstructed scene for other programs.

    - ply, compressed-ply, spz, sog, splat, gltf: the Gaussians, for viewers
    - colmap, nerfstudio: the cameras with the sharp photos, for other programs to go on with
    - points: a cloud of all points of the surface, with normals (PLY), in mm where the scale is known
    - mesh: a triangle mesh of the object with colours, in mm where known (PLY; GLB, OBJ, STL, USDZ by --out)
    - video: a sharp film round the object, or the focus going through it (MP4)
    - focus-stack: one photo's view, focused from near to far in 12 pictures, and all in focus
    - zip: the page, the sharp photos, scene, lens and cameras, to pass on
    """

    run_folder: Annotated[Positional[Path], arg(name="run", metavar="RUN")]
    """What `macrosplat reconstruct` wrote."""

    format: Format
    """What to write."""

    out: Annotated[Path | None, arg(metavar="PATH")] = None
    """The file or folder to write to; by default one in RUN."""

    photo: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the first)")] = None
    """The photo whose view a focus stack shows."""

    seconds: Annotated[float, arg(metavar="S")] = 8.0
    """Of a video."""

    size: Annotated[str, arg(metavar="WxH")] = "1080p"
    """Of a video: 1080p, 720p, 4k, or width x height in px."""

    path: Literal["orbit", "turntable", "focus-pull"] = "orbit"
    """Of a video: as far round as the photos go; once round; or from one place, with the focus going through."""

    whole: FlagCreatePairsOff[bool] = False
    """A mesh of all that the photos show, not of the object alone."""

    watertight: FlagCreatePairsOff[bool] = False
    """Close a mesh where no photo looked: for printing, and for volumes."""

    texture: FlagCreatePairsOff[bool] = False
    """Colours of a mesh as a picture, as fine as the sharp photos (GLB, OBJ; USDZ has one in any case)."""

    tolerance: Annotated[float | None, arg(metavar="MM", help_behavior_hint="(default: half a voxel)")] = None
    """By how much the triangles of a mesh may be off: fewer of them, or all with 0."""

    mm: FlagCreatePairsOff[bool] = False
    """Write the Gaussians in millimetres, too, not in scene units."""

    json: FlagCreatePairsOff[bool] = False
    """For a script: what happens, one JSON object per line, on stdout."""

    def run(self) -> None:
        from macrosplat.export import Film, Shape, export

        film = Film(self.seconds, self.size, self.path)
        shape = Shape(self.whole, self.watertight, self.texture, self.tolerance)

        def work(shown: Sequence[Face] = ()) -> Path:
            return export(self.run_folder, self.format, self.out, self.photo, film, shape, self.mm, shown)

        if not self.json:
            print(work())
            return
        from macrosplat.support.events import Events, alone_on_stdout

        with alone_on_stdout() as stdout, Events(stdout) as events:
            events.say("done", path=str(work((events,))))


@dataclass(frozen=True)
class View:
    """Show a run, or a scene of any program (.ply, .spz, .sog, .splat), in the browser of this machine."""

    path: Annotated[Positional[Path], arg(metavar="RUN")]
    """What `macrosplat reconstruct` wrote, or a scene file."""

    port: Annotated[int, arg(metavar="N")] = 0
    """The port on 127.0.0.1; 0 takes a free one."""

    def run(self) -> None:
        from macrosplat.web.serve import view

        if not self.path.exists():
            raise MacrosplatError(
                f"{self.path} does not exist; give a run, or a scene file (.ply, .spz, .sog, .splat)."
            )
        view(self.path, self.port)
