"""Philox 4x32-10 on a CPU, and what is made of its words, in the way in which Triton makes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

U = np.uint64
ROUNDS = 10
ROUND_A, ROUND_B = U(0xD2511F53), U(0xCD9E8D57)
KEY_A, KEY_B = U(0x9E3779B9), U(0xBB67AE85)
LOW, HALF = U(0xFFFFFFFF), U(32)
SIGN = U(1 << 31)
SCALE = np.float32(4.6566127342e-10)  # as Triton has it: the largest whole number times this is still below 1
SMALLEST = np.float32(1e-7)  # the logarithm of a normal draw is taken of no less
TURN = np.float32(2 * np.pi)


@njit(inner=True)
def _philox(row, key):
    """Four words of 32 bits of a row."""
    c0, c1, c2, c3 = row & LOW, row >> HALF, U(0), U(0)
    k0, k1 = key & LOW, key >> HALF
    for _ in range(ROUNDS):
        a, b = ROUND_A * c0, ROUND_B * c2
        c0, c1, c2, c3 = (b >> HALF) ^ c1 ^ k0, b & LOW, (a >> HALF) ^ c3 ^ k1, a & LOW
        k0, k1 = (k0 + KEY_A) & LOW, (k1 + KEY_B) & LOW
    return c0, c1, c2, c3


@njit(inner=True)
def _uniform(word):
    """[0, 1) of a word read as a signed number: its negative half is folded over."""
    folded = LOW - word if word >= SIGN else word
    return np.float32(folded) * SCALE


@njit(part=True)
def _uniforms_some(begin, end, key, out):
    for i in range(begin, end):
        out[i] = _uniform(_philox(U(i), key)[0])


@njit
def _uniforms(team, count, *arguments):
    spread(_uniforms_some, team, count, arguments)


@njit
def _words(key, rows, out):
    """By one thread: most often the rows are a capture's photos, and waking the others takes longer."""
    for i in range(rows.shape[0]):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = _philox(U(rows[i]), key)


@njit(inner=True)
def draws(key, row):
    """Three normal draws of a row: by Box and Muller, two of each pair of words; the fourth is left."""
    words = _philox(row, key)
    first = np.sqrt(np.float32(-2) * np.log(max(_uniform(words[0]), SMALLEST)))
    angle = TURN * _uniform(words[1])
    second = np.sqrt(np.float32(-2) * np.log(max(_uniform(words[2]), SMALLEST)))
    return first * np.cos(angle), first * np.sin(angle), second * np.cos(TURN * _uniform(words[3]))


@njit(part=True)
def _normals_some(begin, end, key, rows, out):
    for i in range(begin, end):
        out[i, 0], out[i, 1], out[i, 2] = draws(key, U(rows[i]))


@njit
def _normals(team, count, *arguments):
    spread(_normals_some, team, count, arguments)


def uniform(key: int, count: int) -> NDArray[np.float32]:
    """[count] of rows 0 ... count - 1."""
    out = np.empty(count, np.float32)
    with kernel_lock:
        _uniforms(team(), count, U(key), out)
    return out


def words(key: int, rows: NDArray[np.int64]) -> NDArray[np.uint32]:
    """[N, 4] of rows [N]."""
    out = np.empty((len(rows), 4), np.uint32)
    with kernel_lock:
        _words(U(key), rows, out)
    return out


def normal(key: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """[N, 3] of rows [N]."""
    out = np.empty((len(rows), 3), np.float32)
    with kernel_lock:
        _normals(team(), len(rows), U(key), rows, out)
    return out
