"""One run of the command line, as a process of its own: begun, watched through its events, asked to stop.

In: the words of a command that speaks `--json`. Out: where it stands, for a page that asks every second.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Ended = Literal["done", "error", "interrupted"]
LAST_LINES = 12  # of what a process that fell over said
FIGURES = ("psnr", "gaussians", "loss")


@dataclass
class Progress:
    """Where a run stands, for a page."""

    stage: str = "starting"
    done: int = 0
    total: int | None = None
    left: float | None = None  # s of this stage
    rate: float | None = None  # per second
    text: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    curve: list[tuple[int, float]] = field(default_factory=list)  # steps and PSNR, dB
    stages: list[tuple[str, float]] = field(default_factory=list)  # those that are over, and their seconds
    notes: list[str] = field(default_factory=list)
    ended: Ended | None = None
    said: str = ""  # why it ended
    summary: dict[str, float] = field(default_factory=dict)


class Job:
    """A run in `folder`."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        """Args: words: of the command line, without `macrosplat`."""
        self.folder, self.began = folder, time.time()
        self.stopping = False
        self._progress = Progress()
        self._lock = threading.Lock()
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed by `_read`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "macrosplat", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C in the studio's terminal is the studio's to pass on
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def stop(self) -> None:
        """Ask for the results of what there is."""
        self.stopping = True
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGTERM)

    @property
    def running(self) -> bool:
        return self._reader.is_alive()

    def wait(self, seconds: float | None = None) -> None:
        self._reader.join(seconds)

    def state(self) -> dict[str, Any]:
        """For JSON."""
        with self._lock:
            return {
                **vars(self._progress),
                "ended": None if self.running else self._progress.ended,  # its last event is not its end
                "seconds": time.time() - self.began,
                "folder": os.fsencode(self.folder).decode("utf-8", "replace"),
                "kept": (self.folder / "config.json").is_file(),  # not of what was refused before it began
                "stopping": self.stopping,
            }

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(json.JSONDecodeError, TypeError, KeyError, AttributeError):
                self.take(json.loads(line))
        code = self._process.wait()
        with self._lock:
            if self._progress.ended is None:
                self._progress.ended = "done" if code == 0 else "error"
                self._progress.said = "" if code == 0 else self._last_words(code)
        self._errors.close()

    def take(self, event: dict[str, Any]) -> None:
        """One event (docs/watching.md lists them)."""
        now = self._progress
        with self._lock:
            match event["event"]:
                case "stage":
                    now.stage, now.done, now.total = event["stage"], event["done"], event["total"]
                    now.left, now.rate, now.text, now.figures = None, None, "", {}
                case "progress":
                    now.stage, now.done, now.total = event["stage"], event["done"], event["total"]
                    now.left, now.rate = event["seconds_left"], event["per_second"]
                    now.text = event.get("text", "")
                    figures = {name: event[name] for name in FIGURES if event.get(name) is not None}
                    if "psnr" in figures and figures != now.figures:
                        now.curve.append((event["done"], figures["psnr"]))
                    now.figures = figures or now.figures
                case "stage_done":
                    now.stages.append((event["stage"], event["seconds"]))
                case "note":
                    now.notes.append(event["text"])
                case "error":
                    now.ended, now.said = "error", event["text"]
                case "interrupted":
                    now.ended = "interrupted"
                case "done":
                    now.ended = "done"
                    now.summary = {n: v for n, v in event.items() if isinstance(v, int | float) and n != "time"}

    def _last_words(self, code: int) -> str:
        self._errors.seek(0)
        lines = [line for line in self._errors.read().splitlines() if any(map(str.isalpha, line))][-LAST_LINES:]
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return f"macrosplat ended {how}. " + " / ".join(lines[-1:])
