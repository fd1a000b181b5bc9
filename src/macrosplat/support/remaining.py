"""How long things still take that are not alike: reckoned beforehand, corrected by what the last of them took.

In: the reckoned work of the first n things, in any unit, and when how many of them were done. Out: seconds.
"""

from __future__ import annotations

from collections.abc import Callable

# Of the whole work, after which what was taken counts half: long enough to be steady, short enough that a part of the
# work that was reckoned wrong, or a machine that others use meanwhile, is noticed.
HALVED_AFTER = 0.05


class Remaining:
    """Counting begins with the first call of `counted`: what was done by then tells nothing of the time."""

    def __init__(self, work: Callable[[int], float], total: int) -> None:
        """Args: work: of the first n things, growing with n; total: how many there are."""
        self._work, self._total = work, total
        self._halved = HALVED_AFTER * (work(total) - work(0))
        self._at: tuple[int, float] | None = None  # how many were done, and when
        self._seconds = self._worked = self._things = 0.0  # what counts of what was taken

    def counted(self, done: int, now: float) -> None:
        """So many are done by now, s of the clock; a smaller number than before takes some back."""
        if self._at is not None:
            before, then = self._at
            worked = max(0.0, self._work(done) - self._work(before))
            kept = 0.5 ** (worked / self._halved) if self._halved else 0.0
            self._seconds = kept * self._seconds + now - then
            self._worked = kept * self._worked + worked
            self._things = kept * self._things + max(0, done - before)
        self._at = done, now

    def paused(self, now: float) -> None:
        """The time until now was not spent on any of them."""
        if self._at is not None:
            self._at = self._at[0], now

    def seconds(self) -> float | None:
        """Until all are done; None where nothing tells."""
        if self._at is None or self._worked <= 0 or self._seconds <= 0:
            return None
        return (self._work(self._total) - self._work(self._at[0])) * self._seconds / self._worked

    def rate(self) -> float | None:
        """Things per second, of late."""
        return self._things / self._seconds if self._things > 0 and self._seconds > 0 else None
