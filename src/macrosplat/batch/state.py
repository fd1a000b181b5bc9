"""DIR/SPECIMEN/status.json: where a specimen stands, and what its run came to.

In: a folder of a specimen. Out: a `State`, or one that says that nothing was begun.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole

VERSION = 1
# `running` says that somebody has begun; whether he still is at it, the folder's lock says.
Name = Literal["waiting", "running", "done", "failed", "interrupted"]


class Figures(msgspec.Struct, frozen=True):
    """What a finished run came to, for the page and the table; None: it does not say."""

    photos: int | None = None
    registered: int | None = None
    gaussians: int | None = None
    steps: int | None = None
    seconds: float | None = None
    fit_psnr: float | None = None  # dB
    trust: str | None = None
    trust_because: str | None = None
    mm_per_unit: float | None = None
    mm_per_unit_source: str | None = None
    mm_uncertainty: float | None = None  # relative


class State(msgspec.Struct, frozen=True):
    """Where a specimen stands."""

    specimen: str
    state: Name = "waiting"
    folder: str = ""  # of its photos
    options: tuple[str, ...] = ()  # as the command line takes them
    sentence: str | None = None  # why it failed
    attempts: int = 0
    seconds: float = 0.0  # of the last attempt
    host: str = ""
    began: float = 0.0  # s since 1970
    figures: Figures = Figures()
    thumbnail: bool = False
    version: int = VERSION


class Place:
    """The folder of a specimen in DIR."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status = folder / "status.json"
        self.run = folder / "run"
        self.events = folder / "events.jsonl"
        self.log = folder / "log.txt"
        self.thumbnail = folder / "thumbnail.jpg"

    def read(self, specimen: str) -> State:
        """What stands in status.json; without one the specimen waits.

        Raises:
            MacrosplatError: it is damaged, or of another specimen.
        """
        try:
            state = msgspec.json.decode(self.status.read_bytes(), type=State)
        except FileNotFoundError:
            return State(specimen)
        except (OSError, ValueError, RecursionError) as error:  # msgspec's errors, and text that is no UTF-8
            raise MacrosplatError(
                f"{self.status} is damaged; remove it, and the specimen is looked at anew."
            ) from error
        if state.version != VERSION or state.specimen != specimen:
            raise MacrosplatError(f"{self.folder} is of another specimen or version; choose another --out.")
        return state

    def write(self, state: State) -> None:
        """Write status.json, whole or not at all."""
        text = msgspec.json.format(msgspec.json.encode(state), indent=1)
        write_whole(self.status, lambda part: part.write_bytes(text))
