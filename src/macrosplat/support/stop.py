"""Being asked to stop, by Ctrl-C or `kill`, without being torn out of the middle of a step, or of tidying up."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any

# s: a signal this soon after another is the same wish (a terminal and a parent process may both send one, and so does
# who presses twice); a later one is impatience.
SAME = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
LAST_WORDS = b"macrosplat: Interrupted.\n"
CURSOR = b"\x1b[?25h"  # shown again: a bar may have hidden it


class Interrupts:
    """How a program answers SIGINT and SIGTERM.

    The first is a KeyboardInterrupt, so that half-written files are removed on the way out. Nothing disturbs that; but
    who asks again later is done with waiting, and the process ends at once.
    """

    def __init__(self) -> None:
        self.first: float | None = None  # s of the clock: when the wish was heard

    def install(self) -> None:
        """For a program's main thread; elsewhere whoever started it decides about signals."""
        self.first = None
        with contextlib.suppress(ValueError):
            for number in SIGNALS:
                signal.signal(number, self.answer)

    def answer(self, number: int, frame: Any) -> None:
        if self.hear():
            raise KeyboardInterrupt

    def hear(self) -> bool:
        """Whether a signal is the first. A much later one does not return."""
        now = time.monotonic()
        if self.first is None:
            self.first = now
            return True
        if now - self.first > SAME:
            with contextlib.suppress(OSError):  # not `print`, which this signal may have torn something out of
                os.write(2, (CURSOR if os.isatty(2) else b"") + LAST_WORDS)
            os._exit(130)
        return False


INTERRUPTS = Interrupts()


class Stop:
    """Notes SIGINT and SIGTERM instead of letting them fall into the middle of a step."""

    def __enter__(self) -> Stop:
        self.asked = False
        self._before: dict[int, Any] = {}
        INTERRUPTS.first = None
        try:
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        except ValueError:  # not the main thread: whoever started it decides about signals
            pass
        return self

    def _note(self, number: int, frame: Any) -> None:
        INTERRUPTS.hear()
        self.asked = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
