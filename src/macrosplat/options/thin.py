"""The options of `--lens thin`, the thin lens. No torch: they are part of the command line's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

Blades = Literal["auto", "round", "5", "6", "7", "8", "9"]


@dataclass(frozen=True)
class Thin:
    """`--lens thin`: a thin lens with a pupil of some width."""

    aperture_samples: Annotated[Literal["auto", "1", "4", "8", "16"], arg(metavar="M")] = "auto"
    """Sub-aperture views; 1 is blind to what near things hide."""

    aperture_from: Annotated[Literal["auto", "early", "late"], arg(metavar="WHEN")] = "auto"
    """Detail seen through all: `early` (small photos, GPU) or `late`."""

    aberrations: Annotated[Literal["off", "auto", "all"], arg(metavar="A")] = "auto"
    """`auto`: fringes, dark corners; `all`: curved focus, breathing too."""

    blades: Annotated[Blades, arg(metavar="N")] = "auto"
    """Of the diaphragm, 5 to 9; `auto`: if photos show them; or `round`."""

    motion: Annotated[Literal["off", "on"], arg(metavar="M")] = "off"
    """Experimental, `on`: of photos that moved during their exposure."""
