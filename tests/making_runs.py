"""A folder RUN of which only the record is real: what a test wants to be read from one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from macrosplat.manifest import Manifest
from macrosplat.options import Options
from macrosplat.options.older import VERSION
from macrosplat.photos.taken import TakenPhoto
from macrosplat.run import Run
from macrosplat.support.files import write_json


def begun(root: Path, names: Sequence[str], capture: Path = Path("capture"), **found: Any) -> Run:
    """RUN of photos that would lie in `capture/photos`, with its `config.json`."""
    photos = tuple(TakenPhoto(name, f"photos/{name}", 96, 72, "0") for name in names)
    found = {"options": Options(), "command": ("macrosplat",), **found}
    manifest = Manifest(version=VERSION, capture=str(capture), photos=photos, **found)
    write_json(root / "config.json", msgspec.to_builtins(manifest))
    return Run(root)
