"""Spherical harmonics inside a GPU kernel: values and gradients, as in `sh`."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import triton
import triton.language as tl

from macrosplat.render import sh
from macrosplat.scene.gaussians import SH_C0

Y0, C1 = tl.constexpr(SH_C0), tl.constexpr(sh.C1)
C20, C21, C22 = tl.constexpr(sh.C2[0]), tl.constexpr(sh.C2[1]), tl.constexpr(sh.C2[2])
C30, C31, C32 = tl.constexpr(sh.C3[0]), tl.constexpr(sh.C3[1]), tl.constexpr(sh.C3[2])
C33, C34 = tl.constexpr(sh.C3[3]), tl.constexpr(sh.C3[4])


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
