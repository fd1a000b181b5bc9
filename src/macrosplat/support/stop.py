"""Being asked to stop, by Ctrl-C or `kill`, without being torn out of the middle of a step, or of tidying up."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable
from typing import Any

# s: a signal this soon after another is the same wish (a terminal and a parent process may both send one, and so does
# who presses twice); a later one is impatience.
SAME = 1.0
AGAIN = 0.05  # s after which a lost interrupt comes again
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
        self.over = False
        self._unraisable: Callable[[Any], Any] = sys.__unraisablehook__
        self._program: types.CodeType | None = None  # who listens: what lies outside of it is not looked at

    def install(self) -> None:
        """For a program's main thread; elsewhere whoever started it decides about signals."""
        self.first, self.over = None, False
        self._program = sys._getframe(1).f_code
        with contextlib.suppress(ValueError):
            for number in SIGNALS:
                signal.signal(number, self.answer)
            if sys.unraisablehook != self.lost:
                self._unraisable, sys.unraisablehook = sys.unraisablehook, self.lost

    def lost(self, what: Any) -> None:
        """Of an exception that Python may only print: where it is the interrupt, which fell into a `__del__` or what a
        library calls back, it comes again in a moment, outside of that."""
        if issubclass(what.exc_type, KeyboardInterrupt):
            self._come_again()
        else:
            self._unraisable(what)

    def _come_again(self) -> None:
        self.first = None
        timer = threading.Timer(AGAIN, os.kill, (os.getpid(), signal.SIGINT))
        timer.daemon = True
        timer.start()

    def answer(self, number: int, frame: Any) -> None:
        """Not while a library is imported: some begin in C++ code that ends the process by any exception."""
        if self.over or not self.hear():
            return
        if self._importing(frame):
            self._come_again()
        else:
            raise KeyboardInterrupt

    def _importing(self, frame: types.FrameType | None) -> bool:
        while frame is not None and frame.f_code is not self._program:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return True
            frame = frame.f_back
        return False

    def decided(self) -> None:
        """What the program ends with stands: a wish to stop comes too late, and changes nothing."""
        self.over = True

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


# s between two presses of Ctrl-C that are two wishes: one that comes sooner is the same one, heard twice.
TWICE = 0.3
OFFER = 4.0  # s that a second one is waited for


class Stop:
    """Notes SIGINT and SIGTERM instead of letting them fall into the middle of a step.

    Where somebody sits at the terminal, a second Ctrl-C asks for the results of what there is; a third ends it all.
    """

    def __init__(self, attended: bool | None = None) -> None:
        """Args: attended: whether somebody sits there; None: whether stdin is a terminal."""
        self.asked = self.again = False
        self._attended = sys.stdin is not None and sys.stdin.isatty() if attended is None else attended
        self._number = 0
        self._at = 0.0

    def __enter__(self) -> Stop:
        self._before: dict[int, Any] = {}
        INTERRUPTS.first = None
        try:
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        except ValueError:  # not the main thread: whoever started it decides about signals
            pass
        return self

    def _note(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self.asked and self._attended and self._number == number == signal.SIGINT and not self.again:
            self.again = now - self._at > TWICE
            if self.again:
                INTERRUPTS.first = now  # a wish of its own: only one more is impatience
            return
        INTERRUPTS.hear()
        if not self.asked:
            self.asked, self._number, self._at = True, number, now

    def wants_results(self, say: Callable[[str], None]) -> bool:
        """Whether Ctrl-C comes a second time; where nobody could press it, it is not waited for."""
        if not self._attended or self._number != signal.SIGINT:
            return False
        if not self.again:
            say(f"Stopped. Press Ctrl-C once more within {OFFER:.0f} s to have the results of what there is.")
        end = time.monotonic() + OFFER
        while not self.again and time.monotonic() < end:
            time.sleep(0.05)
        return self.again

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
