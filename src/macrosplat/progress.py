"""What a person sees while the work goes on: a bar in a terminal, one line per minute in a log. It goes to stderr.

In: stages with a name and a number of things to do. Out: nothing but text. Use it as a context manager, so that a
terminal is left in order whatever happens.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import rich.progress

SECONDS_BETWEEN_LINES = 60.0  # in a log: often enough to see that it lives, seldom enough to be read
REFRESHES_PER_SECOND = 4  # of the bar: each costs the training some milliseconds


class Progress:
    """`stage` begins a stage and ends the one before; `advance` counts; `note` says a sentence."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._bar: rich.progress.Progress | None = None
        if self._stream.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = _bar(self._stream)
        self._name: str | None = None
        self._total: int | None = None
        self._done = self._done_before = 0
        self._figures = ""
        self._began = self._spoke = 0.0
        self._task: rich.progress.TaskID | None = None

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._end_stage()
        if self._bar:
            self._bar.stop()

    def stage(self, name: str, total: int | None = None, done: int = 0) -> None:
        """Begin a stage of `total` things (None: nobody knows), `done` of which an earlier run did."""
        self._end_stage()
        self._name, self._total, self._figures = name, total, ""
        self._done = self._done_before = done
        self._began = self._spoke = self._clock()
        if self._bar:
            self._task = self._bar.add_task(name, total=total, completed=done, figures="")

    def advance(self, n: int = 1, **figures: float) -> None:
        """Count `n` more things as done; `figures` (loss=0.03) are shown until newer ones come."""
        self._done += n
        if figures:
            self._figures = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if self._bar and self._task is not None:
            self._bar.update(self._task, advance=n, figures=self._figures)
        elif self._clock() - self._spoke >= SECONDS_BETWEEN_LINES:
            self._spoke = self._clock()
            self._line(self._state())

    def note(self, text: str) -> None:
        """Say a sentence that stays to be read."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            self._line(text)

    def _state(self) -> str:
        """Where the stage stands, for a log."""
        parts = [f"{self._name}: {self._done}" + (f" of {self._total}" if self._total else "")]
        passed = self._clock() - self._began
        if self._total and self._done > self._done_before:
            left = passed / (self._done - self._done_before) * (self._total - self._done)
            parts.append(f"{_duration(left)} left")
        if self._figures:
            parts.append(self._figures)
        return ", ".join(parts)

    def _end_stage(self) -> None:
        """Say in a log how long the stage took; fill the bar of a stage whose total nobody knew."""
        if self._name is None:
            return
        if self._bar and self._task is not None:
            # Shows the stage as done, with the time that it took.
            self._bar.update(self._task, total=max(self._done, 1), completed=max(self._done, 1))
        else:
            figures = f", {self._figures}" if self._figures else ""
            self._line(f"{self._name}: done in {_duration(self._clock() - self._began)}{figures}")
        self._name = self._task = None

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def _bar(stream: TextIO) -> rich.progress.Progress:
    """The bar of a terminal. Imported here: in a log nobody needs it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        console=Console(file=stream),
        refresh_per_second=REFRESHES_PER_SECOND,
    )


def _duration(seconds: float) -> str:
    """`41 s`, `3 min 20 s`, `2 h 05 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
