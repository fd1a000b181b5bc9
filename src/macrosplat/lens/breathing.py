"""Focus breathing: how the focal length in px of a photo follows its focus.

A lens of focal length f stands v = f (1 + m) before the sensor when it magnifies m times what is in focus, and v is
what a calibrated fx measures. m is f / (d0 - f) of the photo, known up to a factor as fx / d0, so that over V photos

    fx_i = F (1 + b (m_i / mean(m) - 1)),    b = mean(m) / (1 + mean(m)) for a lens that keeps its f,

less where it shortens to focus nearer, and more where it stretches. It is exact at every distance. The coefficient
that is learned is b times the standard deviation of m_i / mean(m): the relative spread of the focal lengths, which a
training step may change as much as their mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 2e-3  # relative spread of the magnifications: less does not tell any law


def zooms(coefficient: Tensor, magnifications: Tensor) -> Tensor:
    """[V] factors on the focal lengths of photos, of mean 1.

    Args:
        coefficient: [] relative spread of the focal lengths; < 0: they fall as the lens focuses nearer.
        magnifications: [V] of what is in focus, up to a common factor; no gradient: the law follows the focus that the
            blur tells, it does not change it.
    """
    return 1 + coefficient * spread(magnifications)[0]


@torch.no_grad()
def spread(magnifications: Tensor) -> tuple[Tensor, Tensor]:
    """[V] relative magnifications of mean 0 and standard deviation 1 (less where they hardly differ), and that
    deviation []."""
    relative = magnifications / magnifications.mean() - 1
    deviation = relative.square().mean().sqrt()
    return relative / deviation.clamp_min(LEAST), deviation
