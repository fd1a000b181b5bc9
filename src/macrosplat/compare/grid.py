"""The grid: every capture with every method and seed, each cell once, some of them at the same time.

In: captures, methods, seeds, DIR. Out: a finished run in each cell's folder, then tables and figure.

The points that given cameras see depend on the capture alone, and so do cameras that have to be found: both are made
once per capture (DIR/CAPTURE/cameras) and every cell begins with them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macrosplat.compare.cells import Cell, cells_of, finished
from macrosplat.options import Options
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import written
from macrosplat.support.progress import Progress

CAMERAS = "cameras"  # the folder, beside those of the methods, that holds what all cells of a capture begin with
LOOK_EVERY = 0.2  # s: how long a finished cell waits to be noticed
PATIENCE = 60.0  # s for interrupted cells to write their checkpoints


@dataclass(frozen=True)
class Task:
    """What a process of its own does; see `cell`."""

    name: str
    log: Path  # all that it says
    asked: dict[str, Any]


def compare(
    captures: Sequence[Path],
    methods: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    base: Options,
    jobs: int = 1,
    collect: bool = False,
    lpips: Sequence[Path] = (),
    command: Sequence[str] = (),
) -> str:
    """Run what is not finished, and write comparison.md, comparison.csv and comparison.png; see
    `macrosplat compare --help`. Returns the short table and where the files are.

    Raises:
        MacrosplatError: bad input, or cells that failed; the tables then hold the others.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    from macrosplat.compare.figure import write_figure
    from macrosplat.compare.tables import short_table, write_tables

    cells = cells_of(captures, methods, seeds, out, base)
    _check(cells, collect, lpips)
    left = [cell for cell in cells if not finished(cell)]
    failed: list[str] = []
    if not collect and left:
        failed = _run_all(left, out, base, jobs, lpips)
        left = [cell for cell in cells if not finished(cell)]
    done = [cell for cell in cells if cell not in left]
    if not done:
        raise MacrosplatError(failed[0] if failed else f"{out} holds no finished cell yet; run without --collect.")
    results = write_tables(out, done, left, command)
    write_figure(out / "comparison.png", done)
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise MacrosplatError(f"{failed[0]}{more} The tables in {out} hold the others; the same command tries again.")
    files = ", ".join(str(out / f"comparison.{kind}") for kind in ("md", "csv", "png"))
    return f"{short_table(results)}\n{files}"


def _check(cells: Sequence[Cell], collect: bool, lpips: Sequence[Path]) -> None:
    """Refuse what cannot work before the first cell is begun."""
    from macrosplat.deblur import check_deblur
    from macrosplat.evaluate.truth import open_truth

    for capture in dict.fromkeys(cell.capture for cell in cells):
        known = open_truth(capture)
        if not known.sharp and not known.novel:
            raise MacrosplatError(f"{capture} has neither sharp/ nor novel.json with novel/: nothing to compare with.")
    if collect:
        return
    if lpips:
        from macrosplat.evaluate.lpips import load_lpips

        load_lpips(lpips)
    for options in {cell.method: cell.options for cell in cells}.values():
        check_deblur(options)


def _run_all(cells: Sequence[Cell], out: Path, base: Options, jobs: int, lpips: Sequence[Path]) -> list[str]:
    """Cameras, then cells. Returns a sentence for everything that failed."""
    captures = {cell.folder.parent.parent: cell.capture for cell in cells}
    cameras = [
        Task(
            f"cameras of {folder.name}",
            folder / f"{CAMERAS}.log",
            {"cameras": str(folder / CAMERAS), "capture": str(capture), "options": asdict(base)},
        )
        for folder, capture in captures.items()
        if not Run(folder / CAMERAS).sparse.is_dir()
    ]
    share = _threads(jobs)
    with Progress() as progress:
        failed = _run(cameras, jobs, share, "finding cameras and points", progress) if cameras else []
        if failed:
            return failed
        tasks = [
            Task(
                cell.name,
                cell.folder.with_name(f"{cell.seed}.log"),
                {
                    "run": str(cell.folder),
                    "capture": str(cell.capture),
                    "method": cell.method,
                    "cameras": str(_shared(cell, base) or ""),
                    "options": asdict(cell.options),
                    "jobs": jobs,
                    "lpips": [str(path.resolve()) for path in lpips],
                },
            )
            for cell in cells
        ]
        return _run(tasks, jobs, share, "comparing", progress)


def _shared(cell: Cell, base: Options) -> Path | None:
    """The cameras of the capture; None where the method's own options make others."""
    same = all(getattr(cell.options, name) == getattr(base, name) for name in ("masks", "brackets"))
    return cell.folder.parent.parent / CAMERAS if same else None


def _threads(jobs: int) -> int:
    """How many cores each of `jobs` processes may take."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, there // jobs)


def _run(tasks: Sequence[Task], jobs: int, threads: int, stage: str, progress: Progress) -> list[str]:
    """Each task in a process of its own, `jobs` at a time. One that fails keeps no other from running."""
    progress.stage(stage, len(tasks))
    waiting, running, failed = list(tasks), list[tuple[Task, subprocess.Popen[bytes]]](), list[str]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop(0)
                running.append((task, _start(task, threads)))
            time.sleep(LOOK_EVERY)
            for task, process in [pair for pair in running if pair[1].poll() is not None]:
                running.remove((task, process))
                if process.returncode != 0:
                    failed.append(f"{task.name} failed: {_last_words(task.log)}")
                    progress.note(failed[-1])
                progress.advance()
    finally:
        _stop([process for _, process in running])
    return failed


def _start(task: Task, threads: int) -> subprocess.Popen[bytes]:
    few = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    with written(task.log):
        task.log.parent.mkdir(parents=True, exist_ok=True)
        with task.log.open("ab") as log:
            # A session of its own: Ctrl-C comes to this process alone, which passes it on once.
            return subprocess.Popen(
                [sys.executable, "-m", "macrosplat.compare.cell", json.dumps(task.asked)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | few,  # as `cli.own_process` left it, too
                start_new_session=True,
            )


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask all to end, give them time to save what they did."""
    each: list[Callable[[], Any]] = [lambda p=p: p.send_signal(signal.SIGTERM) for p in processes]
    each += [lambda p=p: p.wait(PATIENCE) for p in processes]
    for act in each:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            act()


def _last_words(log: Path) -> str:
    """The last line of a log, which is the sentence that a failed cell ends with."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"{lines[-1].removeprefix('macrosplat: ') if lines else 'it said nothing.'} (all of it: {log})"
