"""Focus breathing: how the focal length in px of a photo follows its focus.

A lens of focal length f stands v = f (1 + m) before the sensor when it magnifies m times what is in focus, and v is
what a calibrated fx measures. m is f / (d0 - f) of the photo, known up to a factor as fx / d0, so that over V photos

    fx_i = F (1 + b (m_i / mean(m) - 1)),    b = mean(m) / (1 + mean(m)) for a lens that keeps its f,

less where it shortens to focus nearer, and more where it stretches. It is exact at every distance. F is f (1 + m), too,
and f is the nominal focal length: b = 1 - f / F, which is as well the mean slope of any lens that has its nominal focal
length at infinity.

What is learned is b times the standard deviation that m_i / mean(m) has at the start: the relative spread of the focal
lengths, which a training step may change as much as their mean.
"""

from __future__ import annotations

from torch import Tensor

# Relative spread of the magnifications: less does not tell any law.
LEAST = 2e-3
MOST = 0.6  # of b: a lens of one focal length that magnifies 1.5 times; more is an error in EXIF or in the focal length
# Relative spread of the focal lengths, by which the cameras of photos alone are off (experiments: breathing-learned):
# what is less is said to be none.
UNSURE = 4e-3


def zooms(coefficient: Tensor, relative: Tensor) -> Tensor:
    """[V] factors on the focal lengths of photos, of mean 1.

    Args:
        coefficient: [] relative spread of the focal lengths; < 0: they fall as the lens focuses nearer.
        relative: [V] magnifications of what is in focus, less their mean, in standard deviations of the start; no
            gradient: the law follows the focus that the blur tells, it does not change it.
    """
    return 1 + coefficient * relative


def spread(magnifications: Tensor) -> float:
    """Relative standard deviation of V magnifications."""
    return float((magnifications / magnifications.mean() - 1).square().mean().sqrt())


def expected(nominal: float, focal: float, deviation: float) -> float:
    """The coefficient of a lens of this nominal focal length, calibrated as `focal`, both px of the same width.

    Args:
        deviation: `spread` of the magnifications.
    """
    if deviation < LEAST:
        return 0.0
    return min(max(1 - nominal / focal, 0.0), MOST) * deviation
