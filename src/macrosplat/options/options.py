"""The options of a reconstruction: every default, and the text that `macrosplat reconstruct --help` shows, stand here.

In: what the user chose, checked on construction. Out: one frozen record, which the pipeline reads and `config.json`
keeps. No torch: the command line has to answer before torch has loaded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, get_args

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

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

APERTURE_SAMPLES = {"draft": "4", "standard": "8", "high": "16"}  # by quality
BY_QUALITY = "(default: by --quality)"


def _width(words: list[str]) -> int | None:
    try:
        return None if words[0] == "auto" else int(words[0])
    except ValueError as error:
        raise ValueError(f"{words[0]} is neither `auto` nor a number of px.") from error


# A number of px, or `auto`, which is None.
WIDTH = PrimitiveConstructorSpec[int | None](
    nargs=1,
    metavar="PX",
    instance_from_str=_width,
    is_instance=lambda value: value is None or isinstance(value, int),
    str_from_instance=lambda value: ["auto" if value is None else str(value)],
)


@dataclass(frozen=True)
class Options:
    quality: Annotated[Quality, arg(metavar="LEVEL")] = "standard"
    """`draft` (try it first), `standard`, `high`: time to spend."""

    width: Annotated[int | None, WIDTH, arg(metavar="PX", help_behavior_hint="(default: auto, by the machine)")] = None
    """Train at this width; sharp photos keep their size."""

    masks: Annotated[Literal["auto", "files", "off"], arg(metavar="M")] = "auto"
    """`auto`: the capture's, or made (plain backdrop); `files`; `off`."""

    place: Annotated[Literal["auto", "all", "off"], arg(metavar="P")] = "auto"
    """Placed by the scene: `auto`: photos SfM loses; `all`: any; `off`."""

    brackets: Annotated[Literal["auto", "off"], arg(metavar="B")] = "auto"
    """`auto` recognises focus brackets; `off`: each photo by itself."""

    scale_mm: Annotated[str | None, arg(metavar="L", help_behavior_hint="(default: from EXIF)")] = None
    """Of a unit, or a.jpg:b.jpg=40, or a.jpg:x,y-x,y=5."""

    targets: Annotated[str | None, arg(metavar="T", help_behavior_hint="(default: none)")] = None
    """Coded targets: their side in mm, or a JSON file of sizes."""

    detail: Annotated[Detail, arg(metavar="D")] = "own"
    """Finest detail: the scene's and the photos' `own`, or `off`."""

    sharp_format: Annotated[SharpFormat, arg(metavar="F")] = "png"
    """`png` (8 bit) or `tiff` (16 bit), with EXIF and profile."""

    lens: Annotated[Lens, arg(metavar="M")] = "thin"
    """A thin lens, its numbers learned (others: --help-baselines)."""

    deblur_first: Annotated[str, arg(metavar="HOW")] = "none"
    """Deblur each photo by itself first (methods: --help-baselines)."""

    hold_out: Annotated[int, arg(metavar="N")] = 0
    """Hold out every N-th photo, to judge new views by; 0: none."""

    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint=BY_QUALITY)] = None
    """Training steps. One step compares one photo."""

    max_gaussians: Annotated[int | None, arg(metavar="N", help_behavior_hint=BY_QUALITY)] = None
    """At the most: memory and time grow with them."""

    device: Annotated[Device, arg(metavar="D")] = "auto"
    """`auto` (a CUDA GPU if there is one), `cpu` or `cuda`."""

    seed: Annotated[int, arg(metavar="S")] = 0
    """Of the random numbers: the same seed gives the same bits."""

    thin: Thin = field(default_factory=Thin)
    blurnet: Blurnet = field(default_factory=Blurnet)
    focus: Focus = field(default_factory=Focus)
    covariance: Covariance = field(default_factory=Covariance)
    deblur: Deblur = field(default_factory=Deblur)

    def lens_settings(self, early: bool = False) -> dict[str, Any]:
        """The options of the lens model that was chosen, by name; `early`: what `auto` means of `aperture_from`."""
        own = getattr(self, self.lens, None)
        chosen = asdict(own) if is_dataclass(own) and not isinstance(own, type) else {}
        if chosen.get("aperture_samples") == "auto":
            chosen["aperture_samples"] = APERTURE_SAMPLES[self.quality]
        if chosen.get("aperture_from") == "auto":
            chosen["aperture_from"] = "early" if early else "late"
        return chosen

    def aperture_samples(self) -> int:
        """From how many aperture samples a photo is rendered at the most."""
        return int(self.lens_settings().get("aperture_samples", "1"))

    def check_used(self) -> None:
        """Refuse what was asked for and would have no effect.

        Raises:
            MacrosplatError: an option of another lens model, or of another deblurrer, than the chosen one.
        """
        for lens in get_args(Lens):
            if lens != self.lens and (idle := self._asked(lens)):
                raise MacrosplatError(f"--{idle} is of --lens {lens}, and this is --lens {self.lens}; leave out one.")
        of = {"sigma": "richardson-lucy", "iterations": "richardson-lucy", "weights": "restormer", "tile": "restormer"}
        for name, how in of.items():
            if how != self.deblur_first and getattr(self.deblur, name) != getattr(Deblur(), name):
                raise MacrosplatError(
                    f"--deblur.{name} is of --deblur-first {how}, and this is --deblur-first {self.deblur_first}; "
                    "leave out one."
                )

    def _asked(self, lens: str) -> str | None:
        """The first option of a lens model that is not as it is by default, as it is written."""
        own = getattr(self, lens, None)
        if not is_dataclass(own) or isinstance(own, type):
            return None
        usual = type(own)()
        changed = [one.name for one in fields(own) if getattr(own, one.name) != getattr(usual, one.name)]
        return f"{lens}.{changed[0].replace('_', '-')}" if changed else None

    def __post_init__(self) -> None:
        least = {"steps": 1, "width": 16, "max_gaussians": 100, "seed": 0, "hold_out": 0}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise MacrosplatError(f"--{name.replace('_', '-')} is {value}; it has to be at least {minimum}.")
        most = {"steps": 10**8, "width": 10**6, "max_gaussians": 10**9, "seed": 2**32 - 1}
        for name, maximum in most.items():
            value = getattr(self, name)
            if value is not None and value > maximum:
                raise MacrosplatError(f"--{name.replace('_', '-')} is {value}; it has to be at most {maximum}.")
        if self.hold_out == 1:
            raise MacrosplatError("--hold-out 1 would keep every photo out of training; use 2 or more, or 0 for none.")
