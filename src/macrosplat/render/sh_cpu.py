"""Real spherical harmonics up to degree 3, and their slopes, for kernels on a CPU."""

from __future__ import annotations

import numpy as np

from macrosplat.scene import harmonics
from macrosplat.scene.gaussians import SH_C0
from macrosplat.support.numba import njit

F = np.float32
Y0, C1 = F(SH_C0), F(harmonics.C1)
C20, C21, C22 = (F(c) for c in harmonics.C2)
C30, C31, C32, C33, C34 = (F(c) for c in harmonics.C3)
ONE, TWO, ZERO = F(1), F(2), F(0)


@njit(inner=True)
def sh_basis(x, y, z, degree, ys):
    ys[0] = Y0
    if degree > 0:
        ys[1], ys[2], ys[3] = -C1 * y, C1 * z, -C1 * x
    if degree > 1:
        ys[4], ys[5], ys[6] = C20 * x * y, -C20 * y * z, C21 * (F(3) * z * z - ONE)
        ys[7], ys[8] = -C20 * x * z, C22 * (x * x - y * y)
    if degree > 2:
        xx, yy, zz = x * x, y * y, z * z
        ys[9], ys[10], ys[11] = -C30 * y * (F(3) * xx - yy), C31 * x * y * z, -C32 * y * (F(5) * zz - ONE)
        ys[12], ys[13] = C33 * z * (F(5) * zz - F(3)), -C32 * x * (F(5) * zz - ONE)
        ys[14], ys[15] = C34 * z * (xx - yy), -C30 * x * (xx - F(3) * yy)


@njit(inner=True)
def sh_slope(x, y, z, degree, k):
    """The gradient of Y_k as a polynomial in (x, y, z)."""
    if k == 1:
        return ZERO, -C1, ZERO
    if k == 2:
        return ZERO, ZERO, C1
    if k == 3:
        return -C1, ZERO, ZERO
    if k == 4:
        return C20 * y, C20 * x, ZERO
    if k == 5:
        return ZERO, -C20 * z, -C20 * y
    if k == 6:
        return ZERO, ZERO, F(6) * C21 * z
    if k == 7:
        return -C20 * z, ZERO, -C20 * x
    if k == 8:
        return TWO * C22 * x, -TWO * C22 * y, ZERO
    xx, yy, zz = x * x, y * y, z * z
    if k == 9:
        return -F(6) * C30 * x * y, -F(3) * C30 * (xx - yy), ZERO
    if k == 10:
        return C31 * y * z, C31 * x * z, C31 * x * y
    if k == 11:
        return ZERO, -C32 * (F(5) * zz - ONE), -F(10) * C32 * y * z
    if k == 12:
        return ZERO, ZERO, C33 * (F(15) * zz - F(3))
    if k == 13:
        return -C32 * (F(5) * zz - ONE), ZERO, -F(10) * C32 * x * z
    if k == 14:
        return TWO * C34 * x * z, -TWO * C34 * y * z, C34 * (xx - yy)
    return -F(3) * C30 * (xx - yy), F(6) * C30 * x * y, ZERO
