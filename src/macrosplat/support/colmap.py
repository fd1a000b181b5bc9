"""pycolmap, imported so that the program that imports it keeps its own answer to SIGTERM."""

from __future__ import annotations

import contextlib
import signal

# pycolmap, once imported, answers SIGTERM with a page of addresses and ends: the answer from before is put back. Only
# the main thread may do so.
_before = signal.getsignal(signal.SIGTERM)
import pycolmap as pycolmap  # noqa: E402

with contextlib.suppress(ValueError):
    signal.signal(signal.SIGTERM, _before or signal.SIG_DFL)
