"""The cells of a grid: what each of them is, and whether it has its result.

In: captures, methods, seeds, DIR. Out: `Cell`s.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from macrosplat.compare.methods import folder_of, options_of
from macrosplat.options import Options
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError


@dataclass(frozen=True)
class Cell:
    """One run: a capture, a method, a seed."""

    capture: Path
    method: str
    seed: int
    options: Options
    folder: Path  # RUN

    @property
    def name(self) -> str:
        return f"{self.folder.parent.parent.name} {self.method} seed {self.seed}"


def cells_of(
    captures: Sequence[Path], methods: Sequence[str], seeds: Sequence[int], out: Path, base: Options
) -> list[Cell]:
    """The grid, seed by seed: what was interrupted early has every method once.

    Raises:
        MacrosplatError: an unknown method, two captures of one name, or something twice.
    """
    for what, given in (("capture", captures), ("method", methods), ("seed", seeds)):
        if not given:
            raise MacrosplatError(f"There is no {what} to compare; name at least one.")
    names = [capture.resolve().name for capture in captures]
    for what, given in (("capture", names), ("method", list(methods)), ("seed", [str(seed) for seed in seeds])):
        twice = sorted({one for one in given if given.count(one) > 1})
        if twice:
            raise MacrosplatError(f"{what} {twice[0]} is there twice; its results would share one folder.")
    chosen = [(method, options_of(method, base)) for method in methods]
    return [
        Cell(capture, method, seed, replace(options, seed=seed), out / name / folder_of(method) / str(seed))
        for seed in seeds
        for capture, name in zip(captures, names, strict=True)
        for method, options in chosen
    ]


def finished(cell: Cell) -> bool:
    """Whether a cell has its result.

    Raises:
        MacrosplatError: it has one, of other options.
    """
    run = Run(cell.folder)
    try:
        done = json.loads(run.cell.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not run.manifest_file.is_file():
        return False
    run.refuse_other_options(cell.options)
    return bool(done.get("finished")) and run.evaluation.is_file()
