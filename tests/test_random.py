"""Chance: Philox by its known answers, the same on every device, and seeds of any size that share nothing."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from macrosplat.train import random, random_cuda
from macrosplat.train.random import Purpose, key_of
from macrosplat.train.random_cpu import words

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SEEDS = [0, 1, 2, 1_000_003, 2**31, 10**10, 10**12]


def test_known_answers():
    """Of Random123's kat_vectors for philox4x32 10: counters and keys of zeros, and a key of ones."""
    zeros = ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    assert [f"{word:08x}" for word in words(0, np.array([0]))[0].tolist()] == zeros


def test_keys_differ_and_fit_a_float():
    keys = [key_of(*given) for given in itertools.product(SEEDS, range(50), Purpose)]
    assert len(set(keys)) == len(keys)
    assert all(int(float(key)) == key for key in keys)
    # One step of one seed is no step of another: sums of the three would be.
    assert key_of(1, 0, Purpose.DROP) != key_of(0, 1_000_003, Purpose.DROP)


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_are_uniform_and_independent_from_step_to_step(seed):
    one, other = (random.uniform(key_of(seed, step, Purpose.DROP), 20_000).numpy() for step in (41, 42))
    assert one.min() >= 0 and one.max() < 1 and len(np.unique(one)) > 19_900
    assert stats.kstest(one, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.03
    assert not np.array_equal(one, random.uniform(key_of(seed, 41, Purpose.NOISE), 20_000).numpy())


def test_a_gpu_draws_the_same():
    key = key_of(10**12, 7, Purpose.DROP)
    there = random_cuda.uniform(torch.tensor([key], dtype=torch.float64, device=DEVICE), 3000)
    torch.testing.assert_close(there.cpu(), random.uniform(key, 3000), rtol=1e-6, atol=0)


def test_normal_draws_belong_to_their_row():
    key, rows = key_of(5, 0, Purpose.NOISE), torch.arange(20_000)
    drawn = random.normal(key, rows)
    assert stats.kstest(drawn.flatten().numpy(), "norm").pvalue > 1e-4
    assert torch.equal(random.normal(key, rows[::7]), drawn[::7])
    assert abs(np.corrcoef(drawn.numpy().T)[0, 1]) < 0.03


def test_a_permutation_is_one():
    orders = [random.permutation(key_of(0, turn, Purpose.ORDER), 30) for turn in range(20)]
    assert all(sorted(order) == list(range(30)) for order in orders)
    assert len({tuple(order) for order in orders}) == 20
    draws = random.uniform64(key_of(0, 0, Purpose.EXTRA), 20_000)
    assert stats.kstest(draws, "uniform").pvalue > 1e-4 and draws.max() < 1
