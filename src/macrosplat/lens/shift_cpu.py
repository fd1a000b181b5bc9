"""The shift on a CPU: row by row of planes, first down the columns into a line, then along it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from macrosplat.lens import bend_cpu
from macrosplat.lens.planes_cpu import as_frames, read, written
from macrosplat.lens.shift_reference import TAPS, slopes, weights
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

ALONG, DOWN = 0, 1


def _taps(offsets: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of offsets [M, C, 2]: the first tap's place relative to the pixel [M, C, 2], along and down, and its weights and
    their slopes in where the sample lies [M, C, 2, 2, TAPS]."""
    firsts = torch.floor(-offsets.detach().double())
    numbers = []
    for offset, whole in zip(offsets.flatten().tolist(), firsts.flatten().tolist(), strict=True):
        share = -offset - whole
        numbers.append((weights(share), slopes(share)))
    taps = np.array(numbers, np.float32).reshape(*offsets.shape, 2, TAPS)
    firsts = firsts.long().numpy() - 1
    return firsts, taps


@njit(inner=True)
def _still(firsts, taps):
    """Whether nothing moves: all weight is on the pixel's own place."""
    return (
        firsts[ALONG] == -1
        and firsts[DOWN] == -1
        and taps[ALONG, 0, 1] == np.float32(1.0)
        and taps[DOWN, 0, 1] == np.float32(1.0)
    )


@njit(inner=True)
def _down(plane, y, first, weight, line):
    """What row y takes of the rows around it."""
    height = plane.shape[0]
    at = y + first
    a0 = plane[at if at >= 0 and at < height else y]
    a1 = plane[at + 1 if at + 1 >= 0 and at + 1 < height else y]
    a2 = plane[at + 2 if at + 2 >= 0 and at + 2 < height else y]
    a3 = plane[at + 3 if at + 3 >= 0 and at + 3 < height else y]
    w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
    for x in range(line.shape[0]):
        line[x] = w0 * a0[x] + w1 * a1[x] + w2 * a2[x] + w3 * a3[x]


@njit(inner=True)
def _gather(line, x, first, weight):
    """What pixel x takes of a line."""
    total = np.float32(0.0)
    for tap in range(TAPS):
        at = x + first + tap
        if at < 0 or at >= line.shape[0]:
            at = x
        total += weight[tap] * line[at]
    return total


@njit(inner=True)
def _whole(size, first):
    """Pixels begin ... end - 1 whose taps all lie inside."""
    begin = min(max(0, -first), size)
    return begin, max(begin, min(size, size - first - TAPS + 1))


@njit(inner=True)
def _along(line, first, weight, out):
    """What each pixel takes of a line. Those whose taps lie inside are taken together, which LLVM vectorises."""
    size = line.shape[0]
    begin, end = _whole(size, first)
    for x in range(begin):
        out[x] = _gather(line, x, first, weight)
    for x in range(end, size):
        out[x] = _gather(line, x, first, weight)
    w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
    taken, source = out[begin:end], line[begin + first :]
    for x in range(end - begin):
        taken[x] = w0 * source[x] + w1 * source[x + 1] + w2 * source[x + 2] + w3 * source[x + 3]


@njit(part=True)
def _shift_some(begin, end, planes, firsts, taps, moved):
    """Rows of planes [M, C, H, W]."""
    _, channels, height, width = planes.shape
    line = np.empty(width, np.float32)
    for row in range(begin, end):
        plane, y = row // height, row % height
        m, c = plane // channels, plane % channels
        source, out, first, weight = planes[m, c], moved[m, c, y], firsts[m, c], taps[m, c]
        if _still(first, weight):
            out[:] = source[y]
            continue
        _down(source, y, first[DOWN], weight[DOWN, 0], line)
        _along(line, first[ALONG], weight[ALONG, 0], out)


@njit
def _shift(team, count, *arguments):
    spread(_shift_some, team, count, arguments)


@njit(inner=True)
def _given(i, size, first, weight):
    """What pixel i keeps for itself of the taps that lie outside."""
    kept = np.float32(0.0)
    for tap in range(TAPS):
        at = i + first + tap
        if at < 0 or at >= size:
            kept += weight[tap]
    return kept


@njit(inner=True)
def _back_at(line, x, first, weight):
    """As `_gather`, with the weights in the other order, and nothing of taps that lie outside."""
    total = np.float32(0.0)
    for tap in range(TAPS):
        at = x + first + tap
        if at >= 0 and at < line.shape[0]:
            total += weight[TAPS - 1 - tap] * line[at]
    return total


@njit(inner=True)
def _across(line, first, weight, out):
    """What each pixel of a line is given back."""
    size = line.shape[0]
    begin, end = _whole(size, first)
    for x in range(begin):
        out[x] = _back_at(line, x, first, weight)
    for x in range(end, size):
        out[x] = _back_at(line, x, first, weight)
    w0, w1, w2, w3 = weight[3], weight[2], weight[1], weight[0]
    taken, source = out[begin:end], line[begin + first :]
    for x in range(end - begin):
        taken[x] = w0 * source[x] + w1 * source[x + 1] + w2 * source[x + 2] + w3 * source[x + 3]


@njit(part=True)
def _back_some(begin, end, gradient, firsts, taps, found):
    """The adjoint of `_shift`: pixels that take from this one lie on the other side of it."""
    _, channels, height, width = gradient.shape
    line = np.empty(width, np.float32)
    for row in range(begin, end):
        plane, y = row // height, row % height
        m, c = plane // channels, plane % channels
        source, out, first, weight = gradient[m, c], found[m, c, y], firsts[m, c], taps[m, c]
        if _still(first, weight):
            out[:] = source[y]
            continue
        down, along, wy, wx = first[DOWN], first[ALONG], weight[DOWN, 0], weight[ALONG, 0]
        # Rows that lie outside count nothing, and what they would have given is this row's own.
        r0, r1, r2, r3 = y - down, y - down - 1, y - down - 2, y - down - 3
        w0 = wy[0] if r0 >= 0 and r0 < height else np.float32(0.0)
        w1 = wy[1] if r1 >= 0 and r1 < height else np.float32(0.0)
        w2 = wy[2] if r2 >= 0 and r2 < height else np.float32(0.0)
        w3 = wy[3] if r3 >= 0 and r3 < height else np.float32(0.0)
        own = _given(y, height, down, wy)
        a0, a1 = source[min(max(r0, 0), height - 1)], source[min(max(r1, 0), height - 1)]
        a2, a3 = source[min(max(r2, 0), height - 1)], source[min(max(r3, 0), height - 1)]
        for x in range(width):
            line[x] = w0 * a0[x] + w1 * a1[x] + w2 * a2[x] + w3 * a3[x]
        if own != np.float32(0.0):
            taken = source[y]
            for x in range(width):
                line[x] += own * taken[x]
        # Taps of the other pixels: as far to the other side, in the other order; what falls outside stays where it is.
        _across(line, -along - (TAPS - 1), wx, out)
        begins, ends = _whole(width, along)
        for x in range(begins):
            out[x] += _given(x, width, along, wx) * line[x]
        for x in range(ends, width):
            out[x] += _given(x, width, along, wx) * line[x]


@njit
def _back(team, count, *arguments):
    spread(_back_some, team, count, arguments)


@njit(part=True)
def _slopes_some(begin, end, gradient, planes, learned, firsts, taps, sums):
    """Per row of the channels of planes [M, C, H, W] that are `learned`, the gradient of where samples lie: along, and
    down."""
    _, _, height, width = planes.shape
    line, sloped = np.empty(width, np.float32), np.empty(width, np.float32)
    for row in range(begin, end):
        plane, y = row // height, row % height
        m, c = plane // len(learned), learned[plane % len(learned)]
        first, weight, g = firsts[m, c], taps[m, c], gradient[m, c, y]
        _down(planes[m, c], y, first[DOWN], weight[DOWN, 0], line)
        _down(planes[m, c], y, first[DOWN], weight[DOWN, 1], sloped)
        begins, ends = _whole(width, first[ALONG])
        right, below = np.float32(0.0), np.float32(0.0)
        for k in range(width - (ends - begins)):
            x = k if k < begins else k + ends - begins
            right += g[x] * _gather(line, x, first[ALONG], weight[ALONG, 1])
            below += g[x] * _gather(sloped, x, first[ALONG], weight[ALONG, 0])
        d0, d1, d2, d3 = weight[ALONG, 1, 0], weight[ALONG, 1, 1], weight[ALONG, 1, 2], weight[ALONG, 1, 3]
        w0, w1, w2, w3 = weight[ALONG, 0, 0], weight[ALONG, 0, 1], weight[ALONG, 0, 2], weight[ALONG, 0, 3]
        a, b, given = line[begins + first[ALONG] :], sloped[begins + first[ALONG] :], g[begins:ends]
        for x in range(ends - begins):
            right += given[x] * (d0 * a[x] + d1 * a[x + 1] + d2 * a[x + 2] + d3 * a[x + 3])
            below += given[x] * (w0 * b[x] + w1 * b[x + 1] + w2 * b[x + 2] + w3 * b[x + 3])
        sums[m, c, y, 0] = right
        sums[m, c, y, 1] = below


@njit
def _slopes(team, count, *arguments):
    spread(_slopes_some, team, count, arguments)


def forward(frames: torch.Tensor, offsets: torch.Tensor, bends: torch.Tensor | None = None):
    """Moved frames [M, H, W, C], and what `backward` needs of the frames."""
    if bends is not None:
        return bend_cpu.forward(frames, offsets, bends)
    planes = read(frames)
    moved = np.empty_like(planes)
    with kernel_lock:
        _shift(team(), planes[..., 0].size, planes, *_taps(offsets), moved)
    return as_frames(moved), torch.from_numpy(planes)


def backward(
    gradient: torch.Tensor,
    kept: torch.Tensor,
    offsets: torch.Tensor,
    bends: torch.Tensor | None,
    frames_wanted: bool,
    learned: Sequence[int],
):
    """Gradients of frames [M, H, W, C] (None where not wanted), and of the channels of offsets [M, C, 2] and bends
    [M, C, 4] that are learned; the others have none."""
    if bends is not None:
        return bend_cpu.backward(gradient, kept, offsets, bends, frames_wanted, learned)
    given, numbers = read(gradient), _taps(offsets)
    count, channels, height = given.shape[:3]
    found = np.empty_like(given) if frames_wanted else None
    sums = np.zeros((count, channels, height, 2), np.float32)
    with kernel_lock:
        if found is not None:
            _back(team(), given[..., 0].size, given, *numbers, found)
        if learned:
            chosen = np.array(learned, np.int64)
            _slopes(team(), count * len(learned) * height, given, kept.numpy(), chosen, *numbers, sums)
    grad_offsets = -torch.from_numpy(sums.sum(2, dtype=np.float64)).float() if learned else None
    return None if found is None else written(found), grad_offsets, None
