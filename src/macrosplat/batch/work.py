"""One specimen: its folder locked, `macrosplat reconstruct` in a process of its own, and its state written.

In: a `Task`, which is plain data and may travel to another machine. Out: a `State`. What ended well is never done
again, though whoever watched it was killed: the process says so itself, at the end of events.jsonl.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from macrosplat.batch.state import Figures, Name, Place, State
from macrosplat.batch.store import fetch, kept_in_store
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole
from macrosplat.support.lock import Held, locked

LOOK_EVERY = 0.01  # s, at first: how long an ended process waits to be noticed
LOOK_AT_LEAST = 0.5  # s: after a while
THUMBNAIL = 480, 360  # px, at most
TAIL = 1 << 16  # bytes of a log that hold its last words
INTERRUPTED = 130  # exit code


@dataclass(frozen=True)
class Task:
    """A specimen to be worked on."""

    specimen: str
    place: Path  # DIR/SPECIMEN
    folder: str  # of the photos
    options: tuple[str, ...]  # as the command line takes them
    command: tuple[str, ...] = (sys.executable, "-m", "macrosplat", "reconstruct")
    cameras_from: str | None = None
    store: str | None = None  # an address of fsspec that runs are kept at, too
    environment: Mapping[str, str] = field(default_factory=dict)

    def words(self, photos: str) -> list[str]:
        """The command for photos that lie in a folder of this machine."""
        more = ["--cameras-from", self.cameras_from] if self.cameras_from else []
        run = str(Place(self.place).run)
        return [*self.command, photos, "--out", run, *self.options, *more, "--json", "--resume"]


def carry_out(task: Task, stop: threading.Event, patient: bool = False) -> State | None:
    """Do it, unless it is done. Returns where the specimen stands; None: another process is at it.

    Args:
        stop: set: the process is asked to end, and its state is kept.
        patient: wait until the other process has ended.

    Raises:
        MacrosplatError: the folder cannot be written, or is of another specimen.
    """
    place = Place(task.place)
    while True:
        try:
            with locked(task.place) as number:
                return _locked(task, place, stop, number)
        except Held:
            if not patient or stop.wait(1.0):
                return None


def _locked(task: Task, place: Place, stop: threading.Event, number: int | None) -> State:
    state = place.read(task.specimen)
    if state.state == "done":
        return state
    began, host = time.time(), socket.gethostname()
    if state.state == "running" and said(place).get("event") == "done":
        return _finished(place, state)  # whoever watched it was killed
    state = State(task.specimen, "running", task.folder, task.options, None, state.attempts + 1, host=host, began=began)
    place.write(state)
    try:
        with kept_in_store(task.store, place):
            return _attempt(task, place, state, stop, number)
    except MacrosplatError as error:  # the store refuses
        return _over(place, state, "failed", str(error))


def _attempt(task: Task, place: Place, state: State, stop: threading.Event, number: int | None) -> State:
    try:
        with fetch(task.folder, place.folder / "photos") as photos:
            code = _process(task.words(photos), task, place, stop, number)
    except MacrosplatError as error:  # photos that cannot be fetched
        return _over(place, state, "failed", str(error))
    last = said(place)
    if code == 0 and last.get("event") == "done":
        return _finished(place, state)
    if code == INTERRUPTED or stop.is_set():
        return _over(place, state, "interrupted", None)
    return _over(place, state, "failed", _why(place, last, code))


def _process(words: list[str], task: Task, place: Place, stop: threading.Event, lock: int | None) -> int:
    """Run the command to its end. Returns its exit code.

    Args:
        lock: number of the file that locks the folder. The process inherits it: the folder stays locked as long as
            anybody works on it, though this process should be killed.
    """
    with place.events.open("wb") as events, place.log.open("ab") as log:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=events,
            stderr=log,
            env=os.environ | dict(task.environment),
            pass_fds=() if lock is None else (lock,),
            start_new_session=True,  # Ctrl-C comes to the driver alone, which passes it on once
        )
    wait, asked = LOOK_EVERY, False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(wait)
        if stop.is_set() and not asked:
            asked = True
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        wait = min(1.5 * wait, LOOK_AT_LEAST)


def said(place: Place) -> dict[str, Any]:
    """The last event of the last attempt; {} where there is none."""
    try:
        with place.events.open("rb") as events:
            events.seek(0, os.SEEK_END)
            events.seek(max(0, events.tell() - TAIL))
            lines = events.read().splitlines()
        last = json.loads(lines[-1]) if lines else {}
    except (OSError, ValueError, RecursionError):  # nobody has begun, or was killed in the middle of a line
        return {}
    return last if isinstance(last, dict) else {}


def _finished(place: Place, state: State) -> State:
    figures, thumbnail = figures_of(place), _thumbnail(place)
    over = msgspec.structs.replace(state, figures=figures, thumbnail=thumbnail)
    return _over(place, over, "done", None)


def _over(place: Place, state: State, how: Name, sentence: str | None) -> State:
    state = msgspec.structs.replace(state, state=how, sentence=sentence, seconds=round(time.time() - state.began, 3))
    place.write(state)
    return state


def _why(place: Place, last: Mapping[str, Any], code: int) -> str:
    """Why a process failed: its own sentence, else what the system says."""
    if last.get("event") == "error" and isinstance(last.get("text"), str):
        return last["text"]
    if code < 0:
        name = signal.Signals(-code).name
        kill = "; memory may have run out" if -code == signal.SIGKILL else ""
        return f"The process was ended by {name}{kill}; see {place.log}."
    try:
        lines = place.log.read_bytes()[-TAIL:].decode("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    words = lines[-1].removeprefix("macrosplat: ") if lines else "It said nothing."
    return f"{words} (exit code {code}; all of it: {place.log})"


def figures_of(place: Place) -> Figures:
    """What the run in `run/` came to; what does not stand there, or cannot be read, is None."""
    run = Run(place.run)
    try:
        made = run.manifest
    except MacrosplatError:  # a run of another kind of command
        return Figures()
    found: dict[str, Any] = {"photos": len(made.photos), "registered": made.registered, "seconds": made.seconds}
    if made.summary is not None:
        found |= {name: getattr(made.summary, name) for name in ("gaussians", "steps", "fit_psnr")}
    try:
        lens = json.loads(run.lens.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        lens = {}
    lens = lens if isinstance(lens, dict) else {}
    names = ("trust", "trust_because", "mm_per_unit", "mm_per_unit_source", "mm_uncertainty")
    found |= {name: lens.get(name) for name in names if isinstance(lens.get(name), str | float | int)}
    return Figures(**found)


def _thumbnail(place: Place) -> bool:
    """Make thumbnail.jpg of the middle one of the sharp photos; whether there is one."""
    from PIL import Image

    sharp = Run(place.run).sharp_folder
    pictures = sorted(path for path in sharp.rglob("*.png")) if sharp.is_dir() else []
    if not pictures:
        return False
    try:
        with Image.open(pictures[len(pictures) // 2]) as picture:
            small = picture.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
    small.thumbnail(THUMBNAIL)
    write_whole(place.thumbnail, lambda part: small.save(part, quality=85))
    return True
