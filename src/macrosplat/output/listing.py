"""What stands in a folder of runs: a line for each. Needs no torch.

In: a folder. Out: text.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from macrosplat.manifest import Manifest
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.progress import duration

HEAD = ("Run", "Photos", "Steps", "Took", "Fit", "Last written", "")


def list_runs(folder: Path) -> str:
    """The runs in `folder`, in the folders below it, and `folder` itself if it is one.

    Raises:
        MacrosplatError: there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise MacrosplatError(f"{folder} is no folder; give one that runs were written to.")
    rows = [_row(run, folder) for run in found_runs(folder)]
    if not rows:
        raise MacrosplatError(f"{folder} holds no run of macrosplat; give a folder that runs were written to.")
    return _table([HEAD, *rows])


def found_runs(folder: Path) -> list[Run]:
    """The runs in `folder` and in two levels of folders below it."""
    found = [folder, *sorted(folder.glob("*")), *sorted(folder.glob("*/*"))]
    return [Run(one) for one in found if (one / "config.json").is_file()]


def _row(run: Run, folder: Path) -> tuple[str, ...]:
    name = run.folder.relative_to(folder).as_posix() if run.folder != folder else str(folder)
    written = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.manifest_file.stat().st_mtime))
    try:
        made = run.manifest
    except MacrosplatError as error:
        return (name, "", "", "", "", written, str(error))
    if made.stack is not None:
        return (name, str(len(made.photos)), "", duration(made.seconds), "", written, _page(run, "a stack"))
    steps, fit, state = "", "", "begun; `macrosplat continue` goes on"
    if made.summary is not None:
        steps, fit = f"{made.summary.steps:,}", f"{made.summary.fit_psnr:.1f} dB"
        state = _page(run, "stopped early" if _early(made, made.summary.steps) else "done")
    return (name, str(len(made.photos)), steps, duration(made.seconds), fit, written, state)


def _early(made: Manifest, steps: int) -> bool:
    return made.planned is not None and steps < made.planned


def _page(run: Run, state: str) -> str:
    return f"{state}; {run.page}" if run.page.is_file() else state


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEAD))]
    right = {1, 2, 3, 4}
    lines = []
    for row in rows:
        cells = [cell.rjust(widths[n]) if n in right else cell.ljust(widths[n]) for n, cell in enumerate(row)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
