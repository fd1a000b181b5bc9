"""Defocus on a CPU: cells of the geometry, their spread over the backdrop, then one pass over the pixels."""

from __future__ import annotations

import numpy as np
import torch

from macrosplat.lens.coc_reference import CELL, SOLID
from macrosplat.lens.planes_cpu import as_frames, read
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

_SOLID = np.float32(SOLID)
_EMPTY = np.float32(-np.inf)  # strength of a cell without geometry


@njit(part=True)
def _cells_some(begin, end, depth, weight, half, focus, strength, source):
    """The most defocused geometry of every cell: s^2 and 1/d."""
    _, height, width = depth.shape
    _, rows, columns = strength.shape
    centre = np.float32(1.0) / focus
    for line in range(begin, end):
        m, row = line // rows, line % rows
        for column in range(columns):
            best = _EMPTY
            found = centre
            for y in range(row * CELL, min(row * CELL + CELL, height)):
                for x in range(column * CELL, min(column * CELL + CELL, width)):
                    if weight[m, y, x] >= _SOLID:
                        inverse = np.float32(1.0) / depth[m, y, x]
                        s = half * (centre - inverse)
                        if s * s > best:
                            best = s * s
                            found = inverse
            strength[m, row, column] = best
            source[m, row, column] = found


@njit
def _cells(team, count, *arguments):
    spread(_cells_some, team, count, arguments)


@njit(inner=True)
def _spread_line(strength, source, hull, starts, new_strength, new_source):
    """Along a line of cells: the largest strength_q - (distance to q)^2, and the source of that q.

    The parabolas that are largest somewhere are found in one sweep (Felzenszwalb & Huttenlocher 2012).
    """
    count = -1
    area = np.float32(CELL * CELL)
    for q in range(strength.shape[0]):
        if strength[q] == _EMPTY:
            continue
        start = _EMPTY
        while count >= 0:
            p = hull[count]
            # From here on q's parabola lies above p's.
            lead = (strength[p] - strength[q]) / area
            start = np.float32(0.5) * (lead / np.float32(q - p) + np.float32(q + p))
            if start > starts[count]:
                break
            count -= 1
            start = _EMPTY
        count += 1
        hull[count] = q
        starts[count] = start
    if count < 0:
        for x in range(strength.shape[0]):
            new_strength[x], new_source[x] = _EMPTY, source[x]
        return
    at = 0
    for x in range(strength.shape[0]):
        while at < count and starts[at + 1] < x:
            at += 1
        q = hull[at]
        new_strength[x] = strength[q] - area * np.float32((x - q) * (x - q))
        new_source[x] = source[q]


@njit(part=True)
def _spread_some(begin, end, strength, source, new_strength, new_source):
    """Along every row; the result is transposed, so that a second call goes along the columns."""
    _, rows, columns = strength.shape
    for task in range(begin, end):
        m, row = task // rows, task % rows
        hull = np.empty(columns, np.int64)
        starts = np.empty(columns, np.float32)
        line = np.empty((2, columns), np.float32)
        _spread_line(strength[m, row], source[m, row], hull, starts, line[0], line[1])
        for column in range(columns):
            new_strength[m, column, row] = line[0, column]
            new_source[m, column, row] = line[1, column]


@njit
def _spread(team, count, *arguments):
    spread(_spread_some, team, count, arguments)


@njit(part=True)
def _pixels_some(begin, end, depth, weight, source, lefts, shares, k, focus, sigma0, sigma, defocus, square):
    """sigma, and for the backward pass e = 1/d0 - 1/d and e^2 as the backdrop mixes them."""
    _, height, width = depth.shape
    _, rows, columns = source.shape
    centre = np.float32(1.0) / focus
    per_cell = np.float32(1.0 / CELL)
    for line in range(begin, end):
        m, y = line // height, line % height
        at = min(max((np.float32(y) + np.float32(0.5)) * per_cell - np.float32(0.5), np.float32(0.0)), rows - 1.0)
        top = min(int(at), max(rows - 2, 0))
        bottom = min(top + 1, rows - 1)
        v = np.float32(at - top)
        mixed = np.empty((2, columns + 1), np.float32)
        for column in range(columns):
            upper = centre - source[m, top, column]
            lower = centre - source[m, bottom, column]
            mixed[0, column] = upper + v * (lower - upper)
            mixed[1, column] = upper * upper + v * (lower * lower - upper * upper)
        mixed[0, columns], mixed[1, columns] = mixed[0, columns - 1], mixed[1, columns - 1]
        m0, m1 = mixed[0], mixed[1]
        for x in range(width):
            left = np.uint32(lefts[x])
            right = left + np.uint32(1)
            u = shares[x]
            e = m0[left] + u * (m0[right] - m0[left])
            ee = m1[left] + u * (m1[right] - m1[left])
            own = centre - np.float32(1.0) / depth[m, y, x]
            solid = weight[m, y, x] >= _SOLID
            e = own if solid else e
            ee = own * own if solid else ee
            defocus[m, y, x] = e
            square[m, y, x] = ee
            sigma[m, y, x] = np.sqrt(sigma0 * sigma0 + k * k * ee)


@njit
def _pixels(team, count, *arguments):
    spread(_pixels_some, team, count, arguments)


@njit(part=True)
def _gradients_some(begin, end, gradient, weight, k, focus, sigma, defocus, square, grad_depth, sums):
    """Per row, `sums` gets the gradients of sigma0, pupil (and fx) and focus, but for factors common to all pixels."""
    _, width = gradient.shape
    centre = np.float32(1.0) / focus
    for y in range(begin, end):
        total0 = np.float32(0.0)
        total1 = np.float32(0.0)
        total2 = np.float32(0.0)
        for x in range(width):
            g = gradient[y, x] / max(sigma[y, x], np.float32(1e-9))
            e = defocus[y, x]
            total0 += g
            total1 += g * square[y, x]
            total2 += g * e
            inverse = centre - e
            pull = k * k * g * e * inverse * inverse
            grad_depth[y, x] = pull if weight[y, x] >= _SOLID else np.float32(0.0)
        sums[y, 0] = total0
        sums[y, 1] = total1
        sums[y, 2] = total2


@njit
def _gradients(team, count, *arguments):
    spread(_gradients_some, team, count, arguments)


@njit(part=True)
def _coloured_some(begin, end, colours, k, sigma0, defocus, square, sigma):
    """sigma of each channel [M, C, H, W], of e and e^2 [M, H, W]."""
    _, channels, height, width = sigma.shape
    for row in range(begin, end):
        m, y = row // height, row % height
        e, ee = defocus[m, y], square[m, y]
        for c in range(channels):
            a, own = colours[c], sigma[m, c, y]
            for x in range(width):
                of_colour = ee[x] + a * (np.float32(2.0) * e[x] + a)
                own[x] = np.sqrt(sigma0 * sigma0 + k * k * max(of_colour, np.float32(0.0)))


@njit
def _coloured(team, count, *arguments):
    spread(_coloured_some, team, count, arguments)


@njit(part=True)
def _coloured_gradients_some(begin, end, gradient, weight, colours, k, focus, sigma, defocus, square, grad_depth, sums):
    """As `_gradients`, of gradient and sigma [M, C, H, W]; sums of the focus are kept by channel, where they are those
    of the colours, too."""
    _, channels, height, width = gradient.shape
    centre = np.float32(1.0) / focus
    for row in range(begin, end):
        m, y = row // height, row % height
        e, ee, pull = defocus[m, y], square[m, y], grad_depth[m, y]
        pull[:] = np.float32(0.0)
        total0, total1 = np.float32(0.0), np.float32(0.0)
        for c in range(channels):
            a, own = colours[c], np.float32(0.0)
            given, wide = gradient[m, c, y], sigma[m, c, y]
            for x in range(width):
                g = given[x] / max(wide[x], np.float32(1e-9))
                part = g * (e[x] + a)
                total0 += g
                total1 += g * (ee[x] + a * (np.float32(2.0) * e[x] + a))
                own += part
                pull[x] += part
            sums[row, 2 + c] = own
        sums[row, 0] = total0
        sums[row, 1] = total1
        solid = weight[m, y]
        for x in range(width):
            inverse = centre - e[x]
            pull[x] = k * k * pull[x] * inverse * inverse if solid[x] >= _SOLID else np.float32(0.0)


@njit
def _coloured_gradients(team, count, *arguments):
    spread(_coloured_gradients_some, team, count, arguments)


def _columns(width: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Left cell of every pixel of a row, and the share of its right neighbour."""
    at = np.clip((np.arange(width) + 0.5) / CELL - 0.5, 0, columns - 1)
    left = np.minimum(at.astype(np.int32), max(columns - 2, 0))
    return left, (at - left).astype(np.float32)


def forward(depth: torch.Tensor, weight: torch.Tensor, fx, pupil, focus, sigma0, colours=None):
    """Returns sigma [M, H, W], or [M, H, W, C] with colours [C], and what `backward` needs: defocus 1/d0 - 1/d and its
    square, [M, H, W]."""
    results = sigma, defocus, square = tuple(torch.empty_like(depth) for _ in range(3))
    _all(depth.numpy(), weight.numpy(), fx, pupil, focus, sigma0, [t.numpy() for t in results])
    if colours is not None:
        frames, height, width = depth.shape
        planes = np.empty((frames, len(colours), height, width), np.float32)
        numbers = colours.detach().numpy(), np.float32(0.25 * float(pupil) * float(fx)), np.float32(float(sigma0))
        with kernel_lock:
            _coloured(team(), frames * height, *numbers, defocus.numpy(), square.numpy(), planes)
        sigma = as_frames(planes)
    return sigma, (defocus, square)


def _all(depth: np.ndarray, weight: np.ndarray, fx, pupil, focus, sigma0, results) -> None:
    """Frames [M, H, W], into sigma, defocus and its square."""
    frames, height, width = depth.shape
    rows, columns = (height + CELL - 1) // CELL, (width + CELL - 1) // CELL
    d0 = np.float32(float(focus))
    half = np.float32(0.5 * float(pupil) * float(fx))
    strength, source = np.empty((2, frames, rows, columns), np.float32)
    turned_strength, turned_source = np.empty((2, frames, columns, rows), np.float32)
    with kernel_lock:
        _cells(team(), frames * rows, depth, weight, half, d0, strength, source)
        _spread(team(), frames * rows, strength, source, turned_strength, turned_source)
        _spread(team(), frames * columns, turned_strength, turned_source, strength, source)
        lens = np.float32(0.5) * half, d0, np.float32(float(sigma0))
        _pixels(team(), frames * height, depth, weight, source, *_columns(width, columns), *lens, *results)


def backward(gradient, weight, fx, pupil, focus, sigma0, colours, sigma, defocus, square):
    """Gradients of depth [M, H, W], of (fx, pupil, focus, sigma0), and of colours [C] (None without)."""
    gradient = gradient.contiguous() if colours is None else gradient
    d0, diameter, focal = float(focus), float(pupil), float(fx)
    quarter = 0.25 * focal
    k = np.float32(quarter * diameter)
    grad_depth = torch.empty_like(weight)
    if colours is None:
        # The frames one below the other: each pixel on its own, and sums per row.
        rows = [t.numpy().reshape(-1, t.shape[2]) for t in (gradient, weight, sigma, defocus, square, grad_depth)]
        sums = np.empty((len(rows[0]), 3), np.float32)
        with kernel_lock:
            _gradients(team(), len(sums), *rows[:2], k, np.float32(d0), *rows[2:], sums)
    else:
        arrays = [read(gradient), weight.numpy(), colours.detach().numpy(), k, np.float32(d0), read(sigma)]
        arrays += [t.numpy() for t in (defocus, square, grad_depth)]
        sums = np.empty((defocus[..., 0].numel(), 2 + len(colours)), np.float32)
        with kernel_lock:
            _coloured_gradients(team(), len(sums), *arrays, sums)
    total0, total1, *by_channel = (float(v) for v in sums.sum(axis=0, dtype=np.float64))
    grad_lens = (
        0.0625 * diameter * diameter * focal * total1,
        quarter * quarter * diameter * total1,
        -((quarter * diameter / d0) ** 2) * sum(by_channel),
        float(sigma0) * total0,
    )
    grad_colours = (
        None if colours is None else (quarter * diameter) ** 2 * torch.tensor(by_channel, dtype=torch.float32)
    )
    return grad_depth, tuple(torch.tensor(v, dtype=torch.float32) for v in grad_lens), grad_colours
