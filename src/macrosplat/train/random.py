"""Random numbers of a training run, as functions of (seed, step, purpose) and a row: no generator's state is kept, a
resumed run draws the same, and so does another device.

Philox 4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011); Triton's own on a GPU.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MASK = (1 << 64) - 1


class Purpose(IntEnum):
    """What is drawn; each has numbers of its own."""

    DROP = 0  # which Gaussians a step does without
    NOISE = 1  # how the faint ones move
    RELOCATE = 2  # where the dead ones go
    EXTRA = 3  # where new ones are added
    ORDER = 4  # of the photos, a round a step


def key_of(seed: int, step: int, purpose: Purpose) -> int:
    """The key of a step's numbers: 52 bits, so that a float64 holds it, mixed by SplitMix64 (Steele et al. 2014)."""
    state = 0
    for part in (seed, step, int(purpose)):
        state = (state + part + 0x9E3779B97F4A7C15) & MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
        state ^= state >> 31
    return state >> 12


def uniform(key: int | Tensor, count: int, device: torch.device | str = "cpu") -> Tensor:
    """[count] float32 in [0, 1), of rows 0 ... count - 1, where they are wanted.

    Args:
        key: of `key_of`; or [1] float64 on a GPU, inside a recorded step.
    """
    if torch.device(device).type == "cuda":
        from macrosplat.train import random_cuda

        return random_cuda.uniform(_on(key, device), count)
    from macrosplat.train import random_cpu

    return torch.from_numpy(random_cpu.uniform(int(key), count))


def uniform64(key: int, count: int) -> NDArray[np.float64]:
    """[count] in [0, 1) with all bits of a float64."""
    from macrosplat.train import random_cpu

    words = random_cpu.words(key, np.arange(count)).astype(np.uint64)
    return ((words[:, 0] << np.uint64(21)) ^ (words[:, 1] >> np.uint64(11))).astype(np.float64) * 2.0**-53


def normal(key: int, rows: Tensor) -> Tensor:
    """[N, 3] float32 standard normal draws of rows [N] (int64, on a CPU)."""
    from macrosplat.train import random_cpu

    return torch.from_numpy(random_cpu.normal(key, rows.numpy()))


def permutation(key: int, count: int) -> list[int]:
    """0 ... count - 1 in another order."""
    return np.argsort(uniform64(key, count), kind="stable").tolist()


def _on(key: int | Tensor, device: torch.device | str) -> Tensor:
    return key if isinstance(key, Tensor) else torch.tensor([key], dtype=torch.float64, device=device)
