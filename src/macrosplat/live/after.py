"""What the live view's page becomes when the training is over: the result, or a page that says how to go on.

In: RUN, what a browser asks for. Out: pages. A browser that has one of them asks this server for nothing more.
"""

from __future__ import annotations

import html
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import unquote

RESULT, ENDED = "/result/", "/ended/"
HTML = "text/html; charset=utf-8"
# What viser's page is told: it goes to another page, whose socket does not come back.
GO = "location.replace({!r});"
PAGE = Template(
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>macrosplat</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
    "<style>:root { color-scheme: light dark } body { max-width: 40rem; margin: 3rem auto; padding: 0 1rem; "
    "font: 1rem/1.5 system-ui, sans-serif } code { overflow-wrap: anywhere }</style></head>"
    "<body><h1>$title</h1><p>$text</p><p><code>$command</code></p></body></html>"
)


@dataclass(frozen=True)
class Answer:
    """Of a request."""

    content: bytes
    kind: str


class After:
    """The pages; `served` counts how many browsers have got one."""

    def __init__(self, page: Path, beside: Callable[[], Mapping[str, Path]]) -> None:
        """Args: page: RUN/index.html. beside: the pictures that it links to, by their addresses in it."""
        self._index, self._beside = page, beside
        self._shown = html.escape(os.fsencode(page.parent).decode("utf-8", "replace"))
        self._page: bytes | None = None  # how it ended, where there is no result
        self._arrived = threading.Condition()
        self.served = 0

    def end(self, finished: bool) -> str:
        """What ended: the address to go to."""
        if finished and self._index.is_file():
            return RESULT
        title = "The results are written." if finished else "The run has stopped."
        text = f"They are in {self._shown}." if finished else "What was done is kept; this goes on with it:"
        command = f"macrosplat {'view' if finished else 'continue'} {self._shown}"
        self._page = PAGE.substitute(title=title, text=text, command=command).encode()
        return ENDED

    def answer(self, path: str) -> Answer | None:
        """What stands at an address; None: nothing of this."""
        if path == ENDED and self._page is not None:
            return self._sent(Answer(self._page, HTML))
        if path == RESULT and self._index.is_file():
            note = (
                f'<p class="soft">The live view has ended; this page lies in {self._shown}, to open again.</p></header>'
            )
            content = self._index.read_bytes().replace(b"</header>", note.encode(), 1)
            return self._sent(Answer(content, HTML))
        file = self._beside().get(unquote(path.removeprefix(RESULT))) if path.startswith(RESULT) else None
        return Answer(file.read_bytes(), "image/jpeg") if file is not None and file.is_file() else None

    def wait(self, count: int, seconds: float) -> None:
        """Until so many browsers have got their page, but not longer than that."""
        until = time.monotonic() + seconds
        with self._arrived:
            while self.served < count and (left := until - time.monotonic()) > 0:
                self._arrived.wait(left)

    def _sent(self, answer: Answer) -> Answer:
        with self._arrived:
            self.served += 1
            self._arrived.notify_all()
        return answer
