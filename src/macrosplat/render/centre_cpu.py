"""`camera_centre` on a CPU: A c + t = 0 solved by Cramer's rule; back, u = A^-T g, dA = -u c^T, dt = -u."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from macrosplat.support.numba import kernel_lock, njit


@njit(inner=True)
def _solve(view, inverse, centre):
    """A^-1 [3, 3] of an affine view, and the centre [3]; in double precision."""
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            inverse[c, i] = np.float64(view[j, d]) * view[k, e] - np.float64(view[j, e]) * view[k, d]
    scale = 1 / (view[0, 0] * inverse[0, 0] + view[0, 1] * inverse[1, 0] + view[0, 2] * inverse[2, 0])
    for c in range(3):
        for i in range(3):
            inverse[c, i] *= scale
        centre[c] = -(inverse[c, 0] * view[0, 3] + inverse[c, 1] * view[1, 3] + inverse[c, 2] * view[2, 3])


@njit
def _forward(views, centres):
    inverse, centre = np.empty((3, 3)), np.empty(3)
    for m in range(len(views)):
        _solve(views[m], inverse, centre)
        for c in range(3):
            centres[m, c] = centre[c]


@njit
def _backward(views, gradients, found):
    inverse, centre = np.empty((3, 3)), np.empty(3)
    for m in range(len(views)):
        _solve(views[m], inverse, centre)
        for i in range(3):
            u = 0.0
            for c in range(3):
                u -= inverse[c, i] * gradients[m, c]
            for c in range(3):
                found[m, i, c] = u * centre[c]
            found[m, i, 3] = u
        for c in range(4):
            found[m, 3, c] = 0.0


def forward(view: Tensor) -> Tensor:
    """Centres [..., 3] of views [..., 4, 4]."""
    centre = np.empty((*view.shape[:-2], 3), np.float32)
    with kernel_lock:
        _forward(view.numpy().reshape(-1, 4, 4), centre.reshape(-1, 3))
    return torch.from_numpy(centre)


def backward(view: Tensor, gradient: Tensor) -> Tensor:
    """Of the views."""
    found = np.empty(tuple(view.shape), np.float32)
    with kernel_lock:
        _backward(view.numpy().reshape(-1, 4, 4), gradient.numpy().reshape(-1, 3), found.reshape(-1, 4, 4))
    return torch.from_numpy(found)
