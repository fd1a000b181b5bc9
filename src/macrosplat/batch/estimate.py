"""Disk and memory that a collection will want, before its first specimen begins.

In: specimens. Out: bytes, from the sizes of their photos (of each folder the first photo stands for all of it).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from macrosplat.batch.manifest import Specimen
from macrosplat.batch.store import is_address
from macrosplat.photos.folders import PHOTO_FOLDERS
from macrosplat.photos.kinds import SUFFIXES
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.memory import available
from macrosplat.support.progress import duration


@dataclass(frozen=True)
class Needs:
    """What runs take, one after the other."""

    seconds: float
    disk: float  # bytes
    memory: float  # bytes, of the largest of them


@dataclass(frozen=True)
class Size:
    """The photos of a specimen."""

    photos: int
    width: int
    height: int


def size_of(folder: str) -> Size | None:
    """Of a folder of photos; None: it holds none that can be opened here."""
    from PIL import Image

    if is_address(folder):
        return None
    root = Path(folder)
    places = [root, *(root / name for name in PHOTO_FOLDERS)]
    for place in places:
        try:
            names = sorted(one.path for one in os.scandir(place) if Path(one.name).suffix.lower() in SUFFIXES)
        except OSError:
            continue
        for name in names[:1]:
            try:
                with Image.open(name) as picture:  # reads the header only
                    return Size(len(names), *picture.size)
            except (OSError, ValueError, Image.DecompressionBombError):
                return None
    return None


def needs_of(sizes: Sequence[tuple[Specimen, Size]]) -> Needs | None:
    """What their runs take, as `macrosplat reconstruct` reckons, in a process of its own: this one stays small. None:
    it cannot be told."""
    kinds = Counter((specimen.options, size) for specimen, size in sizes)
    asked = [[asdict(o), size.photos, size.width, size.height, count] for (o, size), count in kinds.items()]
    said = subprocess.run(
        [sys.executable, "-m", "macrosplat.batch.needs"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    return Needs(**json.loads(said.stdout)) if said.returncode == 0 else None


def check(specimens: Sequence[Specimen], out: Path, workers: int) -> str:
    """A sentence on what is expected.

    Raises:
        MacrosplatError: there is not so much; says what to do.
    """
    sizes = [(one, size) for one in specimens if (size := size_of(one.folder)) is not None]
    needs = needs_of(sizes) if sizes else None
    if needs is None:
        return "What the runs will take cannot be told before their photos are here."
    runs = "1 run" if len(sizes) == 1 else f"{len(sizes):,} runs"
    there = out
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if needs.disk > free:
        raise MacrosplatError(
            f"{runs} will take about {_amount(needs.disk)} in {out}, and {_amount(free)} are free; free "
            "some, choose another --out, or do a part (--only, --shard)."
        )
    memory, free = workers * needs.memory, available()
    if free is not None and memory > free:
        raise MacrosplatError(
            f"{workers} runs at a time will need about {_amount(memory)} of memory, and {_amount(free)} are free; give "
            f"--workers {max(1, int(free / needs.memory))}, or a smaller --width."
        )
    return (
        f"{runs} will take about {duration(needs.seconds / workers)}, {_amount(needs.disk)} of disk and "
        f"{_amount(memory)} of memory."
    )


def _amount(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
