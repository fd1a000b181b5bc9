"""Names of photos as files of other programs write them: which photo on disk is meant.

Macs decompose accents, Windows does not tell upper from lower case and writes backslashes, programs name folders of
another machine and formats that the photos were developed to since. In: names. Out: pairs; a looser likeness counts
only where it is unambiguous on both sides.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote


def forward(name: str) -> str:
    """The name with forward slashes, without `./`."""
    return re.sub(r"^(\./+)+", "", name.replace("\\", "/"))


def same_text(name: str) -> str:
    """As `forward`, with composed accents."""
    return unicodedata.normalize("NFC", forward(name))


def same_letters(name: str) -> str:
    """As `same_text`, upper and lower case alike."""
    return unicodedata.normalize("NFC", same_text(name).casefold())


def without_suffix(name: str) -> str:
    """As `same_letters`, in whatever format the photo is."""
    path = PurePosixPath(same_letters(name))
    return str(path.with_suffix("")) if path.name else str(path)


def without_folder(name: str) -> str:
    """As `same_letters`, wherever the photo lies."""
    return PurePosixPath(same_letters(name)).name


def bare(name: str) -> str:
    """The photo's own name, without folder and suffix."""
    return PurePosixPath(without_folder(name)).stem


def with_last_folder(name: str) -> str:
    """As `without_suffix`, in which of several folders the photo lies: images/left/1.jpg is left/1.jpg."""
    return "/".join(PurePosixPath(without_suffix(name)).parts[-2:])


def unescaped(name: str) -> str:
    """As `without_suffix`, of an address: img%201.jpg is img 1.jpg."""
    return without_suffix(unquote(name))


CLOSE: tuple[Callable[[str], str], ...] = (str, forward, same_text, same_letters, without_suffix, unescaped)
ELSEWHERE: tuple[Callable[[str], str], ...] = (with_last_folder, without_folder, bare)


def matched(wanted: Sequence[str], there: Sequence[str]) -> dict[int, int]:
    """Index of a wanted name to the index of the one that is meant.

    Folders may differ only if no name matches with its folder: `left/1.jpg` is not `right/1.jpg`.
    """
    pairs: dict[int, int] = {}
    for like in CLOSE:
        pairs |= _alike(like, wanted, there, pairs)
    if pairs:
        return pairs
    for like in ELSEWHERE:
        pairs |= _alike(like, wanted, there, pairs)
        if pairs and like is with_last_folder:
            break
    return pairs


def _alike(
    like: Callable[[str], str], wanted: Sequence[str], there: Sequence[str], known: dict[int, int]
) -> dict[int, int]:
    taken = set(known.values())
    by_key: dict[str, list[int]] = {}
    for n, name in enumerate(there):
        if n not in taken:
            by_key.setdefault(like(name), []).append(n)
    askers: dict[str, list[int]] = {}
    for n, name in enumerate(wanted):
        if n not in known:
            askers.setdefault(like(name), []).append(n)
    return {ask[0]: by_key[key][0] for key, ask in askers.items() if len(ask) == 1 and len(by_key.get(key, ())) == 1}


def is_text(name: str) -> bool:
    """Whether files of other programs can hold the name: those of a disk may be bytes that are no UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:  # half a character (PEP 383)
        return False
    return True


def plain(name: str, most: int = 100) -> str:
    """A name of a stranger's file for a sentence: one line, not too long."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return printable if len(printable) <= most else f"{printable[:most]}..."


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names for a sentence: all of them if few, else the first and how many more."""
    names = list(names)
    rest = len(names) - most
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:most])} and {rest} more"


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts 2.jpg before 10.jpg. Text and numbers alternate, so that like is compared with like."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if n % 2 else part.casefold() for n, part in enumerate(parts)], name
