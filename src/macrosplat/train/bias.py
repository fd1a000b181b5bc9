"""How far a step of Adam goes: the rate and the bias corrections of both moments, as the kernels take them."""

from __future__ import annotations

import math


def bias_corrected_rate(rate: float, count: float, beta1: float, beta2: float) -> tuple[float, float]:
    """(rate / (1 - beta1^count), 1 / sqrt(1 - beta2^count)) of step number `count`, from 1."""
    return rate / (1.0 - beta1**count), 1.0 / math.sqrt(1.0 - beta2**count)
