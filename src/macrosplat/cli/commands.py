"""The commands that make a run and what goes with it, each a record whose texts are the help, and the list of all.

The library is imported inside the commands: `--help` must not wait for torch.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, arg, subcommand

from macrosplat.cli.collection import Batch
from macrosplat.cli.measuring import Bench, Compare, Evaluate
from macrosplat.cli.results import Export, Render, View
from macrosplat.options import Device, Options
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.gpus import gpus
from macrosplat.support.ranks import is_follower, is_rank


def _port(words: list[str]) -> int:
    """`--live` alone, or with a port."""
    port = words[0] if words else "8080"
    if len(words) > 1 or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"takes one port, 0 to 65535, not {' '.join(words)}; CAPTURE goes before it")
    return int(port)


LIVE = tyro.constructors.PrimitiveConstructorSpec(
    nargs="*",
    metavar="[PORT]",
    instance_from_str=_port,
    is_instance=lambda value: value is None or isinstance(value, int),
    str_from_instance=lambda value: [str(value)],
)


@dataclass(frozen=True)
class Reconstruct:
    """Make sharp photos and a sharp 3D scene of a folder of blurred photos.

    In RUN then:
    - index.html: all of it to look at, offline; scene.ply: the Gaussian splats, for any 3DGS viewer
    - sharp/: every photo, deblurred; maps/: their depth, circle of confusion and coverage
    - lens.json, transforms.json, coverage.json: aperture and focus, cameras, where to focus next

    Slices of a single pose become one all-in-focus picture and a depth map.
    Ctrl-C loses nothing: `macrosplat continue RUN` goes on. Twice, it writes the results of what there is.
    """

    capture: Annotated[Positional[Path], arg(metavar="CAPTURE")]
    """Photos, perhaps with masks/ and cameras (transforms.json, COLMAP)."""

    out: Annotated[Path, arg(metavar="RUN")]
    """The folder to write to: new, empty, or one to --resume."""

    options: Annotated[Options, arg(name="")] = field(default_factory=Options)

    resume: FlagCreatePairsOff[bool] = False
    """Go on with an interrupted run; --resume RUN alone does, too."""

    finish: FlagCreatePairsOff[bool] = False
    """Stopped (Ctrl-C, kill), write the results of what there is."""

    cameras_from: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="(default: none)")] = None
    """A fixed rig: begin with the cameras and lens of this run."""

    devices: Annotated[int, arg(metavar="N")] = 1
    """Train on so many GPUs of this machine, a photo a step on each."""

    live: Annotated[int | None, LIVE] = None
    """Show the training on a local page; pip install 'macrosplat[live]'."""

    preview: FlagCreatePairsOff[bool] = False
    """Show the training in RUN/preview.jpg."""

    json: FlagCreatePairsOff[bool] = False
    """For a script: what happens, one JSON object per line, on stdout."""

    def run(self) -> None:
        if _by_ranks(self.devices, self.options.device, self.json):
            return
        if is_follower():
            from macrosplat import pipeline

            pipeline.follow(self.out, self.capture, self.options.device)
            return
        with _ahead(self) as ahead:
            from macrosplat import pipeline

            _told(
                self.out,
                self.json,
                lambda **shown: pipeline.reconstruct(
                    self.capture,
                    self.out,
                    self.options,
                    self.resume,
                    cameras_from=self.cameras_from,
                    live=self.live,
                    results=self.finish,
                    preview=self.preview,
                    ahead=ahead,
                    **shown,
                ),
            )


def _ahead(command: Reconstruct) -> contextlib.AbstractContextManager[Any]:
    """What can be done of it while the libraries are loaded."""
    if command.resume or command.cameras_from is not None:
        return contextlib.nullcontext()
    from macrosplat.capture.ahead import Ahead

    return Ahead(command.capture, command.options.masks != "off", command.options.brackets == "auto")


def _by_ranks(devices: int, device: Device | None, json: bool) -> bool:
    """Do what the command line says in so many processes, unless this is one of them or one is enough."""
    if devices < 1:
        raise MacrosplatError(f"--devices is {devices}; it has to be at least 1.")
    if devices == 1 or is_rank():
        return False
    from macrosplat.support.events import Events
    from macrosplat.support.ranks import together

    with Events(sys.stdout) if json else contextlib.nullcontext():
        code = together(sys.argv[1:], devices, device == "cuda" or (device != "cpu" and bool(gpus())))
    if code:
        raise SystemExit(code)
    return True


def _told(out: Path, json: bool, work: Callable[..., object]) -> None:
    """Do it, and say what came of it: to people, or to a script."""
    if not json:
        print(work())
        return
    from macrosplat.support.events import Events, alone_on_stdout, numbers

    with alone_on_stdout() as stdout, Events(stdout) as events:
        summary = work(shown=(events,))
        events.say("done", run=str(out), **numbers(summary))


@dataclass(frozen=True)
class Continue:
    """Go on with a run: one that was interrupted, to the same result; or train a finished one longer.

    Its photos and options are those that it was begun with.
    """

    run_folder: Annotated[Positional[Path], arg(name="run", metavar="RUN")]
    """What `macrosplat reconstruct` began."""

    steps: Annotated[str | None, arg(metavar="N", help_behavior_hint="(default: as planned)")] = None
    """+2000: so many steps more; 5000: so many in all; +0: none, the results of what there is."""

    device: Annotated[Device | None, arg(help_behavior_hint="(default: as before)")] = None
    """Where to compute now."""

    live: Annotated[int | None, LIVE] = None
    """Show the training on a local page."""

    preview: FlagCreatePairsOff[bool] = False
    """Show the training in RUN/preview.jpg."""

    json: FlagCreatePairsOff[bool] = False
    """For a script: what happens, one JSON object per line, on stdout."""

    finish: FlagCreatePairsOff[bool] = False
    """Stopped (Ctrl-C, kill), write the results of what there is."""

    devices: Annotated[int, arg(metavar="N")] = 1
    """As of `reconstruct`; another number than before will do."""

    def run(self) -> None:
        if self.steps != "+0" and _by_ranks(self.devices, self.device, self.json):
            return
        from macrosplat import pipeline

        if is_follower():
            pipeline.follow(self.run_folder, device=self.device)
            return
        _told(
            self.run_folder,
            self.json,
            lambda **shown: pipeline.go_on(
                self.run_folder, self.steps, self.device, self.live, results=self.finish, preview=self.preview, **shown
            ),
        )


@dataclass(frozen=True)
class List:
    """List the runs in a folder: photos, steps, time, fit, and where their pages are."""

    folder: Annotated[Positional[Path], arg(metavar="[DIR]")] = Path(".")
    """The folder; two levels of it are looked through."""

    def run(self) -> None:
        from macrosplat.output.listing import list_runs

        print(list_runs(self.folder))


@dataclass(frozen=True)
class Studio:
    """Work in the browser: drop photos, see what is sharp in them, choose a quality, watch, open the result.

    The page is served to this machine alone, and runs are those that `macrosplat reconstruct` makes.
    """

    folder: Annotated[Positional[Path], arg(metavar="[DIR]")] = Path("macrosplat-studio")
    """Where captures and runs are kept."""

    port: Annotated[int, arg(metavar="N")] = 0
    """The port on 127.0.0.1; 0 takes a free one."""

    browser: bool = True
    """Open the browser."""

    def run(self) -> None:
        from macrosplat.studio import studio

        studio(self.folder, self.port, self.browser)


@dataclass(frozen=True)
class Targets:
    """Draw a sheet of coded targets, to print and lay around an object.

    Photos that show them have a scale (`reconstruct --targets SHEET.json`), and points in common where the object
    itself has none. Needs: pip install 'macrosplat[targets]'.
    """

    out: Annotated[Path, arg(metavar="SHEET.pdf")] = Path("targets.pdf")
    """The page to write; their sizes go to SHEET.json beside it."""

    tag_mm: Annotated[float, arg(metavar="MM")] = 5.0
    """Side of the black squares: 60 px or more in a photo are read well."""

    count: Annotated[int, arg(metavar="N")] = 48
    """How many; as many as the page takes at the most."""

    first: Annotated[int, arg(metavar="N")] = 0
    """The number of the first."""

    family: Annotated[str, arg(metavar="NAME")] = "APRILTAG_36h11"
    """Or another one of OpenCV's: 4X4_50, 5X5_100, APRILTAG_25h9, ..."""

    paper: Literal["a4", "letter"] = "a4"
    """Of the page."""

    def run(self) -> None:
        from macrosplat.photos.target_sheet import write_sheet

        sheet = write_sheet(self.out, self.tag_mm, self.count, self.first, self.family, self.paper)
        print(
            f"{sheet.count} targets of {sheet.side_mm:.3f} mm in {self.out}: print it at 100 %, measure its ruler, and "
            f"give reconstruct --targets {sheet.sizes}."
        )


@dataclass(frozen=True)
class Demo:
    """Reconstruct the 30 blurred photos of a fruit fly that come with the package.

    From the photos alone. Interrupted, it goes on when called again.
    """

    out: Annotated[Path, arg(metavar="RUN")] = Path("macrosplat-demo")
    """The folder to write to."""

    device: Device = "auto"
    """Where to compute."""

    def run(self) -> None:
        from macrosplat import demo, pipeline

        begun = self.out.is_dir() and any(self.out.iterdir())
        print(pipeline.reconstruct(demo.FOLDER, self.out, demo.options(self.device), begun))


Command = (
    Annotated[Reconstruct, subcommand("reconstruct")]
    | Annotated[Continue, subcommand("continue")]
    | Annotated[List, subcommand("list")]
    | Annotated[Render, subcommand("render")]
    | Annotated[Export, subcommand("export")]
    | Annotated[View, subcommand("view")]
    | Annotated[Studio, subcommand("studio")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Batch, subcommand("batch")]
    | Annotated[Bench, subcommand("bench")]
    | Annotated[Targets, subcommand("targets")]
    | Annotated[Demo, subcommand("demo")]
)


COMMANDS: dict[str, type] = {
    "reconstruct": Reconstruct,
    "continue": Continue,
    "list": List,
    "render": Render,
    "export": Export,
    "view": View,
    "studio": Studio,
    "evaluate": Evaluate,
    "compare": Compare,
    "batch": Batch,
    "bench": Bench,
    "targets": Targets,
    "demo": Demo,
}
