"""A lens that is known from another capture by the same rig: where this one begins.

In: what was found there. Out: a `LensStart`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from macrosplat.lens.model import LensStart

HIGH = 1.1  # times the pupil that was found: training narrows a pupil sooner than it widens one


@dataclass(frozen=True)
class KnownLens:
    """What training found for the rig, in the scene units of its cameras."""

    pupil: float  # diameter of the entrance pupil
    focus: Mapping[str, float]  # camera z of the plane of focus, by the photo at hand

    def begin(self, start: LensStart, names: Sequence[str]) -> LensStart:
        """`start` with this pupil and, where they are known, these focus distances; `names` of its V photos."""
        focus = tuple(self.focus.get(name, other) for name, other in zip(names, start.focus, strict=True))
        return replace(start, pupil=HIGH * self.pupil, focus=focus)
