"""Damage to good files: bytes, header numbers, entries of JSON.

In: a file's bytes, a random generator. Out: other bytes.
"""

from __future__ import annotations

import copy
import io
import json
import random
import re
import zipfile
from typing import Any

NASTY: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        1,
        10**9,
        10**30,
        1e300,
        -1e300,
        1e-300,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\0",
        "../../../etc",
    ),
    *(
        "/etc/passwd",
        "\ud800",
        "x" * 5000,
        [],
        {},
        [[]],
        [None],
        {"": None},
        [1, 2],
        {"a": {"b": "c"}},
        "0x10",
        "<script>",
    ),
]
NUMBERS = [
    b"-1",
    b"0",
    b"1.5",
    b"many",
    b"",
    b"0x10",
    b"1e400",
    b"NaN",
    b"9" * 40,
    b"9" * 400,
    b"9" * 5000,
    b"4294967295",
]


def damaged(data: bytes, rng: random.Random, head: int = 2000) -> bytes:
    """One to three changes of bytes; half of them in the first `head`."""
    for _ in range(rng.randint(1, 3)):
        size = len(data)
        at = rng.randrange(max(1, min(head, size) if rng.random() < 0.5 else size))
        change = rng.randrange(9)
        if change == 0:
            data = data[:at]
        elif change == 1:
            flipped = bytearray(data)
            for place in range(at, min(size, at + rng.randint(1, 8))):
                flipped[place] = rng.randrange(256)
            data = bytes(flipped)
        elif change == 2:
            data = data[:at] + rng.randbytes(rng.randint(1, 40)) + data[at:]
        elif change == 3:
            data = data[:at] + data[at + rng.randint(1, 60) :]
        elif change == 4:
            piece = data[at : at + rng.randint(1, 60)]
            data = data[:at] + piece * 3 + data[at:]
        elif change == 5:
            data = data[:at] + bytes([rng.choice([0, 255, 127, 128])]) * rng.randint(1, 400) + data[at + 1 :]
        elif change == 6:
            found = list(re.finditer(rb"-?\d+(\.\d+)?", data[:head]))
            if found:
                one = rng.choice(found)
                data = data[: one.start()] + rng.choice(NUMBERS) + data[one.end() :]
        elif change == 7:
            data = data[:head].replace(b"\n", rng.choice([b"\r\n", b"\n\n", b" ", b"\0"])) + data[head:]
        else:  # a field of four or eight bytes becomes extreme: counts, offsets
            wide = rng.choice(
                [b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\0\0\0\x80", b"\x7f\xff\xff\xff", b"\0\0\xc0\x7f"]
            )
            data = data[:at] + wide + data[at + len(wide) :]
    return data


def damaged_json(data: bytes, rng: random.Random) -> bytes:
    """Another value, no value, or another name at some places; sometimes bytes, as of any file."""
    if rng.random() < 0.2:
        return damaged(data, rng)
    found = json.loads(data)
    for _ in range(rng.randint(1, 2)):
        found = _altered(found, rng)
    text = json.dumps(found)
    if rng.random() < 0.1:
        text = re.sub(r"\d+", "9" * rng.choice([20, 400, 5000]), text, count=1)
    return text.encode()


def _altered(value: Any, rng: random.Random) -> Any:
    """`value` with one place changed, however deep."""
    if isinstance(value, dict | list) and value and rng.random() < 0.93:
        value = copy.copy(value)
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        what = rng.random()
        if what < 0.08:
            del value[key]
        elif what < 0.12 and isinstance(value, dict):
            value[f"{key}x"] = value.pop(key)
        elif what < 0.16 and isinstance(value, list):
            value.append(value[key])
        else:
            value[key] = _altered(value[key], rng)
        return value
    return copy.copy(rng.choice(NASTY))


def damaged_member(data: bytes, rng: random.Random) -> bytes:
    """A ZIP with one of its files damaged, those of JSON more often, and checksums that fit."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    texts = [name for name in members if name.endswith(".json")]
    name = rng.choice([*members, *(3 * texts)])
    members[name] = damaged_json(members[name], rng) if name in texts else damaged(members[name], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()
