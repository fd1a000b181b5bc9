"""The photometric loss and its gradient on a GPU.

Two launches, and one more for the gradient, whatever the size: both pictures about grey, in planes whose rows go on
beyond the frame by its mirror image; SSIM under its windows, its derivatives, and the sum of the loss, by the last
program to end, in fixed order; and the windows of the derivatives with the gradient. A program of the windows owns a
strip of columns and walks down it. A thread has two neighbours of a row: it reads the pairs around them once, and what
lies an odd number of pixels away is made of two pairs. The windows down the columns are sums begun ten rows before they
are complete. Of photos in a bank the device alone knows which.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl

from macrosplat.lens.blur_cuda import mirror
from macrosplat.support.colour import LINEAR_JOIN, OFFSET, SLOPE
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

STRIP = {"COLUMNS": 128, "num_warps": 2}  # px of a row that a program of the windows owns: two a thread
# That it walks down, after ten for the windows' run-in (experiments: loss-rows).
ROWS = 12
RUN = {"BLOCK": 128, "num_warps": 1}  # px of a program that works one by one
# px beyond the frame: derivatives are read up to 7 beyond, and wanted there they read the pictures up to 7 further.
EDGE, MARGIN = 6, 12

_REACH = tl.constexpr(REACH)
_EDGE, _MARGIN = tl.constexpr(EDGE), tl.constexpr(MARGIN)
_T0, _T1, _T2, _T3, _T4, _T5 = (tl.constexpr(t) for t in window_taps())
_C1, _C2, _GREY = tl.constexpr(C1), tl.constexpr(C2), tl.constexpr(GREY)
_KNEE, _BELOW = tl.constexpr(LINEAR_JOIN), tl.constexpr(SLOPE)
_END, _TANGENT = tl.constexpr(CURVE_END), tl.constexpr(TANGENT)
_SCALE, _OFFSET, _POWER = tl.constexpr(SCALE), tl.constexpr(OFFSET + GREY), tl.constexpr(POWER)
_BYTE = tl.constexpr(1.0 / 255.0)
# Less grey, between two bytes.
_BURNT, _BEYOND, _WITHIN = tl.constexpr((BURNT - 0.5) / 255.0 - GREY), tl.constexpr(BEYOND), tl.constexpr(1.0 / BEYOND)


@triton.jit
def _mirrored(i, n, FAR: tl.constexpr):
    """The pixel that stands for pixel i outside 0 ... n - 1; FAR: the frame is narrower than its planes' margins."""
    return mirror(i, n, _MARGIN * n, FAR)  # 12 n keep i positive, as it is never below -12


@triton.jit
def _encoded(linear):
    """The sRGB curve, less grey."""
    between = tl.minimum(tl.maximum(linear, _KNEE), _END)
    power = _SCALE * tl.exp2(tl.log2(between) * _POWER) - _OFFSET + _TANGENT * tl.maximum(linear - _END, 0.0)
    return tl.where(linear > _KNEE, power, _BELOW * linear - _GREY)


@triton.jit
def _pitch(width):
    """Floats of a row of the planes."""
    return (width + (2 * _MARGIN + 8)) // 8 * 8


@triton.jit(do_not_specialize=["height", "width"])
def _encode(
    blurred, photo, slot, shown, meant, ended, height, width,
    BANKED: tl.constexpr, FAR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """`blurred` [H, W, 3] behind the sRGB curve and the photo [3, H, W], both less grey, in planes with margins."""
    pitch = _pitch(width)
    plane = height.to(tl.int64) * pitch
    frame = height.to(tl.int64) * width
    if BANKED:
        photo += 3 * tl.load(slot).to(tl.int64) * frame
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < pitch
    pixel = tl.program_id(1) * width + _mirrored(tl.minimum(i - _MARGIN, width + _MARGIN), width, FAR)
    i += tl.program_id(1) * pitch
    for c in tl.static_range(3):
        value = tl.load(photo + c * frame + pixel).to(tl.float32) * _BYTE - _GREY
        encoded = _encoded(tl.load(blurred + pixel * 3 + c))
        beyond = (value > _BURNT) & (encoded > value)
        encoded = tl.where(beyond, value + _BEYOND * (encoded - value), encoded)
        tl.store(shown + c * plane + i, encoded, mask=inside)
        tl.store(meant + c * plane + i, value, mask=inside)
    tl.store(ended, 0)


@triton.jit
def _none(PAIRS: tl.constexpr):
    """Nothing yet. Names that a loop hands a value along must not begin with the same one: Triton (3.6) takes those
    that its first look finds unchanged for constants."""
    return tl.zeros([PAIRS, 2], tl.float32)


@triton.jit
def _pairs(at):
    """The pairs from 6 px before to 6 px behind."""
    return (
        tl.load(at - 6), tl.load(at - 4), tl.load(at - 2), tl.load(at), tl.load(at + 2), tl.load(at + 4),
        tl.load(at + 6),
    )  # fmt: skip


@triton.jit
def _along(p0, p1, p2, p3, p4, p5, p6):
    """The window along a row, of such pairs."""
    _, r0 = tl.split(p0)
    l1, r1 = tl.split(p1)
    l2, r2 = tl.split(p2)
    l3, r3 = tl.split(p3)
    l4, r4 = tl.split(p4)
    l5, r5 = tl.split(p5)
    l6, _ = tl.split(p6)
    total = _T0 * p3 + _T1 * (tl.join(r2, l3) + tl.join(r3, l4)) + _T2 * (p2 + p4)
    total += _T3 * (tl.join(r1, l2) + tl.join(r4, l5)) + _T4 * (p1 + p5)
    return total + _T5 * (tl.join(r0, l1) + tl.join(r5, l6))


@triton.jit
def _down(n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, v):
    """The window down the columns that the row v completes, and the ten that it does not."""
    return (
        n0 + _T5 * v, n1 + _T4 * v, n2 + _T3 * v, n3 + _T2 * v, n4 + _T1 * v, n5 + _T0 * v, n6 + _T1 * v, n7 + _T2 * v,
        n8 + _T3 * v, n9 + _T4 * v, _T5 * v,
    )  # fmt: skip


@triton.jit(do_not_specialize=["height", "width"])
def _similarity(
    shown, meant, mean, variance, weight, slot, derivatives, sums, ended, loss, height, width, l1_share, ssim_share,
    BANKED: tl.constexpr, GRADIENT: tl.constexpr, FAR: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    TOTAL: tl.constexpr,
):  # fmt: skip
    """The loss, and the derivatives of SSIM by the window means of x, xx and xy, also beyond the frame's sides.

    BANKED: mean, variance and weight are stacks, `slot` tells which of them.
    """
    PAIRS: tl.constexpr = COLUMNS // 2
    pitch = _pitch(width)
    plane = tl.program_id(2).to(tl.int64) * height
    size = 3 * height.to(tl.int64) * pitch
    if BANKED:
        before = tl.load(slot).to(tl.int64) * height * width
        mean += 3 * before
        variance += 3 * before
        weight += before
    mean += plane * width
    variance += plane * width
    shown += plane * pitch + (_MARGIN - _EDGE)
    meant += plane * pitch + (_MARGIN - _EDGE)
    derivatives += plane * pitch + (_MARGIN - _EDGE)
    # From six columns before the frame; threads beyond its other end do once more what the last has to.
    first = (tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)) * 2
    at = (tl.minimum(first, (width + (2 * _EDGE - 1)) // 2 * 2))[:, None] + tl.arange(0, 2)[None, :]
    x = first[:, None] + tl.arange(0, 2)[None, :] - _EDGE
    there = (x >= 0) & (x < width)
    column = _mirrored(at - _EDGE, width, FAR)
    start = tl.program_id(1) * ROWS
    stop = tl.minimum(height, start + ROWS)
    a0, a1, a2, a3, a4 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    a5, a6, a7, a8, a9 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    b0, b1, b2, b3, b4 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    b5, b6, b7, b8, b9 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    c0, c1, c2, c3, c4 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    c5, c6, c7, c8, c9 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    terms = _none(PAIRS)
    y = start - 2 * _REACH
    for whole in tl.static_range(2):  # the run-in, then the rows whose windows are whole
        while y < (stop if whole else start):
            row = _mirrored(y + _REACH, height, FAR) * pitch
            p0, p1, p2, p3, p4, p5, p6 = _pairs(shown + row + at)
            q0, q1, q2, q3, q4, q5, q6 = _pairs(meant + row + at)
            a = _along(p0, p1, p2, p3, p4, p5, p6)
            b = _along(p0 * p0, p1 * p1, p2 * p2, p3 * p3, p4 * p4, p5 * p5, p6 * p6)
            c = _along(p0 * q0, p1 * q1, p2 * q2, p3 * q3, p4 * q4, p5 * q5, p6 * q6)
            a, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9 = _down(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a)
            b, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9 = _down(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b)
            c, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = _down(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c)
            if whole:
                my = tl.load(mean + y * width + column)
                w = tl.load(weight + y * width + column)
                mx, gy = a + _GREY, my - _GREY
                light = 2.0 * mx * my + _C1
                structure = 2.0 * (c - a * gy) + _C2
                lights = mx * mx + my * my + _C1
                structures = b - a * a + tl.load(variance + y * width + column) + _C2
                inverse = tl.div_rn(1.0, lights * structures)
                s = w * light * structure * inverse
                away = tl.load(shown + y * pitch + at) - tl.load(meant + y * pitch + at)
                terms += l1_share * w * tl.abs(away) + ssim_share * (w - s)
                if GRADIENT:
                    grad_structures = s * inverse * lights
                    grad_mean = 2.0 * (
                        w * inverse * (my * structure - gy * light)
                        + a * grad_structures
                        - mx * s * inverse * structures
                    )
                    to = derivatives + y * pitch + at
                    tl.store(to, grad_mean)
                    tl.store(to + size, -grad_structures)
                    tl.store(to + 2 * size, 2.0 * w * light * inverse)
            y += 1
    programs = tl.num_programs(0) * tl.num_programs(1) * tl.num_programs(2)
    program = (tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
    tl.store(sums + program, tl.sum(tl.where(there, terms, 0.0)))
    # Releases this sum and, for the last one, acquires all others.
    if tl.atomic_add(ended, 1, sem="acq_rel") == programs - 1:
        i = tl.arange(0, TOTAL)
        total = tl.zeros([TOTAL], tl.float64)
        begin = 0
        while begin < programs:
            total += tl.load(sums + begin + i, mask=begin + i < programs, other=0.0).to(tl.float64)
            begin += TOTAL
        tl.store(loss, tl.sum(total, 0).to(tl.float32))


@triton.jit(do_not_specialize=["height", "width"])
def _back(
    derivatives, blurred, shown, meant, weight, slot, incoming, gradient, height, width, l1_share, ssim_share,
    BANKED: tl.constexpr, FAR: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Windows of the derivatives, and the gradient [H, W, 3] times the `incoming` one of the loss."""
    PAIRS: tl.constexpr = COLUMNS // 2
    pitch = _pitch(width)
    plane = tl.program_id(2).to(tl.int64) * height * pitch + _MARGIN
    size = 3 * height.to(tl.int64) * pitch
    if BANKED:
        weight += tl.load(slot).to(tl.int64) * height * width
    shown += plane
    meant += plane
    l1_share *= tl.load(incoming)
    ssim_share *= tl.load(incoming)
    first = (tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)) * 2
    at = (tl.minimum(first, (width - 1) // 2 * 2))[:, None] + tl.arange(0, 2)[None, :]
    there = at < width
    start = tl.program_id(1) * ROWS
    stop = tl.minimum(height, start + ROWS)
    a0, a1, a2, a3, a4 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    a5, a6, a7, a8, a9 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    b0, b1, b2, b3, b4 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    b5, b6, b7, b8, b9 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    c0, c1, c2, c3, c4 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    c5, c6, c7, c8, c9 = _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS), _none(PAIRS)
    y = start - 2 * _REACH
    for whole in tl.static_range(2):  # the run-in, then the rows whose windows are whole
        while y < (stop if whole else start):
            line = derivatives + plane + _mirrored(y + _REACH, height, FAR) * pitch + at
            p0, p1, p2, p3, p4, p5, p6 = _pairs(line)
            q0, q1, q2, q3, q4, q5, q6 = _pairs(line + size)
            r0, r1, r2, r3, r4, r5, r6 = _pairs(line + 2 * size)
            a = _along(p0, p1, p2, p3, p4, p5, p6)
            b = _along(q0, q1, q2, q3, q4, q5, q6)
            c = _along(r0, r1, r2, r3, r4, r5, r6)
            a, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9 = _down(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a)
            b, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9 = _down(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b)
            c, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = _down(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c)
            if whole:
                e, value = tl.load(shown + y * pitch + at), tl.load(meant + y * pitch + at)
                away = e - value
                sign = tl.where(away > 0.0, 1.0, tl.where(away < 0.0, -1.0, away))
                pixel = y * width + at
                g = l1_share * tl.load(weight + pixel, mask=there) * sign - ssim_share * (a + 2.0 * e * b + value * c)
                linear = tl.load(blurred + pixel * 3 + tl.program_id(2), mask=there)
                # The curve's derivative; in a function of its own it takes longer (experiments: raster-buckets).
                beyond = (value > _BURNT) & (away > 0.0)
                encoded = tl.where(beyond, value + _WITHIN * away, e)
                slope = tl.div_rn(_POWER * (encoded + _OFFSET), tl.maximum(linear, _KNEE))
                slope = tl.where(linear < _END, slope, _TANGENT)
                slope = tl.where(linear > _KNEE, slope, _BELOW)
                slope = tl.where(beyond, _BEYOND * slope, slope)
                tl.store(gradient + pixel * 3 + tl.program_id(2), g * slope, mask=there)
            y += 1


def _grid(height: int, columns: int) -> tuple[int, int, int]:
    return triton.cdiv(columns, STRIP["COLUMNS"]), triton.cdiv(height, ROWS), 3


def _far(height: int, width: int) -> bool:
    return min(height, width) < 2 * MARGIN


def forward(blurred: torch.Tensor, target, lambda_dssim: float, with_gradient: bool):
    """Loss [], and what `backward` needs."""
    blurred = blurred.detach()
    height, width, _ = blurred.shape
    pitch = (width + 2 * MARGIN + 8) // 8 * 8
    grid, far = _grid(height, width + 2 * EDGE), _far(height, width)
    each = 1.0 / (3.0 * target.total)
    shares = (1.0 - lambda_dssim) * each, lambda_dssim * each
    shown, meant = blurred.new_empty(2, 3, height, pitch)
    derivatives = blurred.new_empty(3, *shown.shape) if with_gradient else shown
    sums, loss = blurred.new_empty(grid[0] * grid[1] * grid[2]), blurred.new_empty(())
    ended = blurred.new_empty(1, dtype=torch.int32)
    banked = target.slot is not None
    slot = target.slot if banked else target.photo
    _encode[(triton.cdiv(pitch, RUN["BLOCK"]), height)](
        blurred, target.photo, slot, shown, meant, ended, height, width, BANKED=banked, FAR=far, **RUN
    )
    _similarity[grid](
        shown, meant, target.mean, target.variance, target.weight, slot, derivatives, sums, ended, loss, height, width,
        *shares, BANKED=banked, GRADIENT=with_gradient, FAR=far, ROWS=ROWS, TOTAL=512, **STRIP,
    )  # fmt: skip
    return loss, (derivatives, blurred, shown, meant, target.weight, slot, banked, shares)


def backward(incoming: torch.Tensor, saved) -> torch.Tensor:
    """The gradient of `blurred` [H, W, 3], by that of the loss []."""
    derivatives, blurred, shown, meant, weight, slot, banked, shares = saved
    height, width, _ = blurred.shape
    gradient = torch.empty_like(blurred)
    _back[_grid(height, width)](
        derivatives, blurred, shown, meant, weight, slot, incoming, gradient, height, width, *shares, BANKED=banked,
        FAR=_far(height, width), ROWS=ROWS, **STRIP,
    )  # fmt: skip
    return gradient
