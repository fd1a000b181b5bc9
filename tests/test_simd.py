"""Lanes in kernels: each does what numpy does with eight numbers."""

from __future__ import annotations

import numpy as np
import pytest

from macrosplat.support import simd
from macrosplat.support.numba import njit
from macrosplat.support.simd import lanes, load, power_of_two, ramp, repeat, root, select, store

F = np.float32
NUMBERS = np.array([3, -1, 4, 1.5, -5, 9, 2, 6], F)
OTHERS = np.array([2, 7, -1, 8, 2, 8, 1, 8], F)


@njit
def _arithmetic(first, second, out):
    a, b = load(first, 0), load(second, 0)
    store(out, 0, a + b * F(2))
    store(out, 8, (F(1) - a) / b)
    store(out, 16, simd.least(a, b) - simd.most(a, F(2)))
    store(out, 24, select((a > F(0)) & (a <= b), root(b * b), ramp()))
    a += repeat(second, 3)
    a -= lanes(F(1))
    a *= b
    store(out, 32, a)


def test_arithmetic() -> None:
    out, a, b = np.empty(40, F), NUMBERS, OTHERS
    _arithmetic(a, b, out)
    wanted = [
        a + 2 * b,
        (1 - a) / b,
        np.minimum(a, b) - np.maximum(a, 2),
        np.where((a > 0) & (a <= b), np.abs(b), np.arange(8)),
        (a + b[3] - 1) * b,
    ]
    np.testing.assert_allclose(out.reshape(5, 8), wanted, rtol=1e-6)


@njit
def _powers(values, out):
    for k in range(0, values.shape[0], 8):
        store(out, k, power_of_two(load(values, k)))


def test_powers_of_two() -> None:
    values = np.linspace(-100, 100, 8000).astype(F)
    out = np.empty_like(values)
    _powers(values, out)
    np.testing.assert_allclose(out, 2.0 ** values.astype(np.float64), rtol=4e-6)


@njit
def _sums(table, out):
    store(
        out,
        0,
        simd.totals(
            load(table, 0), load(table, 8), load(table, 16), load(table, 24),
            load(table, 32), load(table, 40), load(table, 48), load(table, 56),
        ),
    )  # fmt: skip
    return simd.lane(load(table, 8), 5)


def test_totals_are_those_of_each() -> None:
    table, out = np.random.default_rng(0).normal(size=(8, 8)).astype(F), np.empty(8, F)
    assert _sums(table.ravel(), out) == table[1, 5]
    np.testing.assert_allclose(out, table.astype(np.float64).sum(1), rtol=1e-5, atol=1e-6)


@njit
def _bits(values, least):
    mask = load(values, 0) >= least
    bits = simd.bits_of(mask)
    return bits, simd.lowest(bits) if simd.any_of(mask) else -1


@pytest.mark.parametrize("least", [1.0, 5.0, 100.0])
def test_bits_are_truths(least: float) -> None:
    bits, lowest = _bits(NUMBERS, F(least))
    wanted = [k for k in range(8) if NUMBERS[k] >= least]
    assert bits == sum(1 << k for k in wanted)
    assert lowest == (wanted[0] if wanted else -1)
