"""JSON of other programs, checked against a type: whatever stands in the file, a value of the type or one sentence.

In: a path. Out: what stands there, converted by msgspec. Numbers of any length are read: what float64 cannot hold is
infinite, which the reader refuses as it refuses NaN.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.reading import read_bytes

T = TypeVar("T")
LONGEST = 1 << 28  # bytes; 10,000 frames take 10 MB
LONG_INTEGER = 18  # digits that int64 holds
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def load_json(path: Path, finite: bool = False, remedy: str = "export it again, or remove it") -> Any:
    """What stands in the file.

    Args:
        finite: whether NaN and infinity are refused, which many programs write though they are not JSON.
        remedy: what to do if it is damaged.

    Raises:
        MacrosplatError: it cannot be read, is not JSON, or is nested without end.
    """
    content = read_bytes(path, LONGEST)
    try:
        text = content.decode(json.detect_encoding(content))  # UTF-16, too, which a Windows shell writes
        found = json.loads(
            text,
            parse_int=_integer,
            parse_float=_finite if finite else float,
            parse_constant=_finite if finite else float,
        )
        if SURROGATE.search(text):  # half a character may stand for a byte of a file's name (PEP 383), for nothing else
            json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except UnicodeDecodeError as error:
        raise MacrosplatError(f"{path} is not JSON (its bytes are no text); {remedy}.") from error
    except UnicodeEncodeError as error:
        raise MacrosplatError(f"{path} is not JSON (it holds half a character); {remedy}.") from error
    except ValueError as error:
        raise MacrosplatError(f"{path} is not JSON ({error}); {remedy}.") from error
    except RecursionError as error:
        raise MacrosplatError(f"{path} is nested too deeply; {remedy}.") from error
    return found


def checked(value: Any, kind: type[T], where: str, remedy: str = "correct it or export again") -> T:
    """`value` as a `kind`: strictly, but for whole numbers where a float is wanted.

    Args:
        where: the file and the place in it, for the sentence.
        remedy: what to do about it.

    Raises:
        MacrosplatError: it is another; the sentence says which entry, and what was expected.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        said = str(error)
        if at := re.search(r"`\$\.?([^`]*)`$", said):
            place, said = at[1], said[: at.start()].removesuffix(" - at ").strip()
            said = f"{place}: {_plain(said)}" if place else said
        raise MacrosplatError(f"{where}: {_plain(said)}; {remedy}.") from error
    except (RecursionError, OverflowError) as error:
        raise MacrosplatError(f"{where} holds numbers or lists beyond all bounds; export it again.") from error


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONG_INTEGER else float(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"it holds {digits[:20]}, which is no number to work with")
    return value


def _plain(said: str) -> str:
    """msgspec's words, those of a programmer's language translated."""
    said = said.replace("Object missing required field", "there is no")
    for word, plain in {
        "`float | null`": "a number",
        "`float`": "a number",
        "`int | null`": "a whole number",
        "`int`": "a whole number",
        "`str | null`": "text",
        "`str`": "text",
        "`array`": "a list",
        "`object`": "an object",
        "`bool`": "true or false",
        "`null`": "null",
    }.items():
        said = said.replace(word, plain)
    return said[:1].lower() + said[1:] if said.startswith(("Expected", "Number", "Object")) else said
