"""The options of `--lens thin`, the thin lens. No torch: they are part of the command line's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg


@dataclass(frozen=True)
class Thin:
    """`--lens thin`: a thin lens with a pupil of some width."""

    aperture_samples: Annotated[Literal["auto", "1", "4", "8"], arg(metavar="M")] = "auto"
    """From how many aperture samples (sub-aperture views) each photo is rendered once the geometry has settled. 1: from
    the pupil's centre alone, which is fast and blind to what near things hide. `auto`: 8, with --quality draft 4."""
