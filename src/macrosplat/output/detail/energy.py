"""How strong a band of a picture is about each of its samples.

In: planes [C, H, W] of floats, on any device. Out: [1, H, W], the mean of their squares over some pixels.
"""

from __future__ import annotations

from torch import Tensor

from macrosplat.support.dispatch import kernels_for

STAGE = "macrosplat.output.detail.energy"


def energy_around(band: Tensor) -> Tensor:
    """[1, H, W] the mean square of a band [C, H, W] about each sample, by nine binomial taps along each axis."""
    assert band.ndim == 3, f"a band of shape {tuple(band.shape)}"
    return kernels_for(STAGE, band).energy_around(band)
