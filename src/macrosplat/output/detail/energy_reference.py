"""Energy about each sample in plain torch, on any device and in any dtype."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

AROUND = (1.0, 8.0, 28.0, 56.0, 70.0, 56.0, 28.0, 8.0, 1.0)  # taps: pixels over which an energy is taken
REACH, TOTAL = len(AROUND) // 2, sum(AROUND)


def energy_around(band: Tensor) -> Tensor:
    """[1, H, W] the mean square of a band [C, H, W] about each sample."""
    energy = band.square().mean(0, keepdim=True)
    for axis, pad in ((2, (REACH, REACH, 0, 0)), (1, (0, 0, REACH, REACH))):
        count, padded = energy.shape[axis], F.pad(energy[None], pad, mode="replicate")[0]
        energy = padded.narrow(axis, REACH, count) * (AROUND[REACH] / TOTAL)
        for n in range(REACH):
            for start in (n, 2 * REACH - n):
                energy.add_(padded.narrow(axis, start, count), alpha=AROUND[n] / TOTAL)
    return energy
