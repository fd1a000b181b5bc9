"""When a visitor of the live view gets a new picture, so that looking never costs the training much.

In: the time, and what the visitor looks at. Out: how many pixels to draw now, if any.
"""

from __future__ import annotations

from dataclasses import dataclass

from macrosplat.live.draw import Look

MOVING = 0.3  # s without a change, after which a visitor stands still
DRAFT = 0.25  # of the pixels, while moving
SHARE_MOVING = 0.5  # of the time may go into pictures while somebody moves,
SHARE_STILL = 0.04  # and while nobody does
LEAST_STILL = 2.0  # s between two pictures of the same look: training changes little in that time


@dataclass
class Pace:
    """Of one visitor."""

    look: Look | None = None  # the last one
    drawn: Look | None = None  # what the picture that the visitor has shows
    coarse: bool = False  # that picture has few pixels
    step: int = -1  # of the training, that it shows
    changed: float = 0.0  # when the look last changed
    free: float = 0.0  # when the next picture of a moving visitor may be drawn,
    free_still: float = 0.0  # and of one who stands still

    def pixels(self, look: Look, step: int, now: float, paused: bool) -> float:
        """The share of the pixels to draw now; 0: nothing."""
        if look != self.look:
            self.look, self.changed = look, now
        moving = now - self.changed < MOVING
        if look != self.drawn and now >= self.free:
            # The first picture is a whole one: nobody moved to get it.
            return DRAFT if moving and self.drawn is not None else 1.0
        if look == self.drawn and not moving and self.coarse and now >= self.free:
            return 1.0
        return 1.0 if not moving and not paused and step != self.step and now >= self.free_still else 0.0

    def drew(self, share: float, step: int, began: float, ended: float) -> None:
        """A picture was drawn and sent."""
        cost = ended - began
        self.drawn, self.coarse, self.step = self.look, share < 1, step
        self.free = ended + cost * (1 / SHARE_MOVING - 1)
        self.free_still = ended + max(LEAST_STILL, cost * (1 / SHARE_STILL - 1))
