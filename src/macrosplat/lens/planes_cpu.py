"""Channels in planes on a CPU: kernels read rows of numbers that lie side by side.

Frames are [M, H, W, C] everywhere; where one stage of the lens hands them to the next, their memory may be that of
planes [M, C, H, W], which spares both of them the sorting.
"""

from __future__ import annotations

import numpy as np
import torch

from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team


@njit(part=True)
def _read_some(begin, end, frames, planes):
    _, height, width, channels = frames.shape
    for line in range(begin, end):
        m, y = line // height, line % height
        for c in range(channels):
            source = frames[m, y, :, c]
            target = planes[m, c, y]
            for x in range(width):
                target[x] = source[x]


@njit
def _read(team, count, *arguments):
    spread(_read_some, team, count, arguments)


@njit(part=True)
def _write_some(begin, end, planes, frames):
    _, height, width, channels = frames.shape
    for line in range(begin, end):
        m, y = line // height, line % height
        for c in range(channels):
            source = planes[m, c, y]
            target = frames[m, y, :, c]
            for x in range(width):
                target[x] = source[x]


@njit
def _write(team, count, *arguments):
    spread(_write_some, team, count, arguments)


def in_planes(frames: torch.Tensor) -> np.ndarray | None:
    """[M, C, H, W] if that is how frames [M, H, W, C] lie in memory."""
    planes = frames.permute(0, 3, 1, 2)
    return planes.numpy() if planes.is_contiguous() else None


def read(frames: torch.Tensor, planes: np.ndarray | None = None) -> np.ndarray:
    """[M, C, H, W] of frames [M, H, W, C], into `planes` unless they lie so already."""
    found = in_planes(frames)
    if found is not None:
        return found
    count, height, width, channels = frames.shape
    if planes is None:
        planes = np.empty((count, channels, height, width), np.float32)
    with kernel_lock:
        _read(team(), count * height, frames.contiguous().numpy(), planes)
    return planes


def write(planes: np.ndarray, frames: np.ndarray) -> None:
    """Into frames [M, H, W, C], the channels of a pixel side by side."""
    with kernel_lock:
        _write(team(), len(planes) * planes.shape[2], planes, frames)


def written(planes: np.ndarray) -> torch.Tensor:
    """The same, new."""
    count, channels, height, width = planes.shape
    frames = np.empty((count, height, width, channels), np.float32)
    write(planes, frames)
    return torch.from_numpy(frames)


def as_frames(planes: np.ndarray) -> torch.Tensor:
    """[M, H, W, C] that lie in memory as the planes do."""
    return torch.from_numpy(planes).permute(0, 2, 3, 1)
