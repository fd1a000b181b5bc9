"""The photometric loss and its gradient on a GPU.

Six launches (four without a gradient), whatever the size: the sRGB curve into planes [3, H, W]; the windows along the
rows; those down the columns with SSIM and its derivatives; the windows of these along the rows, then down the columns
with the gradient; and the sum of the loss, block by block in fixed order.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl

from macrosplat.train.loss_reference import C1, C2, CURVE_END, GREY, window_taps

TILE = {"ROWS": 4, "COLUMNS": 128, "num_warps": 4}

_T0, _T1, _T2, _T3, _T4, _T5 = (tl.constexpr(t) for t in window_taps())
_C1, _C2, _GREY = tl.constexpr(C1), tl.constexpr(C2), tl.constexpr(GREY)
_KNEE, _END = tl.constexpr(0.0031308), tl.constexpr(CURVE_END)
_TANGENT = tl.constexpr(1.055 / 2.4 * CURVE_END ** (1.0 / 2.4 - 1.0))
_POWER = tl.constexpr(1.0 / 2.4)
_BYTE = tl.constexpr(1.0 / 255.0)


@triton.jit
def _tap(j: tl.constexpr):
    return _T1 if j == 1 else (_T2 if j == 2 else (_T3 if j == 3 else (_T4 if j == 4 else _T5)))


@triton.jit
def _mirror(i, n):
    """The pixel that stands for pixel i outside 0 ... n - 1; 10 n keep i positive, as it is never below -5."""
    i = (i + 10 * n) % (2 * n)
    return tl.where(i < n, i, 2 * n - 1 - i)


@triton.jit
def _where(height, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Plane offset, rows and columns of this program's tile, and which of its pixels exist."""
    y = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    x = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    plane = tl.program_id(2).to(tl.int64) * height * width
    return plane, y, x, (y < height) & (x < width)


@triton.jit(do_not_specialize=["height"])
def _encode(blurred, encoded, height, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The sRGB curve, [H, W, 3] to [3, H, W]."""
    plane, y, x, inside = _where(height, width, ROWS, COLUMNS)
    linear = tl.load(blurred + (y * width + x) * 3 + tl.program_id(2), mask=inside, other=0.0)
    between = tl.minimum(tl.maximum(linear, _KNEE), _END)
    power = 1.055 * tl.exp2(tl.log2(between) * _POWER) - 0.055 + _TANGENT * tl.maximum(linear - _END, 0.0)
    tl.store(encoded + plane + y * width + x, tl.where(linear > _KNEE, power, 12.92 * linear), mask=inside)


@triton.jit
def _products(encoded, photo, at, inside):
    """x, and xx and xy about grey, at some pixels."""
    v = tl.load(encoded + at, mask=inside, other=0.0)
    w = v - _GREY
    return v, w * w, w * (tl.load(photo + at, mask=inside, other=0).to(tl.float32) * _BYTE - _GREY)


@triton.jit(do_not_specialize=["height"])
def _windows(encoded, photo, rows, height, width, size, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Windows along the rows of x, xx and xy, into `rows` [3, 3, H, W]; `size` is 3 H W."""
    plane, y, x, inside = _where(height, width, ROWS, COLUMNS)
    line = plane + y * width
    a, b, c = _products(encoded, photo, line + x, inside)
    a, b, c = _T0 * a, _T0 * b, _T0 * c
    for j in tl.static_range(1, 6):
        for side in tl.static_range(2):
            a1, b1, c1 = _products(encoded, photo, line + _mirror(x + (2 * side - 1) * j, width), inside)
            a += _tap(j) * a1
            b += _tap(j) * b1
            c += _tap(j) * c1
    at = rows + line + x
    tl.store(at, a, mask=inside)
    tl.store(at + size, b, mask=inside)
    tl.store(at + 2 * size, c, mask=inside)


@triton.jit
def _triple(rows, at, size, inside):
    a = tl.load(rows + at, mask=inside, other=0.0)
    b = tl.load(rows + size + at, mask=inside, other=0.0)
    c = tl.load(rows + 2 * size + at, mask=inside, other=0.0)
    return a, b, c


@triton.jit
def _down(rows, plane, y, x, height, width, size, inside):
    """Windows down the columns of three quantities."""
    a, b, c = _triple(rows, plane + y * width + x, size, inside)
    a, b, c = _T0 * a, _T0 * b, _T0 * c
    for j in tl.static_range(1, 6):
        for side in tl.static_range(2):
            a1, b1, c1 = _triple(rows, plane + _mirror(y + (2 * side - 1) * j, height) * width + x, size, inside)
            a += _tap(j) * a1
            b += _tap(j) * b1
            c += _tap(j) * c1
    return a, b, c


@triton.jit(do_not_specialize=["height"])
def _similarity(
    rows, encoded, photo, mean, variance, weight, derivatives, sums, height, width, size, l1_share, ssim_share,
    GRADIENT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The loss of each block, and the derivatives of SSIM by the window means of x, xx and xy."""
    plane, y, x, inside = _where(height, width, ROWS, COLUMNS)
    mx, square, product = _down(rows, plane, y, x, height, width, size, inside)
    at = plane + y * width + x
    my = tl.load(mean + at, mask=inside, other=0.0)
    w = tl.load(weight + y * width + x, mask=inside, other=0.0)
    light = 2.0 * mx * my + _C1
    gx, gy = mx - _GREY, my - _GREY
    structure = 2.0 * (product - gx * gy) + _C2
    lights = mx * mx + my * my + _C1
    structures = square - gx * gx + tl.load(variance + at, mask=inside, other=0.0) + _C2
    inverse = tl.div_rn(1.0, lights * structures)
    s = w * light * structure * inverse
    away = tl.load(encoded + at, mask=inside, other=0.0)
    away -= tl.load(photo + at, mask=inside, other=0).to(tl.float32) * _BYTE
    terms = tl.where(inside, l1_share * w * tl.abs(away) + ssim_share * (w - s), 0.0)
    block = (tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
    tl.store(sums + block, tl.sum(tl.sum(terms, 1), 0))
    if GRADIENT:
        by_structures = s * inverse * lights
        by_mean = 2.0 * (
            w * inverse * (my * structure - gy * light) + gx * by_structures - mx * s * inverse * structures
        )
        tl.store(derivatives + at, by_mean, mask=inside)
        tl.store(derivatives + size + at, -by_structures, mask=inside)
        tl.store(derivatives + 2 * size + at, 2.0 * w * light * inverse, mask=inside)


@triton.jit(do_not_specialize=["height"])
def _back_along(derivatives, rows, height, width, size, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Windows along the rows of the three derivatives."""
    plane, y, x, inside = _where(height, width, ROWS, COLUMNS)
    line = plane + y * width
    a, b, c = _triple(derivatives, line + x, size, inside)
    a, b, c = _T0 * a, _T0 * b, _T0 * c
    for j in tl.static_range(1, 6):
        for side in tl.static_range(2):
            a1, b1, c1 = _triple(derivatives, line + _mirror(x + (2 * side - 1) * j, width), size, inside)
            a += _tap(j) * a1
            b += _tap(j) * b1
            c += _tap(j) * c1
    at = rows + line + x
    tl.store(at, a, mask=inside)
    tl.store(at + size, b, mask=inside)
    tl.store(at + 2 * size, c, mask=inside)


@triton.jit(do_not_specialize=["height"])
def _back_down(
    rows, blurred, encoded, photo, weight, gradient, height, width, size, l1_share, ssim_share,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Windows down the columns of the derivatives, and the gradient [H, W, 3]."""
    plane, y, x, inside = _where(height, width, ROWS, COLUMNS)
    by_mean, by_square, by_product = _down(rows, plane, y, x, height, width, size, inside)
    pixel = y * width + x
    e = tl.load(encoded + plane + pixel, mask=inside, other=0.0)
    value = tl.load(photo + plane + pixel, mask=inside, other=0).to(tl.float32) * _BYTE
    away = e - value
    sign = tl.where(away > 0.0, 1.0, tl.where(away < 0.0, -1.0, away))
    g = l1_share * tl.load(weight + pixel, mask=inside, other=0.0) * sign
    g -= ssim_share * (by_mean + 2.0 * (e - _GREY) * by_square + (value - _GREY) * by_product)
    linear = tl.load(blurred + pixel * 3 + tl.program_id(2), mask=inside, other=0.0)
    slope = tl.div_rn(_POWER * (e + 0.055), tl.maximum(linear, _KNEE))
    slope = tl.where(linear < _END, slope, _TANGENT)
    slope = tl.where(linear > _KNEE, slope, 12.92)
    tl.store(gradient + pixel * 3 + tl.program_id(2), g * slope, mask=inside)


@triton.jit(do_not_specialize=["count"])
def _sum(sums, loss, count, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
    """One program, so that the order is fixed; in float64."""
    i = tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float64)
    for k in range(ROUNDS):
        total += tl.load(sums + k * BLOCK + i, mask=k * BLOCK + i < count, other=0.0).to(tl.float64)
    tl.store(loss, tl.sum(total, 0).to(tl.float32))


def loss_and_gradient(blurred: torch.Tensor, target, lambda_dssim: float, with_gradient: bool):
    """Loss [] and its gradient [H, W, 3] (None if not wanted)."""
    blurred = blurred.detach()
    height, width, _ = blurred.shape
    size = 3 * height * width
    grid = triton.cdiv(width, TILE["COLUMNS"]), triton.cdiv(height, TILE["ROWS"]), 3
    each = 1.0 / (3.0 * target.total)
    shares = (1.0 - lambda_dssim) * each, lambda_dssim * each
    encoded = torch.empty(3, height, width, device=blurred.device)
    rows, derivatives = (torch.empty(3, *encoded.shape, device=blurred.device) for _ in range(2))
    blocks = grid[0] * grid[1] * grid[2]
    sums = torch.empty(blocks, device=blurred.device)
    loss = torch.empty((), device=blurred.device)
    gradient = torch.empty_like(blurred) if with_gradient else None
    _encode[grid](blurred, encoded, height, width, **TILE)
    _windows[grid](encoded, target.photo, rows, height, width, size, **TILE)
    known = target.mean, target.variance, target.weight
    _similarity[grid](
        rows, encoded, target.photo, *known, derivatives, sums, height, width, size, *shares, GRADIENT=with_gradient,
        **TILE,
    )  # fmt: skip
    if gradient is not None:
        _back_along[grid](derivatives, rows, height, width, size, **TILE)
        _back_down[grid](
            rows, blurred, encoded, target.photo, target.weight, gradient, height, width, size, *shares, **TILE
        )
    _sum[(1,)](sums, loss, blocks, ROUNDS=triton.cdiv(blocks, 1024), BLOCK=1024, num_warps=8)
    return loss, gradient
