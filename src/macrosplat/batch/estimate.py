"""Disk and memory that a collection will want, before its first specimen begins.

In: specimens. Out: bytes, from the sizes of their photos (of each folder the first photo stands for all of it).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from macrosplat.batch.manifest import Specimen
from macrosplat.batch.store import is_address
from macrosplat.photos.decode import SUFFIXES
from macrosplat.photos.find import PHOTO_FOLDERS
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.memory import available

# Bytes that a run keeps (experiments: collections): of each pixel of its photos, of each of the training width, of each
# Gaussian, and whatever it is of.
PER_PIXEL, PER_TRAINED_PIXEL, PER_GAUSSIAN, FIXED = 2.0, 12.0, 700.0, 3e6


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


def disk(sizes: Sequence[tuple[Specimen, Size]]) -> float:
    """Bytes that their runs will take."""
    total = 0.0
    for specimen, size in sizes:
        options = specimen.options
        width = min(options.width or size.width, size.width)
        trained = size.photos * width * width * size.height / size.width
        gaussians = options.max_gaussians or 0.4 * width * width * size.height / size.width
        total += FIXED + PER_PIXEL * size.photos * size.width * size.height
        total += PER_TRAINED_PIXEL * trained + PER_GAUSSIAN * gaussians
    return total


def memory(sizes: Sequence[tuple[Specimen, Size]]) -> float | None:
    """Bytes that the largest of them takes while it is trained, as `macrosplat reconstruct` reckons. In a process of
    its own: this one stays small. None: it cannot be told."""
    wide = [(specimen.options, size) for specimen, size in sizes if specimen.options.width]
    if not wide:  # else the width is made to fit
        return None
    options, size = max(wide, key=lambda one: min(one[0].width or 0, one[1].width) * one[1].height / one[1].width)
    numbers = options.width, options.max_gaussians, options.quality, options.aperture_samples(), size.width, size.height
    asked = [sys.executable, "-m", "macrosplat.batch.memory", json.dumps(numbers)]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    return float(said.stdout) if said.returncode == 0 else None


def check(specimens: Sequence[Specimen], out: Path, workers: int) -> str:
    """A sentence on what is expected.

    Raises:
        MacrosplatError: there is not so much; says what to do.
    """
    sizes = [(one, size) for one in specimens if (size := size_of(one.folder)) is not None]
    if not sizes:
        return "What the runs will take cannot be told before their photos are here."
    there = out
    while not there.exists():
        there = there.parent
    wanted, free = disk(sizes), shutil.disk_usage(there).free
    if wanted > free:
        raise MacrosplatError(
            f"{len(sizes)} runs will take about {wanted / 1e9:.1f} GB in {out}, and {free / 1e9:.1f} GB are free; free "
            "some, choose another --out, or do a part (--only, --shard)."
        )
    each, free = memory(sizes), available()
    if each is not None and free is not None and workers * each > free:
        raise MacrosplatError(
            f"{workers} runs at a time will need about {workers * each / 1e9:.1f} GB of memory, and {free / 1e9:.1f} "
            f"GB are free; give --workers {max(1, int(free / each))}, or a smaller --width."
        )
    memory_said = f", {workers * each / 1e9:.1f} GB of memory" if each is not None else ""
    return f"Expected: about {_amount(wanted)} on the disk{memory_said}."


def _amount(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
