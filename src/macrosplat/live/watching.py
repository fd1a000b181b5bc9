"""What training asks whoever watches it, between two steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Watching(Protocol):
    finishes: bool = False  # whether who asked to stop wants the results of what there is

    def between_steps(self, figures: dict[str, float], interrupted: Callable[[], bool]) -> bool:
        """Look at the training, as long as it takes; whether it shall stop.

        Args:
            figures: new ones (loss=0.03), or none.
            interrupted: whether Ctrl-C was pressed.
        """
        ...

    def trained(self) -> None:
        """Training is over; the results come."""
        ...


class Nobody(Watching):
    """Only Ctrl-C counts."""

    finishes = False

    def between_steps(self, figures: dict[str, float], interrupted: Callable[[], bool]) -> bool:
        return interrupted()

    def trained(self) -> None:
        pass
