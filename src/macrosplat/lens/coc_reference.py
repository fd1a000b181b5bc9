"""Defocus in plain torch of any precision: the specification.

With pupil diameter D, focus distance d0 and focal length fx [px], a point at camera depth d is blurred by

    s = D / 2 * fx * (1 / d0 - 1 / d),    sigma^2 = sigma0^2 + (s / 2)^2.

A channel whose 1 / d0 is more by a colour's own term has that in s.

Where the render has geometry (weight >= 0.5) d is its depth. Elsewhere is backdrop, over which the light of
defocused objects spreads; it takes over the depth of the object that reaches it best: among cells of 4 x 4 px
that hold geometry, each speaking for its most defocused pixel, the cell q with the largest |s_q|^2 - |p - q|^2,
which is positive where p lies within reach of q and goes on without a break beyond. Depths of the four cells
around a pixel are mixed bilinearly as 1/d and 1/d^2, so that mixing a near and a far object does not bring the
backdrop into focus between them.

The backdrop takes over one depth for all channels, the one that is most defocused in the channel that d0 is of. It is
a constant to the gradient; fx, D, d0 and sigma0 get theirs from every pixel.
"""

from __future__ import annotations

import torch

CELL = 4  # px, side of the cells that spread over the backdrop
# weight (alpha) from which a pixel is geometry
SOLID = 0.5


def defocus(depth, weight, fx, pupil, focus, sigma0, colours=None) -> torch.Tensor:
    """As `coc.defocus`."""
    solid = weight >= SOLID
    inverse = torch.where(solid, 1.0 / torch.where(solid, depth, torch.ones_like(depth)), torch.zeros_like(depth))
    first, second = _backdrop(inverse.detach(), solid, fx.detach(), pupil.detach(), focus.detach())
    first = torch.where(solid, inverse, first)
    second = torch.where(solid, inverse**2, second)
    square = 1.0 / focus**2 - 2.0 / focus * first + second
    if colours is not None:
        square = square[..., None] + colours * (2.0 * (1.0 / focus - first)[..., None] + colours)
    return torch.sqrt(sigma0**2 + (0.25 * pupil * fx) ** 2 * square)


def _backdrop(inverse, solid, fx, pupil, focus):
    """1/d and 1/d^2 [H, W] that the backdrop takes over; those of the focal plane if there is no geometry."""
    height, width = inverse.shape
    rows, columns = (height + CELL - 1) // CELL, (width + CELL - 1) // CELL
    strength = torch.full((rows, columns), -torch.inf, dtype=inverse.dtype)
    source = (1.0 / focus).to(inverse.dtype).expand(rows, columns).clone()
    for y in range(height):
        for x in range(width):
            if solid[y, x]:
                s = 0.5 * pupil * fx * (1.0 / focus - inverse[y, x])
                if s * s > strength[y // CELL, x // CELL]:
                    strength[y // CELL, x // CELL] = s * s
                    source[y // CELL, x // CELL] = inverse[y, x]
    if torch.isfinite(strength).any():
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        y, x = y.flatten(), x.flatten()
        away = CELL**2 * ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2)
        best = (strength.flatten() - away).argmax(dim=1)
        source = source.flatten()[best].reshape(rows, columns)

    def corners(size, cells):
        at = ((torch.arange(size, dtype=inverse.dtype) + 0.5) / CELL - 0.5).clamp(0, cells - 1)
        low = at.floor().long().clamp(max=max(cells - 2, 0))
        return low, (low + 1).clamp(max=cells - 1), at - low

    top, bottom, v = corners(height, rows)
    left, right, u = corners(width, columns)
    v, u = v[:, None], u[None, :]

    def mixed(field):
        upper = (1 - u) * field[top][:, left] + u * field[top][:, right]
        lower = (1 - u) * field[bottom][:, left] + u * field[bottom][:, right]
        return (1 - v) * upper + v * lower

    return mixed(source), mixed(source**2)
