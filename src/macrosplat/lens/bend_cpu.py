"""The shift on a CPU where it differs from pixel to pixel.

A row is taken in runs of pixels whose taps lie at the same places relative to them: in a run all that differs are the
weights, and everything lies side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from macrosplat.lens.planes_cpu import as_frames, read, written
from macrosplat.lens.shift_reference import TAPS
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

BLOCK = 16  # px of a row that are known to be of a run at once
FAR = 4096  # px: nothing moves farther


@njit(inner=True)
def _still(offset, bend):
    return offset[0] == 0 and offset[1] == 0 and bend[0] == 0 and bend[1] == 0 and bend[2] == 0 and bend[3] == 0


@njit(inner=True)
def _positions(y, middle, square, offset, bend, along, down, left, top):
    """Where the samples of a row lie, relative to its pixels, and the places of their first taps; then they are shares
    of a px beyond the second."""
    centre, below = middle[0], np.float32(y) - middle[1]
    a, b, c, d, larger, grows = offset[0], offset[1], bend[0], bend[1], bend[2], bend[3]
    for x in range(along.shape[0]):
        right = np.float32(np.int32(x)) - centre
        rho = (right * right + below * below) * square
        along[x] = -(a + c * rho + (larger + grows * rho) * right)
    for x in range(down.shape[0]):
        right = np.float32(np.int32(x)) - centre
        rho = (right * right + below * below) * square
        down[x] = -(b + d * rho + (larger + grows * rho) * below)
    _apart(along, left)
    _apart(down, top)


@njit(inner=True)
def _apart(position, first):
    far = np.float32(FAR)
    for x in range(first.shape[0]):  # rounded towards zero, which is downwards above it
        first[x] = np.int32(min(max(position[x] + far, np.float32(0.0)), far + far)) - np.int32(FAR + 1)
    for x in range(first.shape[0]):
        position[x] -= np.float32(first[x] + np.int32(1))


@njit(inner=True)
def _weights(f):
    half, one, twice, more = np.float32(0.5), np.float32(1.0), np.float32(2.0), np.float32(1.5)
    return (
        f * (f * (one - half * f) - half),
        one + f * f * (more * f - np.float32(2.5)),
        f * (half + f * (twice - more * f)),
        f * f * (half * f - half),
    )


@njit(inner=True)
def _slopes_of(f):
    """Of the weights, in where the samples lie."""
    half, more = np.float32(0.5), np.float32(4.5)
    return (
        f * (np.float32(2.0) - np.float32(1.5) * f) - half,
        f * (more * f - np.float32(5.0)),
        half + f * (np.float32(4.0) - more * f),
        f * (np.float32(1.5) * f - np.float32(1.0)),
    )


@njit(inner=True)
def _run(x, left, top):
    """Where the run ends that begins at x."""
    a, b = left[x], top[x]
    while x + BLOCK <= left.shape[0]:
        other = np.int32(0)
        for k in range(BLOCK):
            other |= (left[x + k] ^ a) | (top[x + k] ^ b)
        if other != 0:
            break
        x += BLOCK
    while x < left.shape[0] and left[x] == a and top[x] == b:
        x += 1
    return x


@njit(inner=True)
def _inside(x, end, y, left, top, width, height):
    """Of a run, begin and end of the pixels whose taps all lie in the frame."""
    if y + top < 0 or y + top + TAPS > height:
        return end, end
    begin = min(max(x, -left), end)
    return begin, max(begin, min(end, width - left - TAPS + 1))


@njit(inner=True)
def _place(i, first, tap, size):
    at = i + first + tap
    return at if at >= 0 and at < size else i


@njit(inner=True)
def _sample(source, x, y, left, top, wx, wy):
    """What a pixel takes whose taps may lie outside."""
    height, width = source.shape
    total = np.float32(0.0)
    for j in range(TAPS):
        at, line = _place(y, top, j, height), np.float32(0.0)
        for i in range(TAPS):
            line += wx[i] * source[at, _place(x, left, i, width)]
        total += wy[j] * line
    return total


@njit(inline=True)
def _row(w, a, k):
    return w[0] * a[k] + w[1] * a[k + 1] + w[2] * a[k + 2] + w[3] * a[k + 3]


@njit(part=True)
def _bend_some(begin, end, planes, offsets, bends, middle, square, moved):
    """Rows of planes [M, C, H, W]."""
    _, channels, height, width = planes.shape
    along, down = np.empty(width, np.float32), np.empty(width, np.float32)
    left, top = np.empty(width, np.int32), np.empty(width, np.int32)
    for row in range(begin, end):
        plane, y = row // height, row % height
        m, c = plane // channels, plane % channels
        source, out = planes[m, c], moved[m, c, y]
        if _still(offsets[m, c], bends[m, c]):
            out[:] = source[y]
            continue
        _positions(y, middle, square, offsets[m, c], bends[m, c], along, down, left, top)
        x = 0
        while x < width:
            until = _run(x, left, top)
            first, last = _inside(x, until, y, left[x], top[x], width, height)
            for at in range(x, until):
                if at < first or at >= last:
                    out[at] = _sample(source, at, y, left[at], top[at], _weights(along[at]), _weights(down[at]))
            if last > first:
                here, there = y + top[x], first + left[x]
                a0, a1 = source[here, there:], source[here + 1, there:]
                a2, a3 = source[here + 2, there:], source[here + 3, there:]
                right, below, taken = along[first:last], down[first:last], out[first:last]
                for k in range(last - first):
                    wx, wy = _weights(right[k]), _weights(below[k])
                    upper = wy[0] * _row(wx, a0, k) + wy[1] * _row(wx, a1, k)
                    taken[k] = upper + wy[2] * _row(wx, a2, k) + wy[3] * _row(wx, a3, k)
            x = until


@njit
def _bend(team, count, *arguments):
    spread(_bend_some, team, count, arguments)


@njit(part=True)
def _unbend_some(begin, end, gradient, offsets, bends, middle, square, found):
    """The adjoint of `_bend`: what each pixel took is given back, one plane of [M, C, H, W] a thread."""
    _, channels, height, width = gradient.shape
    along, down = np.empty(width, np.float32), np.empty(width, np.float32)
    left, top = np.empty(width, np.int32), np.empty(width, np.int32)
    for plane in range(begin, end):
        m, c = plane // channels, plane % channels
        target = found[m, c]
        if _still(offsets[m, c], bends[m, c]):
            target[:] = gradient[m, c]
            continue
        target[:] = np.float32(0.0)
        for y in range(height):
            _positions(y, middle, square, offsets[m, c], bends[m, c], along, down, left, top)
            g = gradient[m, c, y]
            x = 0
            while x < width:
                until = _run(x, left, top)
                first, last = _inside(x, until, y, left[x], top[x], width, height)
                if last > first:
                    given, right, below = g[first:last], along[first:last], down[first:last]
                    for j in range(TAPS):
                        row = target[y + top[x] + j, first + left[x] :]
                        for i in range(TAPS):
                            _give(given, right, below, i, j, row[i:])
                for at in range(x, until):
                    if at < first or at >= last:
                        wx, wy = _weights(along[at]), _weights(down[at])
                        for j in range(TAPS):
                            here = _place(y, top[at], j, height)
                            for i in range(TAPS):
                                target[here, _place(at, left[at], i, width)] += g[at] * wy[j] * wx[i]
                x = until


@njit(inner=True)
def _give(given, right, below, i, j, row):
    for k in range(given.shape[0]):
        row[k] += given[k] * _weights(right[k])[i] * _weights(below[k])[j]


@njit
def _unbend(team, count, *arguments):
    spread(_unbend_some, team, count, arguments)


@njit(part=True)
def _slopes_some(begin, end, gradient, planes, learned, offsets, bends, middle, square, sums):
    """Per row of the channels of planes [M, C, H, W] that are `learned`, the gradients of where samples lie: along and
    down, alone and as they grow outwards."""
    _, _, height, width = planes.shape
    along, down = np.empty(width, np.float32), np.empty(width, np.float32)
    left, top = np.empty(width, np.int32), np.empty(width, np.int32)
    centre = middle[0]
    for row in range(begin, end):
        plane, y = row // height, row % height
        m, c = plane // len(learned), learned[plane % len(learned)]
        source, g, total = planes[m, c], gradient[m, c, y], sums[m, c, y]
        _positions(y, middle, square, offsets[m, c], bends[m, c], along, down, left, top)
        out = np.float32(y) - middle[1]
        total[:] = np.float32(0.0)
        x = 0
        while x < width:
            until = _run(x, left, top)
            first, last = _inside(x, until, y, left[x], top[x], width, height)
            for at in range(x, until):
                if at < first or at >= last:
                    wx, wy = _weights(along[at]), _weights(down[at])
                    dx, dy = _slopes_of(along[at]), _slopes_of(down[at])
                    p = g[at] * _sample(source, at, y, left[at], top[at], dx, wy)
                    q = g[at] * _sample(source, at, y, left[at], top[at], wx, dy)
                    _sum(total, p, q, np.float32(at) - centre, out, square)
            if last > first:
                here, there = y + top[x], first + left[x]
                a0, a1 = source[here, there:], source[here + 1, there:]
                a2, a3 = source[here + 2, there:], source[here + 3, there:]
                right, below, given = along[first:last], down[first:last], g[first:last]
                start = np.float32(first) - centre
                t0, t1, t2, t3 = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
                t4, t5 = np.float32(0.0), np.float32(0.0)
                for k in range(last - first):
                    wx, wy = _weights(right[k]), _weights(below[k])
                    dx, dy = _slopes_of(right[k]), _slopes_of(below[k])
                    r0, r1, r2, r3 = _row(wx, a0, k), _row(wx, a1, k), _row(wx, a2, k), _row(wx, a3, k)
                    s0, s1, s2, s3 = _row(dx, a0, k), _row(dx, a1, k), _row(dx, a2, k), _row(dx, a3, k)
                    p = given[k] * (wy[0] * s0 + wy[1] * s1 + wy[2] * s2 + wy[3] * s3)
                    q = given[k] * (dy[0] * r0 + dy[1] * r1 + dy[2] * r2 + dy[3] * r3)
                    away = start + np.float32(np.int32(k))
                    rho = (away * away + out * out) * square
                    outwards = p * away + q * out
                    t0 += p
                    t1 += q
                    t2 += p * rho
                    t3 += q * rho
                    t4 += outwards
                    t5 += outwards * rho
                total[0] += t0
                total[1] += t1
                total[2] += t2
                total[3] += t3
                total[4] += t4
                total[5] += t5
            x = until


@njit(inner=True)
def _sum(total, p, q, away, out, square):
    rho = (away * away + out * out) * square
    outwards = p * away + q * out
    total[0] += p
    total[1] += q
    total[2] += p * rho
    total[3] += q * rho
    total[4] += outwards
    total[5] += outwards * rho


@njit
def _slopes(team, count, *arguments):
    spread(_slopes_some, team, count, arguments)


def _how(planes: np.ndarray, offsets: torch.Tensor, bends: torch.Tensor):
    """Offsets and bends; the middle of a frame [2], in px from its first pixel, and 1 / (px to its corner)^2."""
    height, width = planes.shape[2:]
    middle = np.array([width / 2 - 0.5, height / 2 - 0.5], np.float32)
    square = np.float32(4.0 / (width * width + height * height))
    return offsets.detach().numpy(), bends.detach().numpy(), middle, square


def forward(frames: torch.Tensor, offsets: torch.Tensor, bends: torch.Tensor):
    """Moved frames [M, H, W, C], and what `backward` needs of the frames."""
    planes = read(frames)
    moved = np.empty_like(planes)
    with kernel_lock:
        _bend(team(), planes[..., 0].size, planes, *_how(planes, offsets, bends), moved)
    return as_frames(moved), torch.from_numpy(planes)


def backward(gradient: torch.Tensor, kept, offsets, bends, frames_wanted: bool, learned: Sequence[int]):
    """Gradients of frames [M, H, W, C] (None where not wanted), and of the channels of offsets [M, C, 2] and bends
    [M, C, 4] that are learned; the others have none."""
    given = read(gradient)
    count, channels, height = given.shape[:3]
    how = _how(given, offsets, bends)
    found = np.empty_like(given) if frames_wanted else None
    sums = np.zeros((count, channels, height, 6), np.float32)
    with kernel_lock:
        if found is not None:
            _unbend(team(), count * channels, given, *how, found)
        if learned:
            chosen = np.array(learned, np.int64)
            _slopes(team(), count * len(learned) * height, given, kept.numpy(), chosen, *how, sums)
    frames = None if found is None else written(found)
    if not learned:
        return frames, None, None
    total = -torch.from_numpy(sums.sum(2, dtype=np.float64)).float()
    return frames, total[..., :2].contiguous(), total[..., 2:].contiguous()
