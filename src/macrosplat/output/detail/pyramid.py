"""The Laplacian pyramid (Burt, Adelson 1983): a picture as bands of one octave each, and pictures joined band by band.

In and out: planes [C, H, W] of floats, on any device. Level k has ceil(H / 2^k) x ceil(W / 2^k) samples, whose spacing
is 2^k px. float32 on a CPU takes the kernels of `pyramid_cpu`, all else plain torch. Two pictures whose bands are mixed
with weights that are themselves smooth at each band's scale join without a seam: what is coarse changes over a wide
zone, what is fine over a narrow one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from macrosplat.output.detail import pyramid_cpu


def levels_for(height: int, width: int, most: int, least: int = 8) -> int:
    """How many times a frame can be halved before its shorter side has less than `least` samples, at most `most`."""
    levels = 0
    while levels < most and min(height, width) >= 2 * least:
        height, width, levels = (height + 1) // 2, (width + 1) // 2, levels + 1
    return levels


def halved(plane: Tensor) -> Tensor:
    """[C, H, W] to [C, ceil(H / 2), ceil(W / 2)] by the taps 1 4 6 4 1 along each axis; samples stay where they are."""
    if _has_kernels(plane):
        return pyramid_cpu.halved(plane)
    for axis in (1, 2):
        padded = _edges_repeated(plane, axis, 2)
        size = plane.shape[axis]
        count = (size + 1) // 2
        taps = [padded.narrow(axis, k, size).index_select(axis, _every_other(padded, count)) for k in range(5)]
        plane = taps[0].add_(taps[4]).add_(taps[1].add_(taps[3]), alpha=4).add_(taps[2], alpha=6).mul_(1 / 16)
    return plane


def doubled(plane: Tensor, height: int, width: int) -> Tensor:
    """[C, ceil(H / 2), ceil(W / 2)] back to [C, H, W], by the same taps between samples that are apart."""
    for axis, size in ((1, height), (2, width)):
        count = plane.shape[axis]
        assert count == (size + 1) // 2, f"{tuple(plane.shape)} does not double to {height} x {width}"
        padded = _edges_repeated(plane, axis, 1)
        before, here, after = (padded.narrow(axis, k, count) for k in range(3))
        shape = list(plane.shape)
        shape[axis] = 2 * count
        out = plane.new_empty(shape)
        split = out.unflatten(axis, (count, 2))
        torch.mul(here, 6, out=split.select(axis + 1, 0)).add_(before).add_(after).mul_(1 / 8)
        torch.add(here, after, out=split.select(axis + 1, 1)).mul_(1 / 2)
        plane = out.narrow(axis, 0, size)
    return plane


def laplacian(picture: Tensor, levels: int) -> list[Tensor]:
    """`levels` bands of [C, H, W], finest first, and what is left below them."""
    bands = []
    for _ in range(levels):
        small = halved(picture)
        bands.append(_add_doubled(picture, small, -1.0))
        picture = small
    return [*bands, picture]


def collapsed(bands: Sequence[Tensor]) -> Tensor:
    """The picture whose bands they are."""
    picture = bands[-1]
    for band in bands[-2::-1]:
        picture = _add_doubled(band, picture, 1.0)
    return picture


def _add_doubled(base: Tensor, small: Tensor, factor: float) -> Tensor:
    """`base` [C, H, W] and so many times `small`, doubled."""
    if _has_kernels(base) and _has_kernels(small):
        return pyramid_cpu.add_doubled(base, small, factor)
    return torch.add(base, doubled(small, *base.shape[1:]), alpha=factor)


def _has_kernels(plane: Tensor) -> bool:
    return plane.device.type == "cpu" and plane.dtype == torch.float32 and not plane.requires_grad


def _edges_repeated(plane: Tensor, axis: int, by: int) -> Tensor:
    size = plane.shape[axis]
    at = torch.arange(-by, size + by, device=plane.device).clamp_(0, size - 1)
    return plane.index_select(axis, at)


def _every_other(plane: Tensor, count: int) -> Tensor:
    return torch.arange(count, device=plane.device) * 2
