"""The options of a reconstruction: every default, and the text that `macrosplat reconstruct --help` shows, stand here.

In: what the user chose, checked on construction. Out: one frozen record, which the pipeline reads and `config.json`
keeps. No torch: the command line has to answer before torch has loaded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Annotated, Any, Literal

from tyro.conf import arg

from macrosplat.options.baselines import Blurnet, Covariance, Deblur, Focus
from macrosplat.options.thin import Thin
from macrosplat.support.errors import MacrosplatError

Lens = Literal[
    "thin", "plain", "focus", "covariance", "blurnet"
]  # the lens models by name; the registry of the lens room has exactly these
Quality = Literal["draft", "standard", "high"]
Device = Literal["auto", "cpu", "cuda"]
SharpFormat = Literal["png", "tiff"]
Detail = Literal["off", "own"]

APERTURE_SAMPLES = {"draft": "4", "standard": "8", "high": "8"}  # by quality
BY_QUALITY = "(default: by --quality)"


@dataclass(frozen=True)
class Options:
    lens: Lens = "thin"
    """How the camera is modelled.
    `thin`: a thin lens whose aperture and focus are learned, so that the scene comes out sharp.
    The others are for comparison. `plain`: a pinhole, which takes the photos as they are and keeps their blur.
    `focus`: the same, looking mostly where a photo is sharp. `covariance`: every Gaussian grows with the view.
    `blurnet`: networks guess how blurred each pixel is."""

    quality: Quality = "standard"
    """How much time to spend: it sets the number of steps and of Gaussians. Try `draft` first on a new capture."""

    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint=BY_QUALITY)] = None
    """Training steps. One step compares one photo."""

    width: Annotated[int | None, arg(metavar="PX", help_behavior_hint="(default: that of the photos)")] = None
    """Train on photos brought to this width. Half the width is a quarter of the pixels."""

    max_gaussians: Annotated[int | None, arg(metavar="N", help_behavior_hint=BY_QUALITY)] = None
    """The most Gaussians that the scene may have. Memory and the time of a step grow with it."""

    device: Device = "auto"
    """Where to compute. `auto` takes a CUDA GPU if there is one that this version can use, else the CPU."""

    seed: Annotated[int, arg(metavar="S")] = 0
    """Of the random numbers. The same seed on the same machine gives the same bits."""

    masks: Literal["auto", "off"] = "auto"
    """`auto` uses the masks of the capture (white = object) where there are any; `off` leaves them aside."""

    deblur_first: Annotated[str, arg(metavar="HOW")] = "none"
    """Deblur the photos one by one before anything is learned from them: `none`, `richardson-lucy`, `restormer` (with
    --deblur.weights), a FOLDER of deblurred photos of the same names, or a "COMMAND {in} {out}" that makes one; or
    `stack`: join the slices of each focus bracket, pixel by pixel the sharpest."""

    brackets: Literal["auto", "off"] = "auto"
    """`auto` recognises focus brackets, whose slices share one camera (stem_0, stem_1, ...; a folder per pose; equal
    cameras; brackets.json); `off` takes each photo for a view of its own."""

    hold_out: Annotated[int, arg(metavar="N")] = 0
    """Keep every N-th photo out of training, to see how well views come out that were never learned; 0: none."""

    scale_mm: Annotated[str | None, arg(metavar="MM", help_behavior_hint="(default: from EXIF, if it can tell)")] = None
    """How long a scene unit is, in mm: a number (1 for cameras that were given in mm), or two photos and the
    millimetres between their cameras: first.jpg:second.jpg=40."""

    detail: Detail = "own"
    """Where the fine detail of the sharp photos comes from, which have the size of the photos. `own`: from the scene,
    and from the photo itself as far as it is in focus. `off`: from the scene alone."""

    sharp_format: SharpFormat = "png"
    """The sharp photos as PNG of 8 or TIFF of 16 bits a channel; either keeps the photo's EXIF and colour profile."""

    thin: Thin = field(default_factory=Thin)
    blurnet: Blurnet = field(default_factory=Blurnet)
    focus: Focus = field(default_factory=Focus)
    covariance: Covariance = field(default_factory=Covariance)
    deblur: Deblur = field(default_factory=Deblur)

    def lens_settings(self) -> dict[str, Any]:
        """The options of the lens model that was chosen, by name."""
        own = getattr(self, self.lens, None)
        chosen = asdict(own) if is_dataclass(own) and not isinstance(own, type) else {}
        if chosen.get("aperture_samples") == "auto":
            chosen["aperture_samples"] = APERTURE_SAMPLES[self.quality]
        return chosen

    def aperture_samples(self) -> int:
        """From how many aperture samples a photo is rendered at the most."""
        return int(self.lens_settings().get("aperture_samples", "1"))

    def __post_init__(self) -> None:
        least = {"steps": 1, "width": 16, "max_gaussians": 100, "seed": 0, "hold_out": 0}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise MacrosplatError(f"--{name.replace('_', '-')} is {value}; it has to be at least {minimum}.")
        most = {"steps": 10**8, "width": 10**6, "max_gaussians": 10**9, "seed": 2**63 - 1}
        for name, maximum in most.items():
            value = getattr(self, name)
            if value is not None and value > maximum:
                raise MacrosplatError(f"--{name.replace('_', '-')} is {value}; it has to be at most {maximum}.")
        if self.hold_out == 1:
            raise MacrosplatError("--hold-out 1 would keep every photo out of training; use 2 or more, or 0 for none.")
