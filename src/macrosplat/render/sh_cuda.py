"""Spherical harmonics inside a GPU kernel: values, colours and gradients, as in `sh`."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import triton
import triton.language as tl

from macrosplat.render.tables_cuda import load_columns, piece
from macrosplat.scene import harmonics
from macrosplat.scene.gaussians import SH_C0

Y0, C1 = tl.constexpr(SH_C0), tl.constexpr(harmonics.C1)
C20, C21, C22 = tl.constexpr(harmonics.C2[0]), tl.constexpr(harmonics.C2[1]), tl.constexpr(harmonics.C2[2])
C30, C31, C32 = tl.constexpr(harmonics.C3[0]), tl.constexpr(harmonics.C3[1]), tl.constexpr(harmonics.C3[2])
C33, C34 = tl.constexpr(harmonics.C3[3]), tl.constexpr(harmonics.C3[4])


@triton.jit
def sh_value(x, y, z, k: tl.constexpr):
    """Y_k as a polynomial in (x, y, z), k > 0."""
    if k == 1:
        return -C1 * y
    elif k == 2:
        return C1 * z
    elif k == 3:
        return -C1 * x
    elif k == 4:
        return C20 * x * y
    elif k == 5:
        return -C20 * y * z
    elif k == 6:
        return C21 * (3 * z * z - 1)
    elif k == 7:
        return -C20 * x * z
    elif k == 8:
        return C22 * (x * x - y * y)
    elif k == 9:
        return -C30 * y * (3 * x * x - y * y)
    elif k == 10:
        return C31 * x * y * z
    elif k == 11:
        return -C32 * y * (5 * z * z - 1)
    elif k == 12:
        return C33 * z * (5 * z * z - 3)
    elif k == 13:
        return -C32 * x * (5 * z * z - 1)
    elif k == 14:
        return C34 * z * (x * x - y * y)
    else:
        return -C30 * x * (x * x - 3 * y * y)


@triton.jit
def sh_slope(x, y, z, k: tl.constexpr):
    """The gradient of Y_k as a polynomial in (x, y, z), k > 0."""
    zero = tl.zeros_like(x)
    if k == 1:
        return zero, zero - C1, zero
    elif k == 2:
        return zero, zero, zero + C1
    elif k == 3:
        return zero - C1, zero, zero
    elif k == 4:
        return C20 * y, C20 * x, zero
    elif k == 5:
        return zero, -C20 * z, -C20 * y
    elif k == 6:
        return zero, zero, 6 * C21 * z
    elif k == 7:
        return -C20 * z, zero, -C20 * x
    elif k == 8:
        return 2 * C22 * x, -2 * C22 * y, zero
    elif k == 9:
        return -6 * C30 * x * y, -3 * C30 * (x * x - y * y), zero
    elif k == 10:
        return C31 * y * z, C31 * x * z, C31 * x * y
    elif k == 11:
        return zero, -C32 * (5 * z * z - 1), -10 * C32 * y * z
    elif k == 12:
        return zero, zero, C33 * (15 * z * z - 3)
    elif k == 13:
        return -C32 * (5 * z * z - 1), zero, -10 * C32 * x * z
    elif k == 14:
        return 2 * C34 * x * z, -2 * C34 * y * z, C34 * (x * x - y * y)
    else:
        return -3 * C30 * (x * x - y * y), 6 * C30 * x * y, zero


@triton.jit
def sh_load(sh_rest, i, on, REST: tl.constexpr, USED: tl.constexpr, BLOCK: tl.constexpr):
    """The coefficients above degree 0, three for each, as three tuples of sixteen; void where there are none."""
    a = load_columns(sh_rest, i, on, 0, 3 * REST, 3 * USED - 3, BLOCK)
    b, c = a, a
    if 3 * USED - 3 > 16:
        b = load_columns(sh_rest, i, on, 16, 3 * REST, 3 * USED - 3, BLOCK)
    if 3 * USED - 3 > 32:
        c = load_columns(sh_rest, i, on, 32, 3 * REST, 3 * USED - 3, BLOCK)
    return a, b, c


@triton.jit
def sh_coefficient(a, b, c, k: tl.constexpr, channel: tl.constexpr):
    """Of Y_k, k > 0, from what `sh_load` returns."""
    if 3 * (k - 1) + channel < 16:
        return a[3 * (k - 1) + channel]
    elif 3 * (k - 1) + channel < 32:
        return b[3 * (k - 1) + channel - 16]
    else:
        return c[3 * (k - 1) + channel - 32]


@triton.jit
def sh_colour(first, a, b, c, channel: tl.constexpr, x, y, z, USED: tl.constexpr):
    """Before it is clamped above zero."""
    colour = 0.5 + Y0 * first
    for k in tl.static_range(1, USED):
        colour += sh_value(x, y, z, k) * sh_coefficient(a, b, c, k, channel)
    return colour


@triton.jit
def _by(j: tl.constexpr, x, y, z, red, green, blue, USED: tl.constexpr):
    """The gradient of coefficient number j of those above degree 0, from the colour's."""
    if j // 3 + 1 < USED:
        if j % 3 == 0:
            return red * sh_value(x, y, z, j // 3 + 1)
        elif j % 3 == 1:
            return green * sh_value(x, y, z, j // 3 + 1)
        else:
            return blue * sh_value(x, y, z, j // 3 + 1)
    else:
        return tl.zeros_like(red)


@triton.jit
def sh_by_colour(FIRST: tl.constexpr, x, y, z, r, g, b, USED: tl.constexpr, BLOCK: tl.constexpr):
    """[BLOCK, 16] the gradients of sixteen coefficients above degree 0, from number FIRST on, by the colour."""
    return piece(
        _by(FIRST, x, y, z, r, g, b, USED), _by(FIRST + 1, x, y, z, r, g, b, USED),
        _by(FIRST + 2, x, y, z, r, g, b, USED), _by(FIRST + 3, x, y, z, r, g, b, USED),
        _by(FIRST + 4, x, y, z, r, g, b, USED), _by(FIRST + 5, x, y, z, r, g, b, USED),
        _by(FIRST + 6, x, y, z, r, g, b, USED), _by(FIRST + 7, x, y, z, r, g, b, USED),
        _by(FIRST + 8, x, y, z, r, g, b, USED), _by(FIRST + 9, x, y, z, r, g, b, USED),
        _by(FIRST + 10, x, y, z, r, g, b, USED), _by(FIRST + 11, x, y, z, r, g, b, USED),
        _by(FIRST + 12, x, y, z, r, g, b, USED), _by(FIRST + 13, x, y, z, r, g, b, USED),
        _by(FIRST + 14, x, y, z, r, g, b, USED), _by(FIRST + 15, x, y, z, r, g, b, USED),
        BLOCK,
    )  # fmt: skip
