"""One step of Adam (Kingma & Ba 2015) in plain torch of any precision."""

from __future__ import annotations

import torch


@torch.no_grad()
def step(parameter, gradient, first, second, rate: float, count: float, beta1: float, beta2: float, eps: float) -> None:
    """Updates parameter and both moments in place; `count` is the number of this step, from 1."""
    first.mul_(beta1).add_(gradient, alpha=1.0 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
    scale = torch.sqrt(second / (1.0 - beta2**count)) + eps
    parameter -= rate / (1.0 - beta1**count) * first / scale
