"""The commands that measure: a run against the truth, methods side by side, this machine; as `commands`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from macrosplat.options import Device, Options, Quality
from macrosplat.support.errors import MacrosplatError


@dataclass(frozen=True)
class Evaluate:
    """Compare a run with the truth, where it is known.

    PSNR, SSIM and FLIP, on the whole frame and on masks/, of
    - the deblurred photos against sharp/ of the truth
    - renders from the cameras of novel.json against novel/
    - the photos as they were taken against sharp/, for comparison

    Aperture and focus are compared with truth.json.
    The table is also written to RUN/evaluation.json.
    """

    run_folder: Annotated[Positional[Path], arg(name="run", metavar="RUN")]
    """What `macrosplat reconstruct` wrote."""

    truth: Annotated[Path, arg(metavar="CAPTURE")]
    """A folder that holds sharp/ and, if known, novel.json with novel/, masks/ and truth.json."""

    lpips: Annotated[tuple[Path, ...], arg(metavar="FILE")] = ()
    """Add LPIPS: torchvision's weights of AlexNet and the linear layers that LPIPS has for it (one file or two)."""

    device: Device = "auto"
    """Where to draw."""

    def run(self) -> None:
        from macrosplat import loaded
        from macrosplat.support.dispatch import choose

        more = {}
        if self.lpips:
            from macrosplat.evaluate.lpips import load_lpips

            more["lpips"] = load_lpips(self.lpips)
        print(loaded.evaluate(self.run_folder, self.truth, choose(self.device), **more))


@dataclass(frozen=True)
class Compare:
    """Run several methods on captures whose truth is known, and compare them in tables and pictures.

    A method is [DEBLUR+]LENS[:OPTION=VALUE,...], for example
    - thin, plain, focus, covariance, blurnet
    - richardson-lucy+plain, FOLDER+plain (deblurred photos), "COMMAND {in} {out}+plain"
    - restormer+plain:deblur.weights=FILE
    - blurnet:depth=raw, blurnet:light=srgb,stages=one, covariance:most=3

    DEBLUR is what --deblur-first of `reconstruct` takes; an OPTION is the lens model's own (depth of blurnet:
    --blurnet.depth) or any other of `reconstruct`.

    In DIR then:
    - comparison.md, comparison.csv: the figures, mean and spread over seeds
    - comparison.png: details beside the truth, of the median and the worst view
    - CAPTURE/METHOD/SEED/: the runs

    Every cell is run once: the same command goes on where it stopped, and more methods or seeds only add cells.
    """

    captures: Annotated[Positional[tuple[Path, ...]], arg(metavar="CAPTURE")]
    """Folders as `reconstruct` takes them that hold the truth, too (see `evaluate`)."""

    out: Annotated[Path, arg(metavar="DIR")]
    """The folder to write to."""

    methods: Annotated[tuple[str, ...], arg(metavar="METHOD")] = ("plain", "thin")
    """What to compare."""

    seeds: Annotated[tuple[int, ...], arg(metavar="S")] = (0,)
    """Each method is run with each of them."""

    width: Annotated[int | None, arg(metavar="PX", help_behavior_hint="(default: by the machine)")] = None
    """As of `reconstruct`, and so are the next four."""
    quality: Quality = "standard"
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: by --quality)")] = None
    max_gaussians: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: by --quality)")] = None
    device: Device = "auto"

    masks: Literal["auto", "off"] = "off"
    """The masks of a capture are taken for a part of its truth; `auto` learns with them."""

    jobs: Annotated[int, arg(metavar="N")] = 1
    """Cells at the same time, each in a process of its own. They share the GPU and the cores: then their times are
    not those of a run that has the machine for itself."""

    lpips: Annotated[tuple[Path, ...], arg(metavar="FILE")] = ()
    """As of `evaluate`."""

    collect: FlagCreatePairsOff[bool] = False
    """Run nothing: write tables and figure of the cells that are finished."""

    def run(self) -> None:
        from macrosplat.compare import compare

        if self.jobs < 1:
            raise MacrosplatError(f"--jobs is {self.jobs}; it has to be at least 1.")
        base = Options(
            quality=self.quality,
            steps=self.steps,
            width=self.width,
            max_gaussians=self.max_gaussians,
            device=self.device,
            masks=self.masks,
        )
        grid = self.captures, self.methods, self.seeds, self.out, base
        print(compare(*grid, self.jobs, self.collect, self.lpips, sys.argv[1:]))


@dataclass(frozen=True)
class Bench:
    """Measure this machine: milliseconds of every stage of a step, and how far above its floor each is."""

    device: Device = "auto"
    """Where to compute."""
    scaling: bool = False
    """From 20,000 Gaussians at 400 x 300 to a million at 4000 x 3000 (for GPUs), instead of the usual two sizes."""
    profile: Path | None = None
    """Write a Chrome trace of 20 steps to this file, too."""
    figures: Path | None = None
    """Write the milliseconds to this JSON file, too."""
    end_to_end: FlagCreatePairsOff[bool] = False
    """Instead: seconds of every stage of a whole run, from the photos of the demo to its page."""

    def run(self) -> None:
        from macrosplat import bench

        bench.main(self.device, self.scaling, self.profile, self.figures, self.end_to_end)
