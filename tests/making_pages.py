"""Where the tests of pages find a browser, and how they skip without one."""

from __future__ import annotations

from shutil import which

import pytest

# Where Debian and Ubuntu put it.
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := which(name))), None)
# WebGL on the CPU.
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
browsable = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
