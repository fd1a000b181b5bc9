"""Terms of a lens that photos may or may not tell: when they are learned, and what less than shows is.

Each that is looked for is none at the start, learned from `LEARN_FROM` on, and decided once, at `DECIDED_AT`: what is
then less than `least` is dropped, and the run goes on as if there were no such term. Terms of the pupil's shape are not
learned before one look at the photos, at `LOOKED_AT`, tells them with how sure they are (`rim`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from macrosplat.lens import cats_eye, colour, curvature, lateral, vignetting

# Of the training: within the first span of aperture samples, and with its end.
LEARN_FROM, DECIDED_AT = 0.12, 0.3
# The pupil's shape is told by a scene of full resolution, before the last span: at 0.3 seven blades were 3.3 standard
# deviations from none where the whole run has 9 (experiments: blades).
LOOKED_AT = 0.7
UNDECIDED, NOT_SEEN, SEEN = -1.0, 0.0, 1.0


def _largest(values: Tensor) -> float:
    return float(values.detach().abs().max())


def _signed(values: Tensor) -> float:
    return float(values.detach()[0])


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
    by_look: bool = False  # told by a look at the pupil's rim; learned once it was seen


TERMS = (
    Term("lens.colour", 2, colour.RATE, colour.LEAST, colour.BELIEF),
    Term("lens.vignetting", 2, vignetting.RATE, vignetting.LEAST, vignetting.BELIEF, vignetting.stops_lost),
    # Photos do not tell it: a curved field was not found, and flat ones were said to be curved
    # (experiments: terms-by-default).
    Term("lens.curvature", 1, curvature.RATE, curvature.LEAST, curvature.BELIEF, by_default=False),
    Term("lens.lateral", 2, lateral.RATE, lateral.LEAST, lateral.BELIEF),
    Term("lens.cats_eye", 1, cats_eye.RATE, cats_eye.LEAST, cats_eye.BELIEF, _signed, by_look=True),
)


def begins(term: Term, aberrations: str) -> float:
    """What is decided of a term before training, by `--thin.aberrations`."""
    asked = aberrations == "all" or (aberrations == "auto" and term.by_default)
    return UNDECIDED if asked else NOT_SEEN
