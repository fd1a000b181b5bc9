"""The shift on a CPU: row by row, first down the columns into a line, then along it."""

from __future__ import annotations

import math

import numpy as np
import torch

from macrosplat.lens.shift_reference import TAPS, slopes, weights
from macrosplat.support.numba import kernel_lock, njit, prange


def _taps(offset: float) -> tuple[int, np.ndarray]:
    """First tap's place relative to the pixel, and [2, TAPS] weights and their slopes in where the sample lies."""
    whole = math.floor(-offset)
    f = -offset - whole
    return whole - 1, np.array([weights(f), slopes(f)], np.float32)


@njit
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


@njit
def _gather(line, x, first, weight):
    """What pixel x takes of a line."""
    total = np.float32(0.0)
    for tap in range(TAPS):
        at = x + first + tap
        if at < 0 or at >= line.shape[0]:
            at = x
        total += weight[tap] * line[at]
    return total


@njit
def _given(i, size, first, weight):
    """What pixel i keeps for itself of the taps that lie outside."""
    kept = np.float32(0.0)
    for tap in range(TAPS):
        at = i + first + tap
        if at < 0 or at >= size:
            kept += weight[tap]
    return kept


@njit(parallel=True)
def _shift(frame, c, down, wy, along, wx, moved):
    height, width = frame.shape[:2]
    for row in prange(height):
        y = np.int64(row)  # unsigned it would make floats of places before 0
        line = np.empty(width, np.float32)
        _gather_line(frame, y, c, down, wy, line)
        for x in range(width):
            moved[y, x, c] = _gather(line, x, along, wx)


@njit(parallel=True)
def _back(gradient, c, down, wy, along, wx, found):
    """The adjoint of `_shift`: pixels that take from this one lie on the other side of it."""
    height, width = gradient.shape[:2]
    for row in prange(height):
        y = np.int64(row)  # unsigned it would make floats of places before 0
        line = np.zeros(width, np.float32)
        for tap in range(TAPS + 1):
            at = y - down - tap if tap < TAPS else y
            w = wy[tap] if tap < TAPS else _given(y, height, down, wy)
            if at >= 0 and at < height and w != np.float32(0.0):
                for x in range(width):
                    line[x] += w * gradient[at, x, c]
        for x in range(width):
            total = _given(x, width, along, wx) * line[x]
            for tap in range(TAPS):
                at = x - along - tap
                if at >= 0 and at < width:
                    total += wx[tap] * line[at]
            found[y, x, c] = total


@njit(parallel=True)
def _slopes(gradient, frame, c, down, wy, dy, along, wx, dx, sums):
    """Per row, the gradient of where samples lie: along, and down."""
    height, width = frame.shape[:2]
    for row in prange(height):
        y = np.int64(row)  # unsigned it would make floats of places before 0
        line, sloped = np.empty(width, np.float32), np.empty(width, np.float32)
        _gather_line(frame, y, c, down, wy, line)
        _gather_line(frame, y, c, down, dy, sloped)
        right, below = np.float32(0.0), np.float32(0.0)
        for x in range(width):
            g = gradient[y, x, c]
            right += g * _gather(line, x, along, dx)
            below += g * _gather(sloped, x, along, wx)
        sums[y, 0] = right
        sums[y, 1] = below


def forward(frames: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Moved frames [M, H, W, C]."""
    moved = torch.empty_like(frames)
    for frame, of_frame, out in zip(frames, offsets.tolist(), moved, strict=True):
        for c, (right, below) in enumerate(of_frame):
            if right == 0 and below == 0:
                out[..., c] = frame[..., c]
                continue
            (along, wx), (down, wy) = _taps(right), _taps(below)
            with kernel_lock:
                _shift(frame.numpy(), c, down, wy[0], along, wx[0], out.numpy())
    return moved


def backward(gradient: torch.Tensor, frames: torch.Tensor, offsets: torch.Tensor, frames_wanted: bool, wanted: bool):
    """Gradients of frames [M, H, W, C] and offsets [M, C, 2] (None where not wanted)."""
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
                    _back(gradient[m].numpy(), c, down, wy[0], along, wx[0], found[m].numpy())
            if grad_offsets is not None:
                numbers = down, wy[0], wy[1], along, wx[0], wx[1]
                with kernel_lock:
                    _slopes(gradient[m].numpy(), frames[m].numpy(), c, *numbers, sums)
                grad_offsets[m, c] = -torch.from_numpy(sums.sum(0, dtype=np.float64)).float()
    return found, grad_offsets
