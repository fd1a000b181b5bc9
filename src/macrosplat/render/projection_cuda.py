"""The geometry of `project_cuda`, which its forward and its backward kernel share: camera, rotation, covariance."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl

from macrosplat.render import constants

MARGIN = tl.constexpr(0.5 * constants.FOV_MARGIN)


@triton.jit
def times_row(matrix, row: tl.constexpr, u, v, w):
    """A row of the view's linear part times (u, v, w)."""
    return tl.load(matrix + 4 * row) * u + tl.load(matrix + 4 * row + 1) * v + tl.load(matrix + 4 * row + 2) * w


@triton.jit
def times_column(matrix, column: tl.constexpr, u, v, w):
    """A column of the view's linear part times (u, v, w)."""
    return tl.load(matrix + column) * u + tl.load(matrix + 4 + column) * v + tl.load(matrix + 8 + column) * w


@triton.jit
def load_triple(base, i, on):
    return (
        tl.load(base + i * 3, mask=on, other=0.0),
        tl.load(base + i * 3 + 1, mask=on, other=0.0),
        tl.load(base + i * 3 + 2, mask=on, other=0.0),
    )


@triton.jit
def store_triple(base, i, on, x, y, z):
    tl.store(base + i * 3, x, mask=on)
    tl.store(base + i * 3 + 1, y, mask=on)
    tl.store(base + i * 3 + 2, z, mask=on)


@triton.jit
def load_unit(quats, i, on):
    """The unit quaternion and 1 / |quat|."""
    w, x = tl.load(quats + i * 4, mask=on, other=1.0), tl.load(quats + i * 4 + 1, mask=on, other=0.0)
    y, z = tl.load(quats + i * 4 + 2, mask=on, other=0.0), tl.load(quats + i * 4 + 3, mask=on, other=0.0)
    inverse = 1 / tl.maximum(tl.sqrt(w * w + x * x + y * y + z * z), 1e-12)
    return w * inverse, x * inverse, y * inverse, z * inverse, inverse


@triton.jit
def axes_of(w, x, y, z):
    """By columns: the axes of the Gaussian."""
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)),
        (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)),
        (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)),
    )


@triton.jit
def half_axis(view, axis, s, jx, jy, jxz, jyz):
    """One axis of standard deviation s: in the camera m [3], and as a column of t = J m; covariance = t t^T."""
    x, y, z = axis[0] * s, axis[1] * s, axis[2] * s
    m0, m1, m2 = times_row(view, 0, x, y, z), times_row(view, 1, x, y, z), times_row(view, 2, x, y, z)
    return m0, m1, m2, jx * m0 + jxz * m2, jy * m1 + jyz * m2


@triton.jit
def determinant(t00, t01, t02, t10, t11, t12):
    """|t0 x t1|^2: the determinant of t t^T without the cancellation that kills it for needles."""
    k0, k1, k2 = t01 * t12 - t02 * t11, t02 * t10 - t00 * t12, t00 * t11 - t01 * t10
    return k0 * k0 + k1 * k1 + k2 * k2


@triton.jit
def direction(u, v, w, centre):
    """From a camera's centre to (u, v, w): the unit vector, and 1 / distance."""
    x, y, z = u - tl.load(centre), v - tl.load(centre + 1), w - tl.load(centre + 2)
    inverse = 1 / tl.maximum(tl.sqrt(x * x + y * y + z * z), 1e-12)
    return x * inverse, y * inverse, z * inverse, inverse


@triton.jit
def load_camera(camera, width, height):
    """fx, fy, cx, cy, and between which x / z and y / z the projection is linearised where it is."""
    fx, fy, cx, cy = tl.load(camera), tl.load(camera + 1), tl.load(camera + 2), tl.load(camera + 3)
    lo_x, hi_x = (-cx - MARGIN * width) / fx, (width - cx + MARGIN * width) / fx
    lo_y, hi_y = (-cy - MARGIN * height) / fy, (height - cy + MARGIN * height) / fy
    return fx, fy, cx, cy, lo_x, hi_x, lo_y, hi_y
