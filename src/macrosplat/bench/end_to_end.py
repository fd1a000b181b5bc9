"""`macrosplat bench --end-to-end`: from a folder of photos to a finished run, by stage, in seconds.

In: a device. Out: name and seconds of every stage of the capture that ships with the package, cameras included, as
`macrosplat demo` makes it. Kernels that this machine has not compiled yet are compiled meanwhile: a second run tells
what the first one paid for that.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from macrosplat import demo
from macrosplat.options import Device
from macrosplat.support.progress import Face, Stage

WHOLE = "from the folder of photos to the finished run"
BEFORE = "opening the capture"


class Seconds(Face):
    """What progress tells of each stage, kept: its seconds, and when the first one began."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self.began: float | None = None

    def begin(self, stage: Stage, now: float) -> None:
        self.began = now if self.began is None else self.began

    def moved(self, stage: Stage, n: int, now: float) -> None:
        pass

    def end(self, stage: Stage, now: float) -> None:
        self.stages[stage.name] = self.stages.get(stage.name, 0.0) + now - stage.began

    def note(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


def measure(device: Device = "auto", reconstruct: Callable[..., Any] | None = None) -> dict[str, float]:
    """Seconds of every stage, in their order, and of all (`WHOLE`), from when the libraries are loaded."""
    if reconstruct is None:
        from macrosplat.pipeline import reconstruct
    seen = Seconds()
    with tempfile.TemporaryDirectory() as scratch:
        began = time.monotonic()
        reconstruct(demo.FOLDER, Path(scratch) / "run", demo.options(device), shown=(seen,))
        whole = time.monotonic() - began
    opened = {} if seen.began is None else {BEFORE: seen.began - began}
    return {**opened, **seen.stages, WHOLE: whole}
