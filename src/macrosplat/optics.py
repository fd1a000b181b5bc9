"""The options of `--lens lens`, the thin lens. No torch: they are part of the command line's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg


@dataclass(frozen=True)
class Thin:
    """`--lens lens`: a thin lens with a pupil of some width."""

    points: Annotated[Literal["auto", "1", "4", "8"], arg(metavar="M")] = "auto"
    """Through how many points of the pupil the lens is looked through, once the geometry has settled. 1: through its
    centre alone, which is fast and blind to what near things hide. `auto`: 8, with --quality draft 4."""
