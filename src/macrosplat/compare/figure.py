"""comparison.png: details of every capture, each method beside the truth, of the median and of the worst view.

In: finished cells with RUN/sharp and RUN/novel, and the truth. Out: one picture; a block per capture and kind of view.
Views are ranked by the mean PSNR of all methods; the detail is where the truth has most contrast: no method chooses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import uniform_filter

from macrosplat.compare.cells import Cell
from macrosplat.evaluate.records import DEBLURRED, NOVEL
from macrosplat.evaluate.truth import Truth, key_of, matching, open_truth, read_srgb
from macrosplat.photos.records import Photo
from macrosplat.run import Run
from macrosplat.support.colour import to_bytes
from macrosplat.support.files import write_whole

PART = 1 / 3  # of the width of a photo, the side of a detail
SIDE = 240  # px, of a detail in the picture
GAP, TEXT = 4, 14  # px

Pixels = NDArray[np.uint8]  # [H, W, 3] sRGB


def write_figure(path: Path, cells: Sequence[Cell]) -> None:
    """Draw what the first seed of every capture and method has."""
    first: dict[tuple[Path, str], Cell] = {}
    for cell in cells:
        first.setdefault((cell.capture, cell.method), cell)
    rows: list[tuple[str, list[tuple[str, Pixels | None]]]] = []
    for capture in dict.fromkeys(cell.capture for cell in cells):
        own = [cell for cell in first.values() if cell.capture == capture]
        truth = open_truth(capture)
        for section in (DEBLURRED, NOVEL):
            for rank, name in _chosen(own, section).items():
                title = f"{own[0].folder.parent.parent.name}, {section}: the {rank}, {name}"
                rows.append((title, _row(own, truth, section, name)))
    if rows:
        picture = _drawn(rows)
        write_whole(path, lambda part: picture.save(part, optimize=True))


def _chosen(cells: Sequence[Cell], section: str) -> dict[str, str]:
    """The median and the worst view by name."""
    found = [_photos(cell, section) for cell in cells]
    names = [name for name in found[0] if all(name in one for one in found)]
    if not names:
        return {}
    ranked = sorted(names, key=lambda name: (np.mean([_psnr(one[name]) for one in found]), name))
    return {"median": ranked[len(ranked) // 2], "worst": ranked[0]}


def _photos(cell: Cell, section: str) -> dict[str, Any]:
    evaluation = json.loads(Run(cell.folder).evaluation.read_text(encoding="utf-8"))
    return evaluation["photos"].get(section, {})


def _psnr(both: dict[str, Any]) -> float:
    return (both["mask"] or both["frame"])["psnr"]


def _row(cells: Sequence[Cell], truth: Truth, section: str, name: str) -> list[tuple[str, Pixels | None]]:
    """Details with what stands below them: the photo as taken, every method, the truth."""
    sharp = truth.sharp if section == DEBLURRED else truth.novel
    key = matching(name, sharp) or key_of(name)
    tests = {cell: _picture(cell, section, name) for cell in cells}
    width = next((test.shape[1] for test in tests.values() if test is not None), None)
    wanted = to_bytes(read_srgb(sharp[key], width))
    box = _detail(wanted)
    row: list[tuple[str, Pixels | None]] = []
    if section == DEBLURRED:
        taken: Photo = truth.as_shown()[key]
        row.append(("as taken", _cut(to_bytes(read_srgb(taken, width)), box)))
    for cell, test in tests.items():
        psnr = _psnr(_photos(cell, section)[name])
        row.append((f"{cell.method}  {psnr:.1f} dB", None if test is None else _cut(test, box)))
    return [*row, ("truth", _cut(wanted, box))]


def _picture(cell: Cell, section: str, name: str) -> Pixels | None:
    novel = Run(cell.folder).novel(name)
    path = Run(cell.folder).sharp(name) if section == DEBLURRED else novel
    return np.asarray(Image.open(path).convert("RGB")) if path.is_file() else None


def _detail(truth: Pixels) -> tuple[int, int, int]:
    """Left, top and side (px) of the square whose contrast is largest."""
    height, width = truth.shape[:2]
    side = max(1, min(height, round(PART * width)))
    gy, gx = np.gradient(truth.astype(np.float64).mean(2))
    busy = uniform_filter(np.hypot(gx, gy), side, mode="constant")
    half = side // 2
    inside = busy[half : height - (side - half) + 1, half : width - (side - half) + 1]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(left), int(top), side


def _cut(picture: Pixels, box: tuple[int, int, int]) -> Pixels:
    left, top, side = box
    return picture[top : top + side, left : left + side]


def _drawn(rows: Sequence[tuple[str, Sequence[tuple[str, Pixels | None]]]]) -> Image.Image:
    font = ImageFont.load_default(TEXT)
    line = TEXT + 2 * GAP
    most = max(len(row) for _, row in rows)
    size = most * (SIDE + GAP) + GAP, len(rows) * (SIDE + 2 * line) + GAP
    out = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(out)
    for r, (title, row) in enumerate(rows):
        top = r * (SIDE + 2 * line)
        pen.text((GAP, top + GAP), title, "black", font)
        for c, (label, detail) in enumerate(row):
            left = GAP + c * (SIDE + GAP)
            if detail is not None:
                out.paste(Image.fromarray(detail).resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, top + line))
            while pen.textlength(label, font) > SIDE and len(label) > 4:  # a long method keeps its end: the figure
                label = "…" + label[2:]
            pen.text((left, top + line + SIDE + GAP), label, "black", font)
    return out
