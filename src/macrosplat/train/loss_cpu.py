"""The photometric loss and its gradient on a CPU, in one sweep.

Each task takes one channel of a strip of rows and runs three stages down it, each REACH rows behind the one
before: (1) the sRGB curve and the windows along the row; (2) the windows down the columns, SSIM, and the windows
of its derivatives along the row; (3) those down the columns, and the gradient. Only the last 11 rows of every
quantity exist, in L2.
"""

from __future__ import annotations

import numpy as np
import torch

from macrosplat.lens.blur_rows_cpu import mirror
from macrosplat.support.colour import LINEAR_JOIN, OFFSET, SLOPE
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team
from macrosplat.train.loss_reference import (
    BEYOND,
    BURNT,
    C1,
    C2,
    CURVE_END,
    GREY,
    POWER,
    REACH,
    SCALE,
    TANGENT,
    window_taps,
)

TAPS = 2 * REACH + 1
STRIP = 100  # rows: 20 of them are done twice, and 600 rows x 3 channels make 18 tasks

_TAPS = tuple(np.float32(v) for v in window_taps())
_C1 = np.float32(C1)
_C2 = np.float32(C2)
_GREY = np.float32(GREY)
_KNEE, _BELOW = np.float32(LINEAR_JOIN), np.float32(SLOPE)
_END, _TANGENT = np.float32(CURVE_END), np.float32(TANGENT)
_BURNT, _BEYOND, _WITHIN = np.uint8(BURNT), np.float32(BEYOND), np.float32(1.0 / BEYOND)
_SCALE, _OFFSET, _POWER = np.float32(SCALE), np.float32(OFFSET), np.float32(POWER)

# s^(-1/3) for s in 0.2365 ... 2 within 0.8 %: least-squares fit, weighted towards equal error everywhere.
_ROOT = tuple(np.float32(v) for v in (2.144315981, -2.893025453, 2.894054270, -1.401007536, 0.254597001))


@njit(inner=True)
def _encode(linear):
    """The sRGB curve. x^(1/2.4) = s^2 s^(-1/3) with s = x^(1/4): within 3e-7."""
    x = min(max(linear, _KNEE), _END)
    s = np.sqrt(np.sqrt(x))
    z = _ROOT[0] + s * (_ROOT[1] + s * (_ROOT[2] + s * (_ROOT[3] + s * _ROOT[4])))
    third = np.float32(1.0 / 3.0)
    z = z * (np.float32(4.0) - s * z * z * z) * third  # Newton: 0.8 % becomes 1.3e-4,
    z = z * (np.float32(4.0) - s * z * z * z) * third  # then 3e-8
    power = _SCALE * s * s * z - _OFFSET + _TANGENT * max(linear - _END, np.float32(0.0))
    return power if linear > _KNEE else _BELOW * linear


@njit(inline=True)
def _slope(encoded, linear):
    """The curve's derivative in `linear`, whose sRGB value is `encoded`."""
    within = _POWER * (encoded + _OFFSET) / max(linear, _KNEE)
    above = within if linear < _END else _TANGENT
    return above if linear > _KNEE else _BELOW


@njit(inner=True)
def _along(padded, width, row):
    """Window along a row whose `width` values start at padded[REACH]; mirrors its ends first."""
    inner = padded[REACH : REACH + width]
    for i in range(REACH):
        padded[i] = inner[mirror(i - REACH, width)]
        padded[REACH + width + i] = inner[mirror(width + i, width)]
    a5, a4, a3, a2, a1 = padded, padded[1:], padded[2:], padded[3:], padded[4:]
    b1, b2, b3, b4, b5 = padded[6:], padded[7:], padded[8:], padded[9:], padded[10:]
    for x in range(width):
        row[x] = (
            _TAPS[0] * inner[x]
            + _TAPS[1] * (a1[x] + b1[x])
            + _TAPS[2] * (a2[x] + b2[x])
            + _TAPS[3] * (a3[x] + b3[x])
            + _TAPS[4] * (a4[x] + b4[x])
            + _TAPS[5] * (a5[x] + b5[x])
        )


@njit(inner=True)
def _down(ring, y, height, row):
    """Window down the columns around row y of a ring of TAPS rows."""
    a0 = ring[y % TAPS]
    a1, b1 = ring[mirror(y - 1, height) % TAPS], ring[mirror(y + 1, height) % TAPS]
    a2, b2 = ring[mirror(y - 2, height) % TAPS], ring[mirror(y + 2, height) % TAPS]
    for x in range(row.shape[0]):
        row[x] = _TAPS[0] * a0[x] + _TAPS[1] * (a1[x] + b1[x]) + _TAPS[2] * (a2[x] + b2[x])
    a3, b3 = ring[mirror(y - 3, height) % TAPS], ring[mirror(y + 3, height) % TAPS]
    a4, b4 = ring[mirror(y - 4, height) % TAPS], ring[mirror(y + 4, height) % TAPS]
    a5, b5 = ring[mirror(y - 5, height) % TAPS], ring[mirror(y + 5, height) % TAPS]
    for x in range(row.shape[0]):
        row[x] += _TAPS[3] * (a3[x] + b3[x]) + _TAPS[4] * (a4[x] + b4[x]) + _TAPS[5] * (a5[x] + b5[x])


@njit(inner=True)
def _similarity(mean_x, square, product, mean_y, variance_y, weight, ssim, d_mean, d_square, d_product):
    """SSIM of a row times the weight, and its derivatives by the window means of x, xx and xy (about grey)."""
    two = np.float32(2.0)
    for x in range(ssim.shape[0]):
        mx, my = mean_x[x], mean_y[x]
        light = two * mx * my + _C1
        gx, gy = mx - _GREY, my - _GREY
        structure = two * (product[x] - gx * gy) + _C2
        lights = mx * mx + my * my + _C1
        structures = square[x] - gx * gx + variance_y[x] + _C2
        inverse = np.float32(1.0) / (lights * structures)
        w = weight[x]
        s = w * light * structure * inverse
        ssim[x] = s
        grad_structures = s * inverse * lights
        d_square[x] = -grad_structures
        d_product[x] = two * w * light * inverse
        d_mean[x] = two * (
            w * inverse * (my * structure - gy * light) + gx * grad_structures - mx * s * inverse * structures
        )


@njit(part=True)
def _sweep_some(begin, end, blurred, photo, mean, variance, weight, l1_share, ssim_share, gradient, sums):
    """blurred [H, 3 W]; sums [3, H] are the loss of every row; gradient is not written where it has no rows."""
    _, height, width = photo.shape
    with_gradient = gradient.shape[0] > 0
    scale = np.float32(1.0 / 255.0)
    for task in range(begin, end):
        c = task % 3
        start = task // 3 * STRIP
        stop = min(start + STRIP, height)
        encoded = np.empty((TAPS, width), np.float32)
        rings = np.empty((6, TAPS, width), np.float32)
        padded = np.empty((3, width + 2 * REACH), np.float32)
        rows = np.empty((4, width), np.float32)
        p0, p1, p2 = padded[0], padded[1], padded[2]
        q0, q1, q2 = p0[REACH:], p1[REACH:], p2[REACH:]
        r0, r1, r2, r3 = rows[0], rows[1], rows[2], rows[3]
        lead = 2 * REACH if with_gradient else REACH
        for y1 in range(start - lead, stop + 2 * REACH):
            if 0 <= y1 < height and y1 < stop + lead:
                e = encoded[y1 % TAPS]
                source = blurred[y1, c:]
                y = photo[c, y1]
                for x in range(width):
                    e[x] = source[3 * x]
                for x in range(width):
                    v = _encode(e[x])
                    value = scale * np.float32(y[x])
                    v = value + _BEYOND * (v - value) if y[x] >= _BURNT and v > value else v
                    e[x] = v
                    q0[x] = v
                    q1[x] = (v - _GREY) * (v - _GREY)
                    q2[x] = (v - _GREY) * (value - _GREY)
                _along(p0, width, rings[0, y1 % TAPS])
                _along(p1, width, rings[1, y1 % TAPS])
                _along(p2, width, rings[2, y1 % TAPS])
            y2 = y1 - REACH
            if 0 <= y2 < height and start - lead + REACH <= y2 < stop + lead - REACH:
                _down(rings[0], y2, height, r0)
                _down(rings[1], y2, height, r1)
                _down(rings[2], y2, height, r2)
                w = weight[y2]
                _similarity(r0, r1, r2, mean[c, y2], variance[c, y2], w, r3, q0, q1, q2)
                if with_gradient:
                    _along(p0, width, rings[3, y2 % TAPS])
                    _along(p1, width, rings[4, y2 % TAPS])
                    _along(p2, width, rings[5, y2 % TAPS])
                if start <= y2 < stop:
                    e = encoded[y2 % TAPS]
                    y = photo[c, y2]
                    total = np.float32(0.0)
                    for x in range(width):
                        total += l1_share * w[x] * abs(e[x] - scale * np.float32(y[x])) + ssim_share * (w[x] - r3[x])
                    sums[c, y2] = total
            y3 = y2 - REACH
            if with_gradient and start <= y3 < stop:
                _down(rings[3], y3, height, r0)
                _down(rings[4], y3, height, r1)
                _down(rings[5], y3, height, r2)
                e = encoded[y3 % TAPS]
                y = photo[c, y3]
                w = weight[y3]
                source = blurred[y3, c:]
                for x in range(width):
                    r3[x] = source[3 * x]
                for x in range(width):
                    value = scale * np.float32(y[x])
                    away = e[x] - value
                    sign = np.float32(1.0) if away > 0 else (np.float32(-1.0) if away < 0 else away)
                    g = l1_share * w[x] * sign - ssim_share * (
                        r0[x] + np.float32(2.0) * (e[x] - _GREY) * r1[x] + (value - _GREY) * r2[x]
                    )
                    beyond = y[x] >= _BURNT and away > 0
                    slope = _slope(value + _WITHIN * away if beyond else e[x], r3[x])
                    r3[x] = g * (_BEYOND * slope if beyond else slope)
                target = gradient[y3, c:]
                for x in range(width):
                    target[3 * x] = r3[x]


@njit
def _sweep(team, count, *arguments):
    spread(_sweep_some, team, count, arguments)


def forward(blurred: torch.Tensor, target, lambda_dssim: float, with_gradient: bool):
    """Loss [], and its gradient [H, W, 3] (None if not wanted) for `backward`."""
    target = target.alone()
    height, width, _ = blurred.shape
    gradient = torch.empty_like(blurred) if with_gradient else None
    sums = np.empty((3, height), np.float32)
    each = 1.0 / (3.0 * target.total)
    with kernel_lock:
        _sweep(
            team(),
            3 * -(-height // STRIP),
            blurred.detach().numpy().reshape(height, 3 * width),
            target.photo.numpy(),
            target.mean.numpy(),
            target.variance.numpy(),
            target.weight.numpy(),
            np.float32((1.0 - lambda_dssim) * each),
            np.float32(lambda_dssim * each),
            np.empty((0, 0), np.float32) if gradient is None else gradient.numpy().reshape(height, 3 * width),
            sums,
        )
    return torch.tensor(sums.sum(dtype=np.float64), dtype=torch.float32), gradient


def backward(incoming: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient of `blurred` [H, W, 3], by that of the loss []."""
    # A loss that is differentiated as it stands comes with 1.
    return gradient if float(incoming) == 1.0 else gradient * incoming
