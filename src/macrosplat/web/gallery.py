"""The photos of a page: what is embedded in it, and what lies beside it where one file would grow too large.

In: photos as taken, sharp ones, maps of the circle of confusion. Out: data addresses, and `RUN/page/` with JPEG files
at native size.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from PIL import Image

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import below, write_whole
from macrosplat.support.threads import workers
from macrosplat.web.pictures import PIXEL, SIZES, fitting, photo_if_there, read_picture

FOLDER = "page"  # beside index.html
SIDES = ("taken", "sharp")
JPEG_QUALITY = 92
WEBP_BYTES = 0.12  # a pixel of a sharp photo: whether all photos fit at native size is told before they are opened
ORIENTATION = 0x0112  # EXIF


@dataclass(frozen=True)
class Gallery:
    """V photos."""

    small: list[list[str | None]]  # V of taken, sharp, circle: data addresses
    full: list[list[str | None]]  # V of taken, sharp: addresses of files beside the page; None: what is embedded is all


def gallery(
    names: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    before: Sequence[Path | None],
    after: Sequence[Path | None],
    circles: Sequence[Path | None],
    budget: int,
    folder: Path | None,
    write: bool,
) -> Gallery:
    """Everything at native size where `budget` bytes hold it; else smaller, with files in `folder`/page.

    Args:
        folder: the page's own; None: nothing lies beside it.
        write: whether those files are to be written; else those that are there are taken.
    """
    sides = [len([1 for file in files if file]) for files in (before, after)]
    pixels = sum(width * height for width, height in sizes) * sum(sides) / max(len(names), 1)
    most = max((width * height for width, height in sizes), default=0)
    widest = max((width for width, _ in sizes), default=0) if pixels * WEBP_BYTES < budget else None
    taken = [file and functools.partial(photo_if_there, file, widest or SIZES[0][0]) for file in before]
    made = [file and functools.partial(read_picture, file) for file in (*after, *circles)]
    beside: set[Path] = set()  # written already: files at native size that are surely needed, as they are opened
    if folder is not None and write:
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        if widest is None:
            for n, (name, file) in enumerate(zip(names, after, strict=False)):
                if file and not _shown_as_is(file):
                    beside.add(file)
                    made[n] = functools.partial(_read_and_write, file, _beside(folder, "sharp", name))
    found, width = fitting([*taken, *made], budget, widest, most)
    count = len(before)
    small = [[found[i + k * count] if k * count + i < len(found) else None for k in range(3)] for i in range(count)]
    if all(width >= w for w, _ in sizes) or folder is None:
        if beside and folder is not None:
            shutil.rmtree(folder / FOLDER, ignore_errors=True)
        return Gallery(small, [[None, None]] * count)
    if write:
        jobs = [(file, _beside(folder, side, name)) for side, files in zip(SIDES, (before, after), strict=True)
                for name, file in zip(names, files, strict=False) if file and file not in beside]  # fmt: skip
        with ThreadPoolExecutor(workers(PIXEL * most)) as pool:
            list(pool.map(lambda job: _write(*job), jobs))
    full = [[_address(folder, side, name) for side in SIDES] for name in names[:count]]
    return Gallery(small, full)


def linked(folder: Path) -> dict[str, Path]:
    """The files beside a page, by their addresses in it."""
    root = folder / FOLDER
    if not root.is_dir():
        return {}
    inside = (path for path in root.rglob("*.jpg") if path.resolve().is_relative_to(root.resolve()))
    return {path.relative_to(folder).as_posix(): path for path in inside}


def _beside(folder: Path, side: str, name: str) -> Path:
    return below(folder / FOLDER / side, f"{PurePosixPath(name).with_suffix('')}.jpg")


def _address(folder: Path, side: str, name: str) -> str | None:
    """As a browser takes it: a # or a % in a photo's name is no part of an address as it is."""
    path = _beside(folder, side, name)
    return quote(path.relative_to(folder).as_posix()) if path.is_file() else None


def _read_and_write(file: Path, into: Path) -> Image.Image:
    """The picture, written as JPEG on the way.

    Raises:
        MacrosplatError: it is damaged.
    """
    picture = read_picture(file)
    into.parent.mkdir(parents=True, exist_ok=True)
    write_whole(into, lambda part: picture.save(part, "JPEG", quality=JPEG_QUALITY, subsampling=0))
    return picture


def _write(file: Path, into: Path) -> None:
    """As it is where a browser shows it as it is; else as JPEG. One that cannot be read is left out."""
    into.parent.mkdir(parents=True, exist_ok=True)
    if _shown_as_is(file):
        write_whole(into, lambda part: shutil.copyfile(file, part))
        return
    with contextlib.suppress(MacrosplatError):
        _read_and_write(file, into)


def _shown_as_is(file: Path) -> bool:
    """Whether it is an upright JPEG in RGB."""
    try:
        with Image.open(file) as picture:
            return picture.format == "JPEG" and picture.mode == "RGB" and picture.getexif().get(ORIENTATION, 1) == 1
    except (OSError, ValueError):
        return False
