"""Longitudinal colour: red and blue are in focus nearer or farther than green.

For a thin lens whose 1 / d0 is more by a colour's own term a, the sub-aperture view from u is that of green, moved by
fx u a px everywhere, whatever is seen there; and the circle of confusion that the residual blur is a part of is that of
1 / d0 + a. Neither needs another render. What is learned is the radius that the colour has where green is in focus, px
of the training width: (D / 2) fx a, positive where it focuses nearer.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from macrosplat.support.dispatch import kind_of

RATE = 4e-3  # px of the training width, of Adam, per step
BELIEF = 1e-6  # of the loss per px^2: pulls to no colour what no photo tells
# px of the training width: a lens whose colours differ by less is said to have none. Less is not seen in a photo, and
# ideal lenses are found to have up to 0.2 (experiments: lens-terms).
LEAST = 0.25


def inverse_offsets(radii: Tensor, pupil: Tensor | float, fx: Tensor | float) -> Tensor:
    """[3] by what 1 / d0 is more for red, green and blue, 1 / scene units.

    Args:
        radii: [2] px of red and blue where green is in focus. pupil: [] scene units, fx: [] px of the same width; a
            colour is no reason to change them.
    """
    if kind_of(radii.device) == "cpu" and radii.dtype == torch.float32:
        return _Offsets.apply(radii, 2 / (float(pupil) * float(fx)))  # type: ignore[return-value]
    with torch.no_grad():
        halves = _channels(radii.device, radii.dtype) / (pupil * fx)
    return (radii[:, None] * halves).sum(0)


class _Offsets(torch.autograd.Function):
    """The same on a CPU, where two numbers are no work for torch."""

    @staticmethod
    def forward(ctx: Any, radii: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        red, blue = radii.tolist()
        return radii.new_tensor([red * scale, 0.0, blue * scale])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]
        red, _, blue = gradient.tolist()
        return gradient.new_tensor([red * ctx.scale, blue * ctx.scale]), None


@cache
def _channels(device: torch.device, dtype: torch.dtype) -> Tensor:
    """[2, 3] where red and blue stand, times what makes a radius of a diameter; made once: a recorded step must not."""
    return torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 2.0]], device=device, dtype=dtype)
