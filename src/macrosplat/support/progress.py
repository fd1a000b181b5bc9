"""What a person sees while the work goes on: a bar in a terminal, one line per minute in a log. It goes to stderr.

In: stages with a name and a number of things to do. Out: nothing but text (and JSON lines for a script, `events.py`).
Use it as a context manager, so that a terminal is left in order whatever happens.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

from macrosplat.support.remaining import Remaining
from macrosplat.support.terminal import printable, wrapped

if TYPE_CHECKING:
    import rich.progress

SECONDS_BETWEEN_LINES = 60.0  # in a log: often enough to see that it lives, seldom enough to be read
REFRESHES_PER_SECOND = 4  # of the bar: each costs the training some milliseconds
# How figures are called where people read them; the others by their own name before the number.
WORDS = {"psnr": "PSNR {:.2f} dB", "gaussians": "{:,.0f} Gaussians", "loss": "loss {:.4f}"}


@dataclass
class Stage:
    """Where a stage stands."""

    name: str
    total: int | None  # None: nobody knows
    done: int
    before: int  # of `done`: what an earlier run did
    began: float  # seconds of the clock
    unit: str = ""  # of what is counted, where their rate says something: "steps"
    figures: dict[str, float] = field(default_factory=dict)
    text: str = ""  # what is being done just now
    warm: tuple[int, float] | None = None  # `done` when the first was counted, and the time
    remaining: Remaining | None = None  # where some take longer than others, as is known; None: also when it is over

    def count(self, n: int, now: float) -> None:
        """`n` more are done."""
        self.done += n
        self.warm = self.warm or (self.done, now)
        if self.remaining is not None:
            self.remaining.counted(self.done, now)

    def rate(self, now: float) -> float | None:
        """Things per second, in the mean or, where they are known to differ, of late; None before there are two.

        The first does not count where there are more: kernels are compiled in it, for a minute perhaps, and what it
        took would promise days.
        """
        if self.remaining is not None:
            return self.remaining.rate()
        done, since = self.warm or (self.before, self.began)
        if self.done <= done:
            done, since = self.before, self.began
        return (self.done - done) / (now - since) if self.done > self.before + 1 and now > since else None

    def left(self, now: float) -> float | None:
        """Seconds until the end; None where nobody can tell."""
        if self.remaining is not None:
            return self.remaining.seconds()
        rate = self.rate(now)
        return (self.total - self.done) / rate if self.total and rate else None

    def said(self, now: float) -> list[str]:
        """Rate, text and figures, as people read them."""
        rate = self.rate(now) if self.unit else None
        figures = [WORDS.get(name, f"{name} {{:.4g}}").format(value) for name, value in self.figures.items()]
        return [
            *([f"{rate:.3g} {self.unit}/s" if rate < 100 else f"{rate:,.0f} {self.unit}/s"] if rate else []),
            *([self.text] if self.text else []),
            *figures,
        ]


class Face(Protocol):
    """One way of showing progress."""

    def begin(self, stage: Stage, now: float) -> None: ...
    def moved(self, stage: Stage, n: int, now: float) -> None: ...
    def end(self, stage: Stage, now: float) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


class Progress:
    """`stage` begins a stage and ends the one before; `advance` counts; `note` says a sentence."""

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        more: Sequence[Face] = (),  # further ways of showing it
    ) -> None:
        # Without stderr (`2>&-`) it is said to nobody.
        stream = stream or sys.stderr or io.StringIO()
        assert stream is not None
        terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._faces: list[Face] = [Bar(stream) if terminal else Lines(stream), *more]
        self._clock = clock
        self._stage: Stage | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._end_stage()
        for face in self._faces:
            face.close()

    def stage(
        self,
        name: str,
        total: int | None = None,
        done: int = 0,
        unit: str = "",
        work: Callable[[int], float] | None = None,
    ) -> None:
        """Begin a stage of `total` things (None: nobody knows), `done` of which an earlier run did.

        Args: work: what the first n of them take, in any unit, where it is known that some take longer than others.
        """
        self._end_stage()
        now = self._clock()
        remaining = Remaining(work, total) if work is not None and total is not None else None
        self._stage = Stage(name, total, done, done, now, unit, remaining=remaining)
        for face in self._faces:
            face.begin(self._stage, now)

    def advance(self, n: int = 1, text: str = "", figures: dict[str, float] | None = None) -> None:
        """Count `n` more things as done; what is being done, and figures ({"loss": 0.03}), are shown until newer come.

        A negative `n` takes back what turned out not to have been done.
        """
        stage = self._stage
        if stage is None:
            return
        now = self._clock()
        stage.count(n, now)
        stage.text = text or stage.text
        stage.figures = figures or stage.figures
        for face in self._faces:
            face.moved(stage, n, now)

    def note(self, text: str) -> None:
        """Say a sentence that stays to be read."""
        for face in self._faces:
            face.note(text)

    def _end_stage(self) -> None:
        stage, self._stage = self._stage, None
        if stage is not None:
            stage.remaining = None
            for face in self._faces:
                face.end(stage, self._clock())


class Lines(Face):
    """A log: a line per minute, and one for each stage's end that says how long it took."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._spoke = stream, 0.0

    def begin(self, stage: Stage, now: float) -> None:
        self._spoke = now

    def moved(self, stage: Stage, n: int, now: float) -> None:
        if now - self._spoke < SECONDS_BETWEEN_LINES:
            return
        self._spoke = now
        parts = [f"{stage.name}: {stage.done}" + (f" of {stage.total}" if stage.total else "")]
        left = stage.left(now)
        if left is not None:
            parts.append(f"{duration(left)} left")
        self.note(", ".join([*parts, *stage.said(now)]))

    def end(self, stage: Stage, now: float) -> None:
        stage.text = ""
        self.note(", ".join([f"{stage.name}: done in {duration(now - stage.began)}", *stage.said(now)]))

    def note(self, text: str) -> None:
        try:
            print(printable(text), file=self._stream, flush=True)
        except (OSError, ValueError):  # a full disk, a closed pipe: what is said is not worth the work
            self._stream = io.StringIO()

    def close(self) -> None:
        pass


class Bar(Face):
    """A terminal: a bar for each stage, with what is left, the rate and the figures."""

    def __init__(self, stream: TextIO) -> None:
        self._bar = _bar(stream)
        self._task: rich.progress.TaskID | None = None

    def begin(self, stage: Stage, now: float) -> None:
        self._bar.start()
        self._task = self._bar.add_task(stage.name, total=stage.total, completed=stage.done, left="", figures="")

    def moved(self, stage: Stage, n: int, now: float) -> None:
        if self._task is not None:
            left = stage.left(now)
            left_said = "" if left is None else f"{duration(left)} left"
            self._bar.update(self._task, advance=n, left=left_said, figures="  ".join(stage.said(now)))

    def end(self, stage: Stage, now: float) -> None:
        stage.text = ""
        if self._task is not None:  # full, also where nobody knew the total; with the time that it took
            most = max(stage.done, 1)
            took = duration(now - stage.began)
            self._bar.update(self._task, total=most, completed=most, left=took, figures="  ".join(stage.said(now)))

    def note(self, text: str) -> None:
        # Broken between words; a path stays whole, however long it is.
        width = self._bar.console.width
        self._bar.console.print(wrapped(text, width), markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._bar.stop()


def _bar(stream: TextIO) -> rich.progress.Progress:
    """The bar of a terminal. Imported here: in a log nobody needs it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column

    # In a narrow terminal the figures are cut short, not what says how far it is: `ratio` makes a column give way.
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=16),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[left]}", markup=False, table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[figures]}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
        expand=True,
        console=Console(file=stream),
        refresh_per_second=REFRESHES_PER_SECOND,
    )


def duration(seconds: float) -> str:
    """`41 s`, `3 min 20 s`, `2 h 05 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
