"""Files damaged on purpose: what is done to the bytes of a good one, as hypothesis draws it."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# The same examples every time, and no file of their own kept: a failure here is one for everybody. The long campaign
# with other examples is benchmarks/fuzz.py.
BOUNDED = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NUMBERS = [b"-1", b"0", b"1.5", b"many", b"", b"0x10", b"1e400", b"NaN", b"9" * 40, b"9" * 400, b"9" * 5000]


def _cut(data: bytes, share: float) -> bytes:
    return data[: int(share * len(data))]


def _flipped(data: bytes, places: list[tuple[float, int]]) -> bytes:
    out = bytearray(data)
    for share, value in places:
        if out:
            out[min(int(share * len(out)), len(out) - 1)] = value
    return bytes(out)


def _inserted(data: bytes, share: float, what: bytes) -> bytes:
    at = int(share * len(data))
    return data[:at] + what + data[at:]


def _without(data: bytes, share: float, count: int) -> bytes:
    at = int(share * len(data))
    return data[:at] + data[at + count :]


def _repeated(data: bytes, share: float, count: int) -> bytes:
    at = int(share * len(data))
    return data[:at] + data[at : at + count] * 3 + data[at + count :]


def damaged(data: bytes, head: int | None = None) -> st.SearchStrategy[bytes]:
    """Other bytes than `data`: cut, flipped, put in, left out, repeated, zeroed, or with a number replaced by another.

    Args:
        head: bytes at the beginning that are damaged as often as all the others together.
    """
    share = st.floats(0, 1)
    if head is not None:
        share = st.one_of(st.floats(0, head / len(data)), share)
    byte = st.integers(0, 255)
    changes: list[st.SearchStrategy[Callable[[bytes], bytes]]] = [
        share.map(lambda s: lambda d: _cut(d, s)),
        st.lists(st.tuples(share, byte), min_size=1, max_size=8).map(lambda p: lambda d: _flipped(d, p)),
        st.tuples(share, st.binary(max_size=40)).map(lambda a: lambda d: _inserted(d, *a)),
        st.tuples(share, st.integers(1, 60)).map(lambda a: lambda d: _without(d, *a)),
        st.tuples(share, st.integers(1, 60)).map(lambda a: lambda d: _repeated(d, *a)),
        st.tuples(share, st.integers(1, 400), byte).map(
            lambda a: lambda d: d[: int(a[0] * len(d))] + bytes([a[2]]) * a[1] + d[int(a[0] * len(d)) + a[1] :]
        ),
        st.tuples(st.integers(0, 40), st.sampled_from(NUMBERS)).map(lambda a: lambda d: _renumbered(d, *a)),
        st.sampled_from([b"\r\n", b"\n\n", b" ", b"\t", b"\0"]).map(lambda new: lambda d: _relined(d, new)),
    ]
    return st.lists(st.one_of(changes), min_size=1, max_size=2).map(lambda todo: _applied(data, todo))


def _applied(data: bytes, todo: list[Callable[[bytes], bytes]]) -> bytes:
    for change in todo:
        data = change(data)
    return data


def _renumbered(data: bytes, which: int, new: bytes) -> bytes:
    """The number of this place in the text (of its first 2000 bytes, where headers are) becomes another."""
    import re

    found = list(re.finditer(rb"-?\d+(\.\d+)?", data[:2000]))
    if not found:
        return data
    one = found[which % len(found)]
    return data[: one.start()] + new + data[one.end() :]


def _relined(data: bytes, new: bytes) -> bytes:
    """The ends of lines of a header become others."""
    return data[:2000].replace(b"\n", new) + data[2000:]
