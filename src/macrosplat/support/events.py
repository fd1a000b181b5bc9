"""Progress for a script: one JSON object per line, as docs/watching.md lists them.

In: what `Progress` is told, and how it ended. Out: lines on a stream.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.progress import Face, Stage

SECONDS_BETWEEN = 1.0  # between two events of a stage's progress, unless there are new figures


class Events(Face):
    """Writes events. Every one has `event`, its kind, and `time`, seconds since 1970."""

    def __init__(self, stream: TextIO, wall_clock: Callable[[], float] = time.time) -> None:
        self._stream, self._wall_clock = stream, wall_clock
        self._spoke = -math.inf
        self._figures: dict[str, float] = {}

    def __enter__(self) -> Events:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """How it ended, if not well."""
        if isinstance(error, MacrosplatError):
            self.say("error", text=str(error))
        elif isinstance(error, KeyboardInterrupt):
            self.say("interrupted")

    def say(self, event: str, **values: Any) -> None:
        """Write one event; numbers that JSON does not know become null."""
        record = {"event": event, "time": round(self._wall_clock(), 3)}
        record |= {name: _plain(value) for name, value in values.items()}
        print(json.dumps(record), file=self._stream, flush=True)

    def begin(self, stage: Stage, now: float) -> None:
        self._spoke, self._figures = now, {}
        self.say("stage", stage=stage.name, done=stage.done, total=stage.total)

    def moved(self, stage: Stage, n: int, now: float) -> None:
        if now - self._spoke < SECONDS_BETWEEN and stage.figures == self._figures:
            return
        self._spoke, self._figures = now, dict(stage.figures)
        where = {"done": stage.done, "total": stage.total, "per_second": stage.rate(now)}
        what = {"text": stage.text} if stage.text else {}
        self.say("progress", stage=stage.name, **where, seconds_left=stage.left(now), **what, **stage.figures)

    def end(self, stage: Stage, now: float) -> None:
        self.say("stage_done", stage=stage.name, done=stage.done, seconds=now - stage.began, **stage.figures)

    def note(self, text: str) -> None:
        self.say("note", text=text)

    def close(self) -> None:
        pass


@contextlib.contextmanager
def alone_on_stdout() -> Iterator[TextIO]:
    """stdout for one writer: what libraries print to it while the context lasts goes to stderr."""
    stdout = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield stdout


def numbers(summary: object) -> dict[str, float]:
    """The numbers of a record, by name."""
    return {name: value for name, value in vars(summary).items() if isinstance(value, int | float)}


def _plain(value: Any) -> Any:
    return value if not isinstance(value, float) else float(f"{value:.6g}") if math.isfinite(value) else None
