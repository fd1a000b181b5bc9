"""The options in two helps: what a photographer needs first, and those of the methods to compare with apart.

Both are `Options` with fields left out; what is left out can be given all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import Suppress, arg

from macrosplat.options.baselines import Blurnet, Covariance, Deblur, Focus
from macrosplat.options.options import WIDTH, Device, Lens, Options, Quality, SharpFormat
from macrosplat.options.thin import Thin


@dataclass(frozen=True)
class Photographers(Options):
    """What `reconstruct --help` shows."""

    thin: Annotated[Thin, arg(help="")] = field(default_factory=Thin)  # its title says it; two lines less
    blurnet: Suppress[Blurnet] = field(default_factory=Blurnet)
    focus: Suppress[Focus] = field(default_factory=Focus)
    covariance: Suppress[Covariance] = field(default_factory=Covariance)
    deblur: Suppress[Deblur] = field(default_factory=Deblur)


@dataclass(frozen=True)
class Baselines(Options):
    """Options of the methods to compare with, for `reconstruct`; `compare` takes them within the name of a method.

    Where a default comes from: [paper] is the model's own paper, [ours] our choice where that is silent.
    """

    lens: Lens = "thin"
    """`plain`: a pinhole, which keeps the photos' blur. `focus`: the same, looking mostly where a photo is sharp.
    `covariance`: every Gaussian grows with the view. `blurnet`: networks guess how blurred each pixel is."""

    deblur_first: Annotated[str, arg(metavar="HOW")] = "none"
    """Deblur the photos one by one before anything is learned from them: `none`, `richardson-lucy`, `restormer` (with
    --deblur.weights), a FOLDER of deblurred photos of the same names, or a "COMMAND {in} {out}" that makes one; or
    `stack`: join the slices of each focus bracket, pixel by pixel the sharpest."""

    quality: Suppress[Quality] = "standard"
    steps: Suppress[Annotated[int | None, arg(metavar="N")]] = None
    width: Suppress[Annotated[int | None, WIDTH]] = None
    max_gaussians: Suppress[Annotated[int | None, arg(metavar="N")]] = None
    device: Suppress[Device] = "auto"
    seed: Suppress[int] = 0
    masks: Suppress[Literal["auto", "files", "off"]] = "auto"
    place: Suppress[Literal["auto", "all", "off"]] = "auto"
    brackets: Suppress[Literal["auto", "off"]] = "auto"
    hold_out: Suppress[int] = 0
    scale_mm: Suppress[Annotated[str | None, arg(metavar="MM")]] = None
    targets: Suppress[Annotated[str | None, arg(metavar="T")]] = None
    sharp_format: Suppress[SharpFormat] = "png"
    thin: Suppress[Thin] = field(default_factory=Thin)
