"""Being asked to stop, by Ctrl-C or `kill`, without being torn out of the middle of a step."""

from __future__ import annotations

import signal
from typing import Any


class Stop:
    """Notes SIGINT and SIGTERM instead of letting them fall into the middle of a step. A second one falls through."""

    def __enter__(self) -> Stop:
        self.asked = False
        self._before: dict[int, Any] = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        except ValueError:  # not the main thread: whoever started it decides about signals
            pass
        return self

    def _note(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
