"""`RUN/index.html` of a stack: the reference slice and the all-in-focus picture with a wiper, the depth, the slices.

In: RUN as `reconstruct` left it (sharp/, maps/, lens.json, config.json). Out: the page, without any program.
"""

from __future__ import annotations

import functools
import html
import importlib.resources
from typing import Annotated

import msgspec

from macrosplat.run import Run
from macrosplat.support.json import checked, load_json
from macrosplat.web.pictures import SIZES, fitting, photo_if_there, read_picture
from macrosplat.web.policy import policy

LARGEST = 6_000_000  # bytes that the pictures may take


class _Slice(msgspec.Struct):
    photo: str
    focus_position: float


class _Lens(msgspec.Struct):
    """What of a stack's `lens.json` is shown."""

    slices: Annotated[list[_Slice], msgspec.Meta(min_length=1)]
    nearest: str | None = None


def stack_page(run: Run) -> str:
    """The page.

    Raises:
        MacrosplatError: RUN is not finished, or a file of it is damaged.
    """
    name = str(run.manifest.stack)
    lens = checked(load_json(run.lens, finite=True), _Lens, str(run.lens))
    slices = lens.slices
    made = [run.sharp(name), run.map("depth_colour", name)]
    files = [run.taken(one.photo) for one in slices]
    # The two that are looked at closely are embedded larger than the slices.
    large, _ = fitting([functools.partial(read_picture, file) for file in made], LARGEST // 2, 1600)
    small, _ = fitting([file and functools.partial(photo_if_there, file, SIZES[0][0]) for file in files], LARGEST // 2)
    template = importlib.resources.files("macrosplat.web").joinpath("template.html").read_text(encoding="utf-8")
    style = template[template.index("<style>") : template.index("</style>") + len("</style>")]
    style = style.replace("$aspect", "4 / 3").replace("$backdrop", "none")
    middle = small[len(small) // 2]
    figures = "".join(
        f'<figure><img style="width:100%" alt="{html.escape(one.photo)}" src="{picture}"><figcaption>'
        f"<span>{html.escape(one.photo)}</span><span class='soft'>focus {one.focus_position:.2f}</span>"
        "</figcaption></figure>"
        for one, picture in zip(slices, small, strict=True)
        if picture
    )
    both = f'<img alt="one slice" src="{middle}"><img alt="all in focus" src="{large[0]}">'
    wiper = '<input type="range" min="0" max="100" value="50" aria-label="One slice to all in focus">'
    depth = (
        f"From near (yellow) to far (violet), relative. {html.escape(lens.nearest)} is focused nearest."
        if lens.nearest
        else f"From what is sharp in {html.escape(slices[0].photo)} (yellow) to what is sharp in "
        f"{html.escape(slices[-1].photo)} (violet), relative. Which of them is near, the slices do not tell."
    )
    title = html.escape(run.folder.resolve().name)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy([SCRIPT.encode()])}">'
        f'<title>{title}</title><link rel="icon" href="data:,">{style}</head><body><h1>{title}</h1><main>'
        '<p class="soft">Left of the line the middle slice, right of it all in focus.</p>'
        f'<div class="wiper">{both if middle else both[both.index("<img", 1) :]}{wiper}</div>'
        f'<h2>Depth</h2><p class="soft">{depth}</p>'
        f'<img style="width:100%" alt="depth" src="{large[1]}">'
        f'<h2>Slices</h2><div class="photos">{figures}</div></main><script>{SCRIPT}</script></body></html>'
    )


SCRIPT = (
    'for (const wiper of document.querySelectorAll(".wiper input")) wiper.addEventListener("input", () => '
    'wiper.parentElement.style.setProperty("--at", wiper.value + "%"));'
)
