"""collection.csv: a line for each specimen, for a database.

In: specimens and where they stand. Out: CSV (UTF-8, RFC 4180): what macrosplat found, then the manifest's further
columns as they were.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from macrosplat.batch.manifest import Specimen
from macrosplat.batch.state import Figures, State
from macrosplat.support.files import write_whole

OWN = ("specimen", "state", "sentence", *(field for field in Figures.__struct_fields__), "attempts", "began", "run")


def write_table(path: Path, rows: Sequence[tuple[Specimen, State]]) -> None:
    """Write it, whole or not at all."""
    further = list(dict.fromkeys(name for specimen, _ in rows for name in specimen.fields))
    # A column of the manifest that is called like one of ours keeps its name, and ours its meaning.
    heading = [*OWN, *(f"manifest.{name}" if name in OWN else name for name in further)]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(heading)
    for specimen, state in rows:
        figures = msgspec.to_builtins(state.figures)
        mine = {**figures, **_own(specimen, state)}
        writer.writerow([*(_cell(mine[name]) for name in OWN), *(_cell(specimen.fields.get(name)) for name in further)])
    content = text.getvalue().encode("utf-8", "surrogateescape")
    write_whole(path, lambda part: part.write_bytes(content))


def _own(specimen: Specimen, state: State) -> dict[str, Any]:
    return {
        "specimen": specimen.name,
        "state": state.state,
        "sentence": state.sentence,
        "attempts": state.attempts,
        "began": state.began or None,
        "run": f"{specimen.key}/run",
    }


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
