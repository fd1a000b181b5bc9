"""A picture moved by parts of a pixel, in plain torch of any precision: the specification.

The content of a channel moves by

    offset(p) = (a, b) + rho^2 (c, d) + (s + k rho^2) p,

p px from the middle of the frame, rho its share of the way to the corner: (a, b) moves all alike, (c, d) as a curved
field of focus does in a sub-aperture view, s and k scale and distort. Cubic interpolation (Keys 1981, a = -1/2: Catmull
and Rom's), along both axes. A tap that would lie outside the frame is, along that axis, the pixel's own place instead:
a constant stays one.
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


def shifted(frames: torch.Tensor, offsets: torch.Tensor, bends: torch.Tensor | None = None) -> torch.Tensor:
    """As `shift.shifted`."""
    _, height, width, channels = frames.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    right = x.to(frames.dtype) + 0.5 - width / 2
    below = y.to(frames.dtype) + 0.5 - height / 2
    square = (right.square() + below.square()) / (0.25 * (width * width + height * height))
    moved = []
    for m, frame in enumerate(frames):
        planes = []
        for c in range(channels):
            by_x, by_y = (offset.expand(height, width) for offset in offsets[m, c])
            if bends is not None:
                curve_x, curve_y, scale, cubic = bends[m, c]
                larger = scale + cubic * square
                by_x = by_x + curve_x * square + larger * right
                by_y = by_y + curve_y * square + larger * below
            rows, columns = _taps(y, -by_y, height), _taps(x, -by_x, width)
            plane = frame[..., c]
            planes.append(sum(wy * wx * plane[row, column] for row, wy in rows for column, wx in columns))
        moved.append(torch.stack(planes, -1))
    return torch.stack(moved)


def _taps(i: torch.Tensor, by: torch.Tensor, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Where along an axis the taps of the pixels lie whose samples are `by` px farther, and their weights."""
    whole = by.detach().floor()
    found = []
    for tap, weight in enumerate(weights(by - whole)):
        at = i + whole.long() - 1 + tap
        found.append((torch.where((at >= 0) & (at < size), at, i), weight))
    return found
