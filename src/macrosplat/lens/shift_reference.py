"""A shift by any part of a pixel, in plain torch of any precision: the specification.

Cubic interpolation (Keys 1981, a = -1/2: Catmull and Rom's), first down the columns, then along the rows. A tap that
would lie outside the frame is the pixel's own value instead: a constant stays one, and backward it gathers, as the
way there does.
"""

from __future__ import annotations

from typing import TypeVar

import torch

TAPS = 4  # at -1, 0, 1, 2 px from where the sample lies, rounded down


Number = TypeVar("Number", float, torch.Tensor)


def weights(f: Number) -> list[Number]:
    """Of the four taps, for a sample that lies f px (0 to 1) beyond the second of them."""
    return [
        f * (-0.5 + f * (1.0 - 0.5 * f)),
        1.0 + f * f * (-2.5 + 1.5 * f),
        f * (0.5 + f * (2.0 - 1.5 * f)),
        f * f * (-0.5 + 0.5 * f),
    ]


def slopes(f: Number) -> list[Number]:
    """Derivatives of the weights in f."""
    return [
        -0.5 + f * (2.0 - 1.5 * f),
        f * (-5.0 + 4.5 * f),
        0.5 + f * (4.0 - 4.5 * f),
        f * (-1.0 + 1.5 * f),
    ]


def shifted(frames: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """As `shift.shifted`."""
    moved = []
    for frame, of_frame in zip(frames, offsets, strict=True):
        planes = []
        for c, offset in enumerate(of_frame):
            rows = _along(frame.shape[0], -offset[1])
            columns = _along(frame.shape[1], -offset[0])
            planes.append(rows @ frame[..., c] @ columns.T)
        moved.append(torch.stack(planes, -1))
    return torch.stack(moved)


def _along(size: int, by: torch.Tensor) -> torch.Tensor:
    """[size, size] what each pixel takes of each, where samples lie `by` px [] farther."""
    whole = by.detach().floor()
    matrix = torch.zeros(size, size, dtype=by.dtype)
    i = torch.arange(size)
    for tap, weight in enumerate(weights(by - whole)):
        at = i + int(whole) - 1 + tap
        at = torch.where((at >= 0) & (at < size), at, i)
        matrix = matrix.index_put((i, at), weight.expand(size), accumulate=True)
    return matrix
