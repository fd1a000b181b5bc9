"""What the blur is, in plain torch of any precision.

`gather_blur` is the wish: every output pixel gathers with its own Gaussian. `ladder_blur` is what the kernels
compute instead, in O(pixels): the ladder of `ladder.py`. Both mirror the frame at its borders.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from macrosplat.lens.ladder import ENTRIES, SIGMA_HALF, SIGMA_MAX, coordinate, ladder


def _mirrored(first: int, length: int, size: int, device) -> torch.Tensor:
    """Indices of pixels first ... first + length - 1, mirrored into 0 ... size - 1 (the edge pixel repeats)."""
    i = torch.arange(first, first + length, device=device) % (2 * size)
    return torch.where(i < size, i, 2 * size - 1 - i)


def gather_blur(
    sharp: torch.Tensor,  # [H, W, C] linear light
    sigma: torch.Tensor,  # [H, W] or [H, W, C] px
    pivot: int | None = None,  # a channel of sigma [H, W, C]
) -> torch.Tensor:  # [H, W, C]
    """Sampled Gaussian of each output pixel's own sigma, normalised, cut off at 4 sigma of the widest.

    With a pivot, that of its sigma and the slope there, in the coordinate of the ladder's table: linear in the sigmas.
    """
    if pivot is not None:
        return _about(lambda about: gather_blur(sharp, about), sigma, pivot)
    if sigma.ndim == 3:
        return torch.cat([gather_blur(sharp[..., c : c + 1], sigma[..., c]) for c in range(sigma.shape[2])], -1)
    height, width, _ = sharp.shape
    # 0.05 px: all samples but the central one weigh exp(-200) or less
    precision = 0.5 / sigma.clamp(min=0.05) ** 2
    reach = max(1, math.ceil(4.0 * float(sigma.detach().max())))
    offsets = torch.arange(-reach, reach + 1, device=sharp.device)
    kernel = torch.exp(-offsets * offsets * precision[..., None])  # [H, W, taps]
    kernel = kernel / kernel.sum(dim=-1, keepdim=True)
    wide = sharp[:, _mirrored(-reach, width + 2 * reach, width, sharp.device)]
    total = torch.zeros_like(sharp)
    for n in range(2 * reach + 1):
        rows = wide[_mirrored(n - reach, height, height, sharp.device)].unfold(1, 2 * reach + 1, 1)  # [H, W, C, taps]
        total = total + kernel[:, :, n, None] * torch.einsum("hwcn,hwn->hwc", rows, kernel)
    return total


def _about(blur: Callable[[torch.Tensor], torch.Tensor], sigma: torch.Tensor, pivot: int) -> torch.Tensor:
    """[H, W, C] of a blur that is linear about the sigma of a channel. The channel's own is exact."""
    about, learns = sigma[..., pivot].detach().requires_grad_(), torch.is_grad_enabled()
    with torch.enable_grad():
        value = blur(about)
        # A pixel depends on no other's sigma: the sum's gradient holds each one's slope.
        channels = value.sum((0, 1)).unbind()
        slopes = [torch.autograd.grad(one, about, retain_graph=True, create_graph=learns)[0] for one in channels]
    slope, about = torch.stack(slopes, -1), about.detach()
    value = value if learns else value.detach()
    per_px = (ENTRIES - coordinate(about)) ** 2 / (ENTRIES * SIGMA_HALF)  # the coordinate's slope in sigma
    return value + slope * ((coordinate(sigma) - coordinate(about)[..., None]) / per_px[..., None])


def ladder_blur(
    sharp: torch.Tensor,  # [H, W, C] linear light
    sigma: torch.Tensor,  # [H, W] or [H, W, C] px
    pivot: int | None = None,  # a channel of sigma [H, W, C]
) -> torch.Tensor:  # [H, W, C]
    """The ladder level by level, each weighted by the table."""
    numbers = ladder()
    height, width, _ = sharp.shape
    sigma = sigma if sigma.ndim == 3 else sigma[..., None]
    v = coordinate(sigma.clamp(0.0, SIGMA_MAX))
    i = v.detach().floor().clamp(0, ENTRIES - 1).long()
    i = i if pivot is None else i[..., pivot : pivot + 1]
    fraction = v - i
    table = torch.as_tensor(numbers.weights, dtype=sharp.dtype, device=sharp.device)
    level = sharp
    blurred = torch.zeros_like(sharp)
    for k, stride in enumerate(numbers.strides):
        if k > 0:
            for axis, size in ((0, height), (1, width)):
                filtered = float(numbers.taps[k, 0]) * level
                for j in range(1, numbers.taps.shape[1]):
                    for offset in (-j * int(stride), j * int(stride)):
                        shifted = level.index_select(axis, _mirrored(offset, size, size, sharp.device))
                        filtered = filtered + float(numbers.taps[k, j]) * shifted
                level = filtered
        weight = table[k][i] + fraction * (table[k][i + 1] - table[k][i])
        blurred = blurred + weight * level
    return blurred
