"""Terms of a lens that photos may or may not tell: when they are learned, and what less than shows is.

Each that is looked for is none at the start, learned from `LEARN_FROM` on, and decided once, at `DECIDED_AT`: what is
then less than `least` is dropped, and the run goes on as if there were no such term.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from macrosplat.lens import colour, curvature, lateral, vignetting

# Of the training: within the first span of aperture samples, and with its end.
LEARN_FROM, DECIDED_AT = 0.12, 0.3
UNDECIDED, NOT_SEEN, SEEN = -1.0, 0.0, 1.0


def _largest(values: Tensor) -> float:
    return float(values.detach().abs().max())


@dataclass(frozen=True)
class Term:
    """A parameter of the lens."""

    name: str
    count: int  # numbers
    rate: float  # of Adam, per step
    least: float  # what shows, by `size`
    belief: float  # of the loss per unit^2: pulls to none what no photo tells
    size: Callable[[Tensor], float] = _largest
    by_default: bool = True  # looked for without being asked


TERMS = (
    Term("lens.colour", 2, colour.RATE, colour.LEAST, colour.BELIEF),
    Term("lens.vignetting", 2, vignetting.RATE, vignetting.LEAST, vignetting.BELIEF, vignetting.stops_lost),
    # Photos do not tell it: a curved field was not found, and flat ones were said to be curved
    # (experiments: terms-by-default).
    Term("lens.curvature", 1, curvature.RATE, curvature.LEAST, curvature.BELIEF, by_default=False),
    Term("lens.lateral", 2, lateral.RATE, lateral.LEAST, lateral.BELIEF),
)


def begins(term: Term, aberrations: str) -> float:
    """What is decided of a term before training, by `--thin.aberrations`."""
    asked = aberrations == "all" or (aberrations == "auto" and term.by_default)
    return UNDECIDED if asked else NOT_SEEN
