"""Text for whoever reads it: wrapped between words to the width of a terminal, left alone where a program reads.

In: sentences. Out: the same, perhaps on several lines.
"""

from __future__ import annotations

import os
import shutil
import textwrap
from typing import TextIO

WIDEST = 120  # columns: longer lines are hard to read
NARROWEST = 40
LONGEST = 600  # characters of a sentence


def width_of(stream: TextIO) -> int | None:
    """Columns that text may take; None where nobody looks (a file, a pipe)."""
    try:
        seen = stream.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    except ValueError:  # closed
        return None
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns)) if seen else None


def printable(text: str) -> str:
    """Without what a terminal would obey or cannot show: names and EXIF come from strangers."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def shortened(text: str, most: int = LONGEST) -> str:
    """A sentence that quotes something endless, cut in the middle: its end says what to do."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def wrapped(text: str, width: int | None, indent: str = "") -> str:
    """`text`, each of its lines broken between words; continued lines begin with `indent`. Paths stay whole."""
    text = printable(text)
    if width is None:
        return text
    lines = []
    for line in text.splitlines():
        lines += textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(lines)
