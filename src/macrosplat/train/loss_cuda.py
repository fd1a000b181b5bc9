"""The photometric loss and its gradient on a GPU.

Three launches and one more for the gradient, whatever the size: the sRGB curve into planes [3, H, W]; SSIM under its
windows and its derivatives; the sum of the loss, block by block in fixed order; and the windows of the derivatives with
the gradient. A program of the windows owns a strip of columns and walks down it: it weighs each row along itself and
keeps the last eleven of these for the window down the columns. Of photos in a stack the device alone knows which.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl

from macrosplat.train.loss_reference import C1, C2, CURVE_END, GREY, REACH, window_taps

STRIP = {"COLUMNS": 128, "num_warps": 4}  # px of a row that a program of the windows owns
ROWS = 14  # that it walks down, after ten for the windows' run-in: loss and gradient of 800 x 600 take 0.10 ms (H100)
RUN = {"BLOCK": 256, "num_warps": 4}  # px of a program that works one by one

_REACH = tl.constexpr(REACH)
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
def _mirror(i, n, FAR: tl.constexpr):
    """The pixel that stands for pixel i outside 0 ... n - 1; FAR: a window is wider than the frame."""
    # 10 n keep i positive, as it is never below -5.
    i = (i + 10 * n) % (2 * n) if FAR else tl.where(i < 0, -1 - i, i)
    return tl.where(i < n, i, 2 * n - 1 - i)


@triton.jit(do_not_specialize=["pixels"])
def _encode(blurred, encoded, pixels, BLOCK: tl.constexpr):
    """The sRGB curve, [H, W, 3] to [3, H, W]."""
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = p < pixels
    plane = tl.cast(pixels, tl.int64)
    for c in tl.static_range(3):
        linear = tl.load(blurred + p * 3 + c, mask=inside, other=0.0)
        between = tl.minimum(tl.maximum(linear, _KNEE), _END)
        power = 1.055 * tl.exp2(tl.log2(between) * _POWER) - 0.055 + _TANGENT * tl.maximum(linear - _END, 0.0)
        tl.store(encoded + c * plane + p, tl.where(linear > _KNEE, power, 12.92 * linear), mask=inside)


@triton.jit
def _strip(height, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of this program: its plane's offset, its columns, its first row and the one after the last."""
    plane = tl.program_id(2).to(tl.int64) * height * width
    x = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    start = tl.program_id(1) * ROWS
    return plane, x, start, tl.minimum(height, start + ROWS)


@triton.jit
def _none(COLUMNS: tl.constexpr):
    """Nothing yet. Names that a loop hands a value along must not begin with the same one: Triton (3.6) takes those
    that its first look finds unchanged for constants."""
    return tl.zeros([COLUMNS], tl.float32)


@triton.jit
def _products(line, photo_line, at):
    """x, and xx and xy about grey, at some pixels."""
    v = tl.load(line + at)
    w = v - _GREY
    return v, w * w, w * (tl.load(photo_line + at).to(tl.float32) * _BYTE - _GREY)


@triton.jit
def _triple(line, size, at):
    return tl.load(line + at), tl.load(line + size + at), tl.load(line + 2 * size + at)


@triton.jit
def _window(n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10):
    """The window over eleven rows."""
    total = _T0 * n5 + _T1 * (n4 + n6) + _T2 * (n3 + n7)
    return total + _T3 * (n2 + n8) + _T4 * (n1 + n9) + _T5 * (n0 + n10)


@triton.jit(do_not_specialize=["height", "width", "size"])
def _similarity(
    encoded, photo, mean, variance, weight, place, derivatives, sums, height, width, size, l1_share, ssim_share,
    PLACED: tl.constexpr, GRADIENT: tl.constexpr, FAR: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The loss of each program, and the derivatives of SSIM by the window means of x, xx and xy; `size` is 3 H W.

    PLACED: photo, mean, variance and weight are stacks, `place` tells which of them.
    """
    plane, x, start, stop = _strip(height, width, ROWS, COLUMNS)
    there = x < width
    column = tl.minimum(x, width - 1)
    if PLACED:
        before = tl.load(place).to(tl.int64) * height * width
        photo += 3 * before
        mean += 3 * before
        variance += 3 * before
        weight += before
    a0, a1, a2, a3, a4 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    a5, a6, a7, a8, a9 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    b0, b1, b2, b3, b4 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    b5, b6, b7, b8, b9 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    c0, c1, c2, c3, c4 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    c5, c6, c7, c8, c9 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    terms = _none(COLUMNS)
    for k in range(ROWS + 2 * _REACH):
        y = start - 2 * _REACH + k
        row = _mirror(tl.minimum(y + _REACH, height - 1 + _REACH), height, FAR) * width
        line, photo_line = encoded + plane + row, photo + plane + row
        a, b, c = _products(line, photo_line, column)
        a, b, c = _T0 * a, _T0 * b, _T0 * c
        for j in tl.static_range(1, 6):
            al, bl, cl = _products(line, photo_line, _mirror(column - j, width, FAR))
            ar, br, cr = _products(line, photo_line, _mirror(column + j, width, FAR))
            a += _tap(j) * (al + ar)
            b += _tap(j) * (bl + br)
            c += _tap(j) * (cl + cr)
        if (y >= start) & (y < stop):
            at = plane + y * width + column
            mx = _window(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a)
            square = _window(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b)
            product = _window(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c)
            my = tl.load(mean + at)
            w = tl.load(weight + y * width + column)
            light = 2.0 * mx * my + _C1
            gx, gy = mx - _GREY, my - _GREY
            structure = 2.0 * (product - gx * gy) + _C2
            lights = mx * mx + my * my + _C1
            structures = square - gx * gx + tl.load(variance + at) + _C2
            inverse = tl.div_rn(1.0, lights * structures)
            s = w * light * structure * inverse
            away = tl.load(encoded + at) - tl.load(photo + at).to(tl.float32) * _BYTE
            terms += l1_share * w * tl.abs(away) + ssim_share * (w - s)
            if GRADIENT:
                by_structures = s * inverse * lights
                by_mean = 2.0 * (
                    w * inverse * (my * structure - gy * light) + gx * by_structures - mx * s * inverse * structures
                )
                tl.store(derivatives + at, by_mean, mask=there)
                tl.store(derivatives + size + at, -by_structures, mask=there)
                tl.store(derivatives + 2 * size + at, 2.0 * w * light * inverse, mask=there)
        a0, a1, a2, a3, a4, a5, a6, a7, a8, a9 = a1, a2, a3, a4, a5, a6, a7, a8, a9, a
        b0, b1, b2, b3, b4, b5, b6, b7, b8, b9 = b1, b2, b3, b4, b5, b6, b7, b8, b9, b
        c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = c1, c2, c3, c4, c5, c6, c7, c8, c9, c
    block = (tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
    tl.store(sums + block, tl.sum(tl.where(there, terms, 0.0), 0))


@triton.jit(do_not_specialize=["height", "width", "size"])
def _back(
    derivatives, blurred, encoded, photo, weight, place, incoming, gradient, height, width, size, l1_share, ssim_share,
    PLACED: tl.constexpr, FAR: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Windows of the derivatives, and the gradient [H, W, 3] times the `incoming` one of the loss."""
    plane, x, start, stop = _strip(height, width, ROWS, COLUMNS)
    there = x < width
    column = tl.minimum(x, width - 1)
    if PLACED:
        before = tl.load(place).to(tl.int64) * height * width
        photo += 3 * before
        weight += before
    l1_share *= tl.load(incoming)
    ssim_share *= tl.load(incoming)
    a0, a1, a2, a3, a4 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    a5, a6, a7, a8, a9 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    b0, b1, b2, b3, b4 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    b5, b6, b7, b8, b9 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    c0, c1, c2, c3, c4 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    c5, c6, c7, c8, c9 = _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS), _none(COLUMNS)
    for k in range(ROWS + 2 * _REACH):
        y = start - 2 * _REACH + k
        row = _mirror(tl.minimum(y + _REACH, height - 1 + _REACH), height, FAR) * width
        line = derivatives + plane + row
        a, b, c = _triple(line, size, column)
        a, b, c = _T0 * a, _T0 * b, _T0 * c
        for j in tl.static_range(1, 6):
            al, bl, cl = _triple(line, size, _mirror(column - j, width, FAR))
            ar, br, cr = _triple(line, size, _mirror(column + j, width, FAR))
            a += _tap(j) * (al + ar)
            b += _tap(j) * (bl + br)
            c += _tap(j) * (cl + cr)
        if (y >= start) & (y < stop):
            by_mean = _window(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a)
            by_square = _window(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b)
            by_product = _window(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c)
            pixel = y * width + column
            e = tl.load(encoded + plane + pixel)
            value = tl.load(photo + plane + pixel).to(tl.float32) * _BYTE
            away = e - value
            sign = tl.where(away > 0.0, 1.0, tl.where(away < 0.0, -1.0, away))
            g = l1_share * tl.load(weight + pixel) * sign
            g -= ssim_share * (by_mean + 2.0 * (e - _GREY) * by_square + (value - _GREY) * by_product)
            linear = tl.load(blurred + pixel * 3 + tl.program_id(2))
            slope = tl.div_rn(_POWER * (e + 0.055), tl.maximum(linear, _KNEE))
            slope = tl.where(linear < _END, slope, _TANGENT)
            slope = tl.where(linear > _KNEE, slope, 12.92)
            tl.store(gradient + pixel * 3 + tl.program_id(2), g * slope, mask=there)
        a0, a1, a2, a3, a4, a5, a6, a7, a8, a9 = a1, a2, a3, a4, a5, a6, a7, a8, a9, a
        b0, b1, b2, b3, b4, b5, b6, b7, b8, b9 = b1, b2, b3, b4, b5, b6, b7, b8, b9, b
        c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = c1, c2, c3, c4, c5, c6, c7, c8, c9, c


@triton.jit(do_not_specialize=["count"])
def _sum(sums, loss, count, BLOCK: tl.constexpr):
    """One program, so that the order is fixed; in float64."""
    i = tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float64)
    begin = 0
    while begin < count:
        total += tl.load(sums + begin + i, mask=begin + i < count, other=0.0).to(tl.float64)
        begin += BLOCK
    tl.store(loss, tl.sum(total, 0).to(tl.float32))


def _windows(height: int, width: int) -> tuple[tuple[int, int, int], tuple[int, int, int], bool]:
    """The grid of a launch with windows, its numbers, and whether a window is wider than the frame."""
    grid = triton.cdiv(width, STRIP["COLUMNS"]), triton.cdiv(height, ROWS), 3
    return grid, (height, width, 3 * height * width), min(height, width) < REACH


def forward(blurred: torch.Tensor, target, lambda_dssim: float, with_gradient: bool):
    """Loss [], and what `backward` needs."""
    blurred = blurred.detach()
    height, width, _ = blurred.shape
    grid, numbers, far = _windows(height, width)
    each = 1.0 / (3.0 * target.total)
    shares = (1.0 - lambda_dssim) * each, lambda_dssim * each
    encoded = blurred.new_empty(3, height, width)
    derivatives = blurred.new_empty(3, *encoded.shape) if with_gradient else encoded
    count = grid[0] * grid[1] * grid[2]
    sums, loss = blurred.new_empty(count), blurred.new_empty(())
    placed = target.place is not None
    place = target.place if placed else target.photo
    _encode[(triton.cdiv(height * width, RUN["BLOCK"]),)](blurred, encoded, height * width, **RUN)
    _similarity[grid](
        encoded, target.photo, target.mean, target.variance, target.weight, place, derivatives, sums, *numbers, *shares,
        PLACED=placed, GRADIENT=with_gradient, FAR=far, ROWS=ROWS, **STRIP,
    )  # fmt: skip
    _sum[(1,)](sums, loss, count, BLOCK=1024, num_warps=8)
    return loss, (derivatives, blurred, encoded, target.photo, target.weight, place, placed, shares)


def backward(incoming: torch.Tensor, saved) -> torch.Tensor:
    """The gradient of `blurred` [H, W, 3], by that of the loss []."""
    derivatives, blurred, encoded, photo, weight, place, placed, shares = saved
    grid, numbers, far = _windows(*blurred.shape[:2])
    gradient = torch.empty_like(blurred)
    _back[grid](
        derivatives, blurred, encoded, photo, weight, place, incoming, gradient, *numbers, *shares, PLACED=placed,
        FAR=far, ROWS=ROWS, **STRIP,
    )  # fmt: skip
    return gradient
