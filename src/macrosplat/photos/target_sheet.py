"""A sheet of coded targets to print, cut out and lay around an object, and the file of their sizes.

In: their side in mm, how many. Out: a PDF page of true size (A4 or US letter), and beside it a .json for --targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from macrosplat.photos.targets import Family
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import no_strangers_beside, write_json, write_whole

Paper = Literal["a4", "letter"]
PAPERS: dict[Paper, tuple[float, float]] = {"a4": (210.0, 297.0), "letter": (215.9, 279.4)}  # mm
DPI = 1200  # of the page: a cell of a 2 mm target is 12 dots
MM = DPI / 25.4  # dots
MARGIN, RULER = 12.0, 100.0  # mm
LEAST, MOST = 1.0, 150.0  # mm of a side
QUIET = 1.5  # cells of white between a target and its cutting line
LETTERS = 2.5  # mm high


@dataclass(frozen=True)
class Sheet:
    """What was drawn."""

    count: int
    side_mm: float  # as printed: a cell is a whole number of dots
    sizes: Path  # the .json


def write_sheet(out: Path, side_mm: float, count: int, first: int, family: str, paper: Paper) -> Sheet:
    """Draw `count` targets from number `first` on, as many as the page takes.

    Raises:
        MacrosplatError: OpenCV is missing, a size is none, or the family has not so many.
    """
    if out.suffix.lower() != ".pdf":
        raise MacrosplatError(f"{out} is no name for a PDF; let it end in .pdf.")
    no_strangers_beside(out, (".json",))
    if not LEAST <= side_mm <= MOST:
        raise MacrosplatError(f"--tag-mm is {side_mm:g}; targets of {LEAST:g} to {MOST:g} mm are printed.")
    kind = Family(family)
    if first < 0 or count < 1 or first + count > kind.count:
        raise MacrosplatError(f"{kind.name} has the numbers 0 to {kind.count - 1}; give another --first or --count.")
    width, height = (round(mm * MM) for mm in PAPERS[paper])
    cell = max(1, round(side_mm / kind.cells * MM))
    side, margin, letters = cell * kind.cells, round(MARGIN * MM), round(LETTERS * MM)
    quiet = round(QUIET * cell)
    across, down = side + 2 * quiet, side + 2 * quiet + letters
    columns, rows = (width - 2 * margin) // across, (height - 2 * margin - 4 * letters) // down
    fits = columns * rows
    if fits < 1:
        raise MacrosplatError(f"A target of {side_mm:g} mm does not fit the page; give a smaller --tag-mm.")
    count = min(count, fits)
    page = Image.new("1", (width, height), 1)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(letters)
    exact = side / MM
    for k in range(count):
        x, y = margin + k % columns * across, margin + k // columns * down
        draw.rectangle((x, y, x + across, y + down), outline=0, width=3)
        page.paste(Image.fromarray(kind.drawing(first + k, cell)).convert("1"), (x + quiet, y + quiet))
        draw.text((x + quiet, y + across - letters // 8), str(first + k), fill=0, font=font)
    _ruler(draw, margin, height - margin, letters, font, f"{kind.name}, side of the black square {exact:.3f} mm")
    write_whole(out, lambda part: page.save(part, "PDF", resolution=DPI))
    sizes = out.with_suffix(".json")
    write_json(sizes, {"family": kind.name, "tags": {str(first + k): round(exact, 4) for k in range(count)}})
    return Sheet(count, exact, sizes)


def _ruler(draw: ImageDraw.ImageDraw, left: int, bottom: int, letters: int, font, text: str) -> None:
    """A line of 100 mm with a tick each 10: what the printer made of it is read off there."""
    draw.line((left, bottom, left + round(RULER * MM), bottom), fill=0, width=5)
    for mm in range(0, round(RULER) + 1, 10):
        x = left + round(mm * MM)
        draw.line((x, bottom - letters, x, bottom), fill=0, width=5)
    words = f"{RULER:g} mm: print at 100 %, and measure. {text}"
    draw.text((left, bottom - 5 * letters // 2), words, fill=0, font=font)
