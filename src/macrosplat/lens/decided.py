"""The terms of a lens: which photos show, decided once each, and which act in the meantime.

In: parameters of a lens, those of `terms.TERMS` and of the blades among them; what a look at the pupil's rim told
(`rim.RimTold`). Out: decisions, in the parameters that end in `_seen`, where a checkpoint keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from macrosplat.lens import blades, cats_eye, rim
from macrosplat.lens.rim import RimTold
from macrosplat.lens.terms import DECIDED_AT, LEARN_FROM, LOOKED_AT, NOT_SEEN, SEEN, TERMS, UNDECIDED, begins

BLADES, CATS_EYE = "lens.blades", "lens.cats_eye"
BY_LOOK = (BLADES, *(term.name for term in TERMS if term.by_look))


class Decided:
    """A part of a lens: the terms that it may have."""

    parameters: dict[str, Tensor]

    def _terms(self, settings: Mapping[str, Any]) -> dict[str, Tensor]:
        """Parameters at the start, by the options of the lens: `aberrations`, `blades`."""
        self._orders = blades.sought(settings.get("blades", "round"))
        self._seen: dict[str, float] = {}  # what `lens.colour_seen` and its like say, as far as the host has looked
        asked = settings.get("aberrations", "off")
        made = {
            BLADES: torch.zeros(3),  # of `blades`; never learned, but told by one look
            f"{BLADES}_seen": torch.tensor(UNDECIDED if self._orders else NOT_SEEN),
        }
        for term in TERMS:
            made |= {term.name: torch.zeros(term.count), f"{term.name}_seen": torch.tensor(begins(term, asked))}
        return made

    def seen(self, name: str) -> float:
        """What was decided of a term, as the host knows it."""
        if name not in self._seen:
            self._seen[name] = float(self.parameters[f"{name}_seen"].detach())
        return self._seen[name]

    def acts(self, name: str) -> bool:
        """Whether a term changes a photo: one that is learned does so before it is decided."""
        return self.seen(name) == SEEN if name in BY_LOOK else self.seen(name) != NOT_SEEN

    def acting(self) -> tuple[str, ...]:
        """The terms that do."""
        return tuple(name for name in (BLADES, *(term.name for term in TERMS)) if self.acts(name))

    def learned_at(self, t: float) -> dict[str, float]:
        """Rates of the terms that learn at `t` of the training, by name."""
        return {term.name: term.rate for term in TERMS if t >= LEARN_FROM and self.acts(term.name)}

    def undecided(self, t: float) -> bool:
        return (t >= DECIDED_AT and bool(self._open(by_look=False))) or (
            t >= LOOKED_AT and bool(self._open(by_look=True))
        )

    def _open(self, by_look: bool) -> list[str]:
        """Terms that are undecided."""
        names = [name for name in (BLADES, *(term.name for term in TERMS)) if (name in BY_LOOK) == by_look]
        return [name for name in names if self.seen(name) == UNDECIDED]

    @torch.no_grad()
    def decide(self, look: Callable[[], RimTold] | None = None) -> None:
        first = self._open(by_look=False)
        for term in TERMS:
            if term.name in first:
                self._decided(term.name, term.size(self.parameters[term.name]) >= term.least)
        shape = self._open(by_look=True)
        if not shape or (first and look is not None):  # its turn comes
            return
        told = look() if look is not None else None
        if BLADES in shape:
            found = told and rim.blades_seen(told, self._orders)
            self.parameters[BLADES].copy_(torch.tensor(found or (0.0, 0.0, 0.0)))
            self._decided(BLADES, found is not None)
        if CATS_EYE in shape:
            corner = told and rim.cats_eye_seen(told)
            self.parameters[CATS_EYE].fill_(corner or 0.0)
            if corner is not None and self.seen("lens.vignetting") == SEEN:
                light = self.parameters["lens.vignetting"]
                light.copy_(cats_eye.remaining(light, self.parameters[CATS_EYE]))
            self._decided(CATS_EYE, corner is not None)

    def _decided(self, name: str, seen: bool) -> None:
        self._seen[name] = SEEN if seen else NOT_SEEN
        self.parameters[f"{name}_seen"].fill_(self._seen[name])
