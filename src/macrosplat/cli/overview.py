"""`macrosplat --help`: what there is, a line or two for each command, at any width.

In: the commands, records whose texts begin with a sentence. Out: text.
"""

from __future__ import annotations

import inspect
import textwrap

from macrosplat.cli.commands import COMMANDS

GROUPS = {
    "To begin": ("demo", "studio", "reconstruct"),
    "Runs": ("continue", "list", "view"),
    "To take away": ("export", "render"),
    "Many specimens, and targets to print": ("batch", "targets"),
    "To measure": ("evaluate", "compare", "bench"),
}
PROGRAM = "Sharp photos and a sharp 3D scene from blurred macro photographs."
WIDTH = 100  # columns where nobody says
INDENT, GAP = 2, 2


def overview(width: int | None) -> str:
    """The commands by what they are for."""
    width, column = width or WIDTH, max(map(len, COMMANDS))
    lines = ["usage: macrosplat COMMAND ...", "", *textwrap.wrap(PROGRAM, width)]
    for title, names in GROUPS.items():
        lines += ["", f"{title}:"]
        for name in names:
            text = inspect.cleandoc(COMMANDS[name].__doc__ or "").split("\n\n")[0].replace("\n", " ")
            first = f"{'':{INDENT}}{name:{column + GAP}}"
            lines += textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * len(first))
    after = (
        "`macrosplat COMMAND --help` explains a command; --version; --completion bash, zsh or fish makes a shell "
        "complete commands and options."
    )
    return "\n".join([*lines, "", *textwrap.wrap(after, width, break_on_hyphens=False)])
