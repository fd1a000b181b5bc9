"""The shift on a CPU: row by row, first down the columns into a line, then along it."""

from __future__ import annotations

import math

import numpy as np
import torch

from macrosplat.lens.shift_reference import TAPS, slopes, weights
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team


def _taps(offset: float) -> tuple[int, np.ndarray]:
    """First tap's place relative to the pixel, and [2, TAPS] weights and their slopes in where the sample lies."""
    whole = math.floor(-offset)
    f = -offset - whole
    return whole - 1, np.array([weights(f), slopes(f)], np.float32)


@njit(inner=True)
def _gather_line(frame, y, c, first, weight, line):
    """What row y takes of the rows around it."""
    height, width = frame.shape[:2]
    line[:] = np.float32(0.0)
    for tap in range(TAPS):
        at = y + first + tap
        if at < 0 or at >= height:
            at = y
        w = weight[tap]
        for x in range(width):
            line[x] += w * frame[at, x, c]


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
def _given(i, size, first, weight):
    """What pixel i keeps for itself of the taps that lie outside."""
    kept = np.float32(0.0)
    for tap in range(TAPS):
        at = i + first + tap
        if at < 0 or at >= size:
            kept += weight[tap]
    return kept


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
def _shift_some(begin, end, frame, c, down, wy, along, wx, moved):
    _, width = frame.shape[:2]
    line, out = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(begin, end):
        _gather_line(frame, y, c, down, wy, line)
        _along(line, along, wx, out)
        for x in range(width):
            moved[y, x, c] = out[x]


@njit
def _shift(team, count, *arguments):
    spread(_shift_some, team, count, arguments)


@njit(inner=True)
def _across(line, first, weight, out):
    """As `_along`, with the weights in the other order, and nothing of taps that lie outside."""
    size = line.shape[0]
    begin, end = _whole(size, first)
    for x in range(size):
        if x >= begin and x < end:
            continue
        total = np.float32(0.0)
        for tap in range(TAPS):
            at = x + first + tap
            if at >= 0 and at < size:
                total += weight[TAPS - 1 - tap] * line[at]
        out[x] = total
    w0, w1, w2, w3 = weight[3], weight[2], weight[1], weight[0]
    taken, source = out[begin:end], line[begin + first :]
    for x in range(end - begin):
        taken[x] = w0 * source[x] + w1 * source[x + 1] + w2 * source[x + 2] + w3 * source[x + 3]


@njit(part=True)
def _back_some(begin, end, gradient, c, down, wy, along, wx, found):
    """The adjoint of `_shift`: pixels that take from this one lie on the other side of it."""
    height, width = gradient.shape[:2]
    line, out = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(begin, end):
        line[:] = np.float32(0.0)
        for tap in range(TAPS + 1):
            at = y - down - tap if tap < TAPS else y
            w = wy[tap] if tap < TAPS else _given(y, height, down, wy)
            if at >= 0 and at < height and w != np.float32(0.0):
                for x in range(width):
                    line[x] += w * gradient[at, x, c]
        # Taps of the other pixels: as far to the other side, in the other order; what falls outside stays where it is.
        _across(line, -along - (TAPS - 1), wx, out)
        first, last = _whole(width, along)
        for x in range(width):
            kept = np.float32(0.0) if x >= first and x < last else _given(x, width, along, wx)
            found[y, x, c] = out[x] + kept * line[x]


@njit
def _back(team, count, *arguments):
    spread(_back_some, team, count, arguments)


@njit(part=True)
def _slopes_some(begin, end, gradient, frame, c, down, wy, dy, along, wx, dx, sums):
    """Per row, the gradient of where samples lie: along, and down."""
    height, width = frame.shape[:2]
    line, sloped = np.empty(width, np.float32), np.empty(width, np.float32)
    by_x, by_y = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(begin, end):
        line[:] = np.float32(0.0)
        sloped[:] = np.float32(0.0)
        for tap in range(TAPS):
            at = y + down + tap
            if at < 0 or at >= height:
                at = y
            w, d = wy[tap], dy[tap]
            for x in range(width):
                value = frame[at, x, c]
                line[x] += w * value
                sloped[x] += d * value
        _along(line, along, dx, by_x)
        _along(sloped, along, wx, by_y)
        right, below = np.float32(0.0), np.float32(0.0)
        for x in range(width):
            g = gradient[y, x, c]
            right += g * by_x[x]
            below += g * by_y[x]
        sums[y, 0] = right
        sums[y, 1] = below


@njit
def _slopes(team, count, *arguments):
    spread(_slopes_some, team, count, arguments)


@njit(inner=True)
def _sample(x, y, middle, square, offset, bend):
    """Where a pixel's sample lies, relative to it: right, down; its rho^2 and px from the middle."""
    right = np.float32(x) - middle[0]
    below = np.float32(y) - middle[1]
    rho = (right * right + below * below) * square
    larger = bend[2] + bend[3] * rho
    along = -(offset[0] + bend[0] * rho + larger * right)
    down = -(offset[1] + bend[1] * rho + larger * below)
    return along, down, rho, right, below


@njit(inner=True)
def _weigh(by, weight, slope):
    """First tap's place relative to the pixel; the weights of the taps and their slopes in where the sample lies."""
    whole = np.floor(by)
    f = np.float32(by - whole)
    half, one = np.float32(0.5), np.float32(1.0)
    weight[0] = f * (f * (one - half * f) - half)
    weight[1] = one + f * f * (np.float32(1.5) * f - np.float32(2.5))
    weight[2] = f * (half + f * (np.float32(2.0) - np.float32(1.5) * f))
    weight[3] = f * f * (half * f - half)
    slope[0] = f * (np.float32(2.0) - np.float32(1.5) * f) - half
    slope[1] = f * (np.float32(4.5) * f - np.float32(5.0))
    slope[2] = half + f * (np.float32(4.0) - np.float32(4.5) * f)
    slope[3] = f * (np.float32(1.5) * f - one)
    return np.int64(whole) - 1


@njit(inner=True)
def _place(i, first, tap, size):
    at = i + first + tap
    return at if at >= 0 and at < size else i


@njit(part=True)
def _bend_some(begin, end, frames, offsets, bends, middle, square, moved):
    _, height, width, channels = frames.shape
    for row in range(begin, end):
        m, y = row // height, row % height
        wx, wy, unused = np.empty(TAPS, np.float32), np.empty(TAPS, np.float32), np.empty(TAPS, np.float32)
        for c in range(channels):
            for x in range(width):
                along, down, _, _, _ = _sample(x, y, middle, square, offsets[m, c], bends[m, c])
                left, top = _weigh(along, wx, unused), _weigh(down, wy, unused)
                total = np.float32(0.0)
                for j in range(TAPS):
                    line = np.float32(0.0)
                    at = _place(y, top, j, height)
                    for i in range(TAPS):
                        line += wx[i] * frames[m, at, _place(x, left, i, width), c]
                    total += wy[j] * line
                moved[m, y, x, c] = total


@njit
def _bend(team, count, *arguments):
    spread(_bend_some, team, count, arguments)


@njit(part=True)
def _unbend_some(begin, end, gradient, offsets, bends, middle, square, found):
    """The adjoint of `_bend`: what each pixel took is given back, one plane a thread."""
    _, height, width, channels = gradient.shape
    for plane in range(begin, end):
        m, c = plane // channels, plane % channels
        wx, wy, unused = np.empty(TAPS, np.float32), np.empty(TAPS, np.float32), np.empty(TAPS, np.float32)
        for y in range(height):
            for x in range(width):
                along, down, _, _, _ = _sample(x, y, middle, square, offsets[m, c], bends[m, c])
                left, top = _weigh(along, wx, unused), _weigh(down, wy, unused)
                g = gradient[m, y, x, c]
                for j in range(TAPS):
                    at = _place(y, top, j, height)
                    for i in range(TAPS):
                        found[m, at, _place(x, left, i, width), c] += g * wy[j] * wx[i]


@njit
def _unbend(team, count, *arguments):
    spread(_unbend_some, team, count, arguments)


@njit(part=True)
def _bend_slopes_some(begin, end, gradient, frames, offsets, bends, middle, square, sums):
    """Per row and channel, the gradients of where samples lie: along and down, alone and as they grow outwards."""
    _, height, width, channels = frames.shape
    for row in range(begin, end):
        m, y = row // height, row % height
        wx, wy = np.empty(TAPS, np.float32), np.empty(TAPS, np.float32)
        dx, dy = np.empty(TAPS, np.float32), np.empty(TAPS, np.float32)
        for c in range(channels):
            total = sums[m, y, c]
            total[:] = np.float32(0.0)
            for x in range(width):
                along, down, rho, right, below = _sample(x, y, middle, square, offsets[m, c], bends[m, c])
                left, top = _weigh(along, wx, dx), _weigh(down, wy, dy)
                by_x, by_y = np.float32(0.0), np.float32(0.0)
                for j in range(TAPS):
                    at = _place(y, top, j, height)
                    line, sloped = np.float32(0.0), np.float32(0.0)
                    for i in range(TAPS):
                        value = frames[m, at, _place(x, left, i, width), c]
                        line += wx[i] * value
                        sloped += dx[i] * value
                    by_x += wy[j] * sloped
                    by_y += dy[j] * line
                g = gradient[m, y, x, c]
                outwards = g * (by_x * right + by_y * below)
                total[0] += g * by_x
                total[1] += g * by_y
                total[2] += g * by_x * rho
                total[3] += g * by_y * rho
                total[4] += outwards
                total[5] += outwards * rho


@njit
def _bend_slopes(team, count, *arguments):
    spread(_bend_slopes_some, team, count, arguments)


def _frame(frames: torch.Tensor) -> tuple[np.ndarray, np.float32]:
    """The middle of a frame [2], in px from its first pixel, and 1 / (px to its corner)^2."""
    height, width = frames.shape[1:3]
    middle = np.array([width / 2 - 0.5, height / 2 - 0.5], np.float32)
    return middle, np.float32(4.0 / (width * width + height * height))


def forward(frames: torch.Tensor, offsets: torch.Tensor, bends: torch.Tensor | None = None) -> torch.Tensor:
    """Moved frames [M, H, W, C]."""
    moved = torch.empty_like(frames)
    if bends is not None:
        how = offsets.detach().numpy(), bends.detach().numpy(), *_frame(frames)
        with kernel_lock:
            _bend(team(), len(frames) * frames.shape[1], frames.numpy(), *how, moved.numpy())
        return moved
    for frame, of_frame, out in zip(frames, offsets.tolist(), moved, strict=True):
        for c, (right, below) in enumerate(of_frame):
            if right == 0 and below == 0:
                out[..., c] = frame[..., c]
                continue
            (along, wx), (down, wy) = _taps(right), _taps(below)
            with kernel_lock:
                _shift(team(), len(frame), frame.numpy(), c, down, wy[0], along, wx[0], out.numpy())
    return moved


def backward(
    gradient: torch.Tensor,
    frames: torch.Tensor,
    offsets: torch.Tensor,
    bends: torch.Tensor | None,
    frames_wanted: bool,
    wanted: bool,
):
    """Gradients of frames [M, H, W, C], offsets [M, C, 2] and bends [M, C, 4] (None where not wanted)."""
    if bends is not None:
        return _unbent(gradient, frames, offsets, bends, frames_wanted, wanted)
    found = torch.empty_like(gradient) if frames_wanted else None
    grad_offsets = torch.zeros_like(offsets) if wanted else None
    sums = np.empty((gradient.shape[1], 2), np.float32)
    for m, of_frame in enumerate(offsets.tolist()):
        for c, (right, below) in enumerate(of_frame):
            (along, wx), (down, wy) = _taps(right), _taps(below)
            if found is not None and right == 0 and below == 0:
                found[m, ..., c] = gradient[m, ..., c]
            elif found is not None:
                with kernel_lock:
                    _back(team(), len(sums), gradient[m].numpy(), c, down, wy[0], along, wx[0], found[m].numpy())
            if grad_offsets is not None:
                numbers = down, wy[0], wy[1], along, wx[0], wx[1]
                with kernel_lock:
                    _slopes(team(), len(sums), gradient[m].numpy(), frames[m].numpy(), c, *numbers, sums)
                grad_offsets[m, c] = -torch.from_numpy(sums.sum(0, dtype=np.float64)).float()
    return found, grad_offsets, None


def _unbent(gradient, frames, offsets, bends, frames_wanted: bool, wanted: bool):
    how = offsets.detach().numpy(), bends.detach().numpy(), *_frame(gradient)
    found = torch.zeros_like(gradient) if frames_wanted else None
    with kernel_lock:
        if found is not None:
            _unbend(team(), len(gradient) * gradient.shape[3], gradient.numpy(), *how, found.numpy())
        if not wanted:
            return found, None, None
        sums = np.empty((len(gradient), gradient.shape[1], gradient.shape[3], 6), np.float32)
        _bend_slopes(team(), len(gradient) * gradient.shape[1], gradient.numpy(), frames.numpy(), *how, sums)
    total = -torch.from_numpy(sums.sum(1, dtype=np.float64)).float()
    return found, total[..., :2].contiguous(), total[..., 2:].contiguous()
