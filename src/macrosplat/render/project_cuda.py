"""`project` on a GPU: a thread per Gaussian, one kernel forward and one backward, which recomputes what it needs.

A thread goes through all cameras: a Gaussian's parameters are read once, its gradients written once. The gradients of
view, centre and intrinsics are summed per block, then over the blocks: no atomics, the bits repeat.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from macrosplat.render import constants
from macrosplat.render.projection_cuda import (
    axes_of,
    determinant,
    direction,
    half_axis,
    load_camera,
    load_triple,
    load_unit,
    store_triple,
    times_column,
    times_row,
)
from macrosplat.render.sh_cuda import Y0, sh_by_colour, sh_coefficient, sh_colour, sh_load, sh_slope
from macrosplat.render.tables_cuda import load_columns, piece, store_piece

BLOCK = 32  # Gaussians a program: one warp, which waits for no other
VARIANCE, ALPHA_MIN = tl.constexpr(constants.PIXEL_VARIANCE), tl.constexpr(constants.ALPHA_MIN)
COMPENSATION_MIN = tl.constexpr(constants.COMPENSATION_MIN)
SPLAT = tl.constexpr(constants.SPLAT)
# Floats of a block's share of the gradients of view (12) and centre (3), and where intrinsics (4) begin if wanted.
POSE = tl.constexpr(16)


@triton.jit(do_not_specialize=["camera_stride", "n", "views", "width", "height"])
def _forward(
    means, log_scales, quats, logits, sh0, sh_rest, view, centre, camera, splats, extents,
    camera_stride, n, views, width, height, near,
    REST: tl.constexpr, USED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    u, v, w = load_triple(means, i, inside)
    qw, qx, qy, qz, _ = load_unit(quats, i, inside)
    r0, r1, r2 = axes_of(qw, qx, qy, qz)
    s0, s1, s2 = load_triple(log_scales, i, inside)
    s0, s1, s2 = tl.exp(s0), tl.exp(s1), tl.exp(s2)
    sigmoid = 1 / (1 + tl.exp(-tl.load(logits + i, mask=inside, other=0.0)))
    first = load_triple(sh0, i, inside)
    rest_a, rest_b, rest_c = first, first, first
    if USED > 1:
        rest_a, rest_b, rest_c = sh_load(sh_rest, i, inside, REST, USED, BLOCK)
    row = i
    k = 0
    while k < views:
        fx, fy, cx, cy, lo_x, hi_x, lo_y, hi_y = load_camera(camera, width, height)
        z = times_row(view, 2, u, v, w) + tl.load(view + 11)
        seen = inside & (z > near)
        z = tl.where(seen, z, 1.0)
        x = (times_row(view, 0, u, v, w) + tl.load(view + 3)) / z
        y = (times_row(view, 1, u, v, w) + tl.load(view + 7)) / z
        tx, ty = tl.minimum(tl.maximum(x, lo_x), hi_x), tl.minimum(tl.maximum(y, lo_y), hi_y)
        jx, jy, jxz, jyz = fx / z, fy / z, -fx * tx / z, -fy * ty / z
        _m00, _m10, _m20, t00, t10 = half_axis(view, r0, s0, jx, jy, jxz, jyz)
        _m01, _m11, _m21, t01, t11 = half_axis(view, r1, s1, jx, jy, jxz, jyz)
        _m02, _m12, _m22, t02, t12 = half_axis(view, r2, s2, jx, jy, jxz, jyz)
        a0, c0 = t00 * t00 + t01 * t01 + t02 * t02, t10 * t10 + t11 * t11 + t12 * t12
        b = t00 * t10 + t01 * t11 + t02 * t12
        a, c = a0 + VARIANCE, c0 + VARIANCE
        det0 = determinant(t00, t01, t02, t10, t11, t12)
        det = det0 + VARIANCE * (a0 + c0 + VARIANCE)
        compensation = tl.sqrt(tl.maximum(det0 / det, COMPENSATION_MIN))
        opacity = compensation * sigmoid
        mx, my = fx * x + cx, fy * y + cy
        dx, dy, dz, _ = direction(u, v, w, centre)
        red = tl.maximum(sh_colour(first[0], rest_a, rest_b, rest_c, 0, dx, dy, dz, USED), 0.0)
        green = tl.maximum(sh_colour(first[1], rest_a, rest_b, rest_c, 1, dx, dy, dz, USED), 0.0)
        blue = tl.maximum(sh_colour(first[2], rest_a, rest_b, rest_c, 2, dx, dy, dz, USED), 0.0)
        none = tl.zeros_like(z)
        splat = piece(
            mx, my, c / det, -b / det, a / det, opacity, red, green, blue, z, none, none, none, none, none, none, BLOCK
        )
        store_piece(splats, row, inside, tl.where(seen[:, None], splat, 0.0), 0, SPLAT)
        reach = 2 * tl.log(tl.maximum(opacity / ALPHA_MIN, 1.0))
        ex, ey = tl.sqrt(reach * a), tl.sqrt(reach * c)
        drawn = seen & (opacity > ALPHA_MIN)
        drawn = drawn & (mx + ex >= 0) & (mx - ex <= width) & (my + ey >= 0) & (my - ey <= height)
        tl.store(extents + row * 2, tl.where(drawn, ex, 0.0), mask=inside)
        tl.store(extents + row * 2 + 1, tl.where(drawn, ey, 0.0), mask=inside)
        view, centre, camera, row, k = view + 16, centre + 3, camera + camera_stride, row + n, k + 1


@triton.jit
def _axis_back(view, axis, s, t0, t1, m0, m1, m2, grad_a, grad_b, grad_c, jx, jy, jxz, jyz):
    """Of one axis: gradients of the view's linear part's inputs m, of J, of the axis and of log s."""
    grad_t0, grad_t1 = 2 * grad_a * t0 + grad_b * t1, 2 * grad_c * t1 + grad_b * t0
    grad_m0, grad_m1, grad_m2 = jx * grad_t0, jy * grad_t1, jxz * grad_t0 + jyz * grad_t1
    grad_j = (grad_t0 * m0, grad_t1 * m1, grad_t0 * m2, grad_t1 * m2)
    # q = axis s, m = view q
    grad_q0, grad_q1, grad_q2 = (
        times_column(view, 0, grad_m0, grad_m1, grad_m2),
        times_column(view, 1, grad_m0, grad_m1, grad_m2),
        times_column(view, 2, grad_m0, grad_m1, grad_m2),
    )
    grad_log_scale = (grad_q0 * axis[0] + grad_q1 * axis[1] + grad_q2 * axis[2]) * s
    return (grad_m0, grad_m1, grad_m2), grad_j, (grad_q0 * s, grad_q1 * s, grad_q2 * s), grad_log_scale


@triton.jit
def _view_row(share, row: tl.constexpr, g, u, v, w, g0, g1, g2, r0, r1, r2, s0, s1, s2):
    """Add up a row of the view's gradient: from the mean (u, v, w) and from the three axes r s."""
    g0, g1, g2 = g0 * s0, g1 * s1, g2 * s2
    tl.store(share + 4 * row, tl.sum(g * u + g0 * r0[0] + g1 * r1[0] + g2 * r2[0], 0))
    tl.store(share + 4 * row + 1, tl.sum(g * v + g0 * r0[1] + g1 * r1[1] + g2 * r2[1], 0))
    tl.store(share + 4 * row + 2, tl.sum(g * w + g0 * r0[2] + g1 * r1[2] + g2 * r2[2], 0))
    tl.store(share + 4 * row + 3, tl.sum(g, 0))


@triton.jit(do_not_specialize=["camera_stride", "n", "views", "width", "height"])
def _backward(
    means, log_scales, quats, logits, sh0, sh_rest, view, centre, camera, extents, grad_splats,
    grad_means, grad_log_scales, grad_quats, grad_logits, grad_sh0, grad_sh_rest, shares,
    camera_stride, n, views, width, height,
    SHARE: tl.constexpr, REST: tl.constexpr, USED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """SHARE: 0 where no camera's gradients are wanted, POSE where those of view and centre are, POSE + 4 for all."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    u, v, w = load_triple(means, i, inside)
    qw, qx, qy, qz, norm = load_unit(quats, i, inside)
    r0, r1, r2 = axes_of(qw, qx, qy, qz)
    s0, s1, s2 = load_triple(log_scales, i, inside)
    s0, s1, s2 = tl.exp(s0), tl.exp(s1), tl.exp(s2)
    sigmoid = 1 / (1 + tl.exp(-tl.load(logits + i, mask=inside, other=0.0)))
    first = load_triple(sh0, i, inside)
    rest_a, rest_b, rest_c = first, first, first
    if USED > 1:
        rest_a, rest_b, rest_c = sh_load(sh_rest, i, inside, REST, USED, BLOCK)
    # Over the views: of mean, log scales, the quaternion, logit and sh0.
    none = tl.zeros([BLOCK], tl.float32)
    all_u, all_v, all_w, all_l0, all_l1, all_l2, all_logit = none, none, none, none, none, none, none
    all_qw, all_qx, all_qy, all_qz, all_red, all_green, all_blue = none, none, none, none, none, none, none
    all_a = tl.zeros([BLOCK, 16], tl.float32)
    all_b, all_c = all_a, all_a
    row = i
    share = shares + tl.program_id(0).to(tl.int64) * SHARE
    k = 0
    while k < views:
        fx, fy, _cx, _cy, lo_x, hi_x, lo_y, hi_y = load_camera(camera, width, height)
        drawn = inside & (tl.load(extents + row * 2, mask=inside, other=0.0) > 0)  # the others get no gradient
        by = load_columns(grad_splats, row, drawn, 0, SPLAT, SPLAT, BLOCK)
        z = tl.where(drawn, times_row(view, 2, u, v, w) + tl.load(view + 11), 1.0)
        x = (times_row(view, 0, u, v, w) + tl.load(view + 3)) / z
        y = (times_row(view, 1, u, v, w) + tl.load(view + 7)) / z
        tx, ty = tl.minimum(tl.maximum(x, lo_x), hi_x), tl.minimum(tl.maximum(y, lo_y), hi_y)
        jx, jy, jxz, jyz = fx / z, fy / z, -fx * tx / z, -fy * ty / z
        m00, m10, m20, t00, t10 = half_axis(view, r0, s0, jx, jy, jxz, jyz)
        m01, m11, m21, t01, t11 = half_axis(view, r1, s1, jx, jy, jxz, jyz)
        m02, m12, m22, t02, t12 = half_axis(view, r2, s2, jx, jy, jxz, jyz)
        a0, c0 = t00 * t00 + t01 * t01 + t02 * t02, t10 * t10 + t11 * t11 + t12 * t12
        b = t00 * t10 + t01 * t11 + t02 * t12
        a, c = a0 + VARIANCE, c0 + VARIANCE
        det0 = determinant(t00, t01, t02, t10, t11, t12)
        det = det0 + VARIANCE * (a0 + c0 + VARIANCE)

        # Conic X = covariance^-1: d covariance = -X G X, with G symmetric.
        p, s, o = c / det, -b / det, a / det
        grad_a, grad_b, grad_c = by[2], 0.5 * by[3], by[4]
        h00, h01 = p * grad_a + s * grad_b, p * grad_b + s * grad_c
        h10, h11 = s * grad_a + o * grad_b, s * grad_b + o * grad_c
        grad_a, grad_b, grad_c = -(h00 * p + h01 * s), -2 * (h00 * s + h01 * o), -(h10 * s + h11 * o)

        ratio = det0 / det
        compensation = tl.sqrt(tl.maximum(ratio, COMPENSATION_MIN))
        all_logit += by[5] * compensation
        grad_ratio = tl.where(ratio > COMPENSATION_MIN, by[5] * sigmoid * 0.5 / (compensation * det), 0.0)
        grad_a += grad_ratio * (c0 - ratio * c)
        grad_c += grad_ratio * (a0 - ratio * a)
        grad_b += grad_ratio * 2 * b * (ratio - 1)

        grad_axis0, j0, grad_r0, l0 = _axis_back(
            view, r0, s0, t00, t10, m00, m10, m20, grad_a, grad_b, grad_c, jx, jy, jxz, jyz
        )
        grad_axis1, j1, grad_r1, l1 = _axis_back(
            view, r1, s1, t01, t11, m01, m11, m21, grad_a, grad_b, grad_c, jx, jy, jxz, jyz
        )
        grad_axis2, j2, grad_r2, l2 = _axis_back(
            view, r2, s2, t02, t12, m02, m12, m22, grad_a, grad_b, grad_c, jx, jy, jxz, jyz
        )
        all_l0 += l0
        all_l1 += l1
        all_l2 += l2
        grad_jx, grad_jy = j0[0] + j1[0] + j2[0], j0[1] + j1[1] + j2[1]
        grad_jxz, grad_jyz = j0[2] + j1[2] + j2[2], j0[3] + j1[3] + j2[3]
        # Of J = [fx/z, 0, -fx tx/z] and mean = (fx x + cx, ...), where x and y are already divided by z.
        grad_x, grad_y = by[0] * fx, by[1] * fy
        linear_x, linear_y = (x > lo_x) & (x < hi_x), (y > lo_y) & (y < hi_y)
        grad_x -= tl.where(linear_x, grad_jxz * jx, 0.0)
        grad_y -= tl.where(linear_y, grad_jyz * jy, 0.0)
        grad_jacobian = grad_jx * jx + grad_jy * jy + grad_jxz * jxz + grad_jyz * jyz
        grad_z = by[9] - grad_jacobian / z - (grad_x * x + grad_y * y) / z
        grad_x, grad_y = grad_x / z, grad_y / z

        dx, dy, dz, inverse = direction(u, v, w, centre)
        red = tl.where(sh_colour(first[0], rest_a, rest_b, rest_c, 0, dx, dy, dz, USED) > 0, by[6], 0.0)
        green = tl.where(sh_colour(first[1], rest_a, rest_b, rest_c, 1, dx, dy, dz, USED) > 0, by[7], 0.0)
        blue = tl.where(sh_colour(first[2], rest_a, rest_b, rest_c, 2, dx, dy, dz, USED) > 0, by[8], 0.0)
        all_red += red
        all_green += green
        all_blue += blue
        e_x, e_y, e_z = tl.zeros_like(x), tl.zeros_like(x), tl.zeros_like(x)
        if USED > 1:
            for j in tl.static_range(1, USED):
                scaled = red * sh_coefficient(rest_a, rest_b, rest_c, j, 0)
                scaled += green * sh_coefficient(rest_a, rest_b, rest_c, j, 1)
                scaled += blue * sh_coefficient(rest_a, rest_b, rest_c, j, 2)
                e0, e1, e2 = sh_slope(dx, dy, dz, j)
                e_x += scaled * e0
                e_y += scaled * e1
                e_z += scaled * e2
            all_a += sh_by_colour(0, dx, dy, dz, red, green, blue, USED, BLOCK)
            if 3 * USED - 3 > 16:
                all_b += sh_by_colour(16, dx, dy, dz, red, green, blue, USED, BLOCK)
            if 3 * USED - 3 > 32:
                all_c += sh_by_colour(32, dx, dy, dz, red, green, blue, USED, BLOCK)
        along = e_x * dx + e_y * dy + e_z * dz
        e_x, e_y, e_z = (e_x - along * dx) * inverse, (e_y - along * dy) * inverse, (e_z - along * dz) * inverse
        all_u += times_column(view, 0, grad_x, grad_y, grad_z) + e_x
        all_v += times_column(view, 1, grad_x, grad_y, grad_z) + e_y
        all_w += times_column(view, 2, grad_x, grad_y, grad_z) + e_z

        d10, d02, d21 = grad_r0[1] - grad_r1[0], grad_r2[0] - grad_r0[2], grad_r1[2] - grad_r2[1]
        s10, s02, s21 = grad_r0[1] + grad_r1[0], grad_r2[0] + grad_r0[2], grad_r1[2] + grad_r2[1]
        all_qw += 2 * (qz * d10 + qy * d02 + qx * d21)
        all_qx += 2 * (qy * s10 + qz * s02 + qw * d21 - 2 * qx * (grad_r1[1] + grad_r2[2]))
        all_qy += 2 * (qx * s10 + qw * d02 + qz * s21 - 2 * qy * (grad_r0[0] + grad_r2[2]))
        all_qz += 2 * (qw * d10 + qx * s02 + qy * s21 - 2 * qz * (grad_r0[0] + grad_r1[1]))
        if SHARE > 0:
            _view_row(share, 0, grad_x, u, v, w, grad_axis0[0], grad_axis1[0], grad_axis2[0], r0, r1, r2, s0, s1, s2)
            _view_row(share, 1, grad_y, u, v, w, grad_axis0[1], grad_axis1[1], grad_axis2[1], r0, r1, r2, s0, s1, s2)
            _view_row(share, 2, grad_z, u, v, w, grad_axis0[2], grad_axis1[2], grad_axis2[2], r0, r1, r2, s0, s1, s2)
            tl.store(share + 12, -tl.sum(e_x, 0))
            tl.store(share + 13, -tl.sum(e_y, 0))
            tl.store(share + 14, -tl.sum(e_z, 0))
            tl.store(share + 15, 0.0)
        if SHARE > POSE:  # beyond the bounds fx tx is a constant less cx
            tl.store(share + POSE, tl.sum(by[0] * x + (grad_jx - tl.where(linear_x, grad_jxz * tx, 0.0)) / z, 0))
            tl.store(share + POSE + 1, tl.sum(by[1] * y + (grad_jy - tl.where(linear_y, grad_jyz * ty, 0.0)) / z, 0))
            tl.store(share + POSE + 2, tl.sum(by[0] + tl.where(linear_x, 0.0, grad_jxz / z), 0))
            tl.store(share + POSE + 3, tl.sum(by[1] + tl.where(linear_y, 0.0, grad_jyz / z), 0))
        view, centre, camera, row, k = view + 16, centre + 3, camera + camera_stride, row + n, k + 1
        share += tl.num_programs(0).to(tl.int64) * SHARE
    store_triple(grad_means, i, inside, all_u, all_v, all_w)
    store_triple(grad_log_scales, i, inside, all_l0, all_l1, all_l2)
    tl.store(grad_logits + i, all_logit * sigmoid * (1 - sigmoid), mask=inside)
    store_triple(grad_sh0, i, inside, Y0 * all_red, Y0 * all_green, Y0 * all_blue)
    along = all_qw * qw + all_qx * qx + all_qy * qy + all_qz * qz
    tl.store(grad_quats + i * 4, (all_qw - along * qw) * norm, mask=inside)
    tl.store(grad_quats + i * 4 + 1, (all_qx - along * qx) * norm, mask=inside)
    tl.store(grad_quats + i * 4 + 2, (all_qy - along * qy) * norm, mask=inside)
    tl.store(grad_quats + i * 4 + 3, (all_qz - along * qz) * norm, mask=inside)
    if REST > 0:
        store_piece(grad_sh_rest, i, inside, all_a, 0, 3 * REST)
    if 3 * REST > 16:
        store_piece(grad_sh_rest, i, inside, all_b, 16, 3 * REST)
    if 3 * REST > 32:
        store_piece(grad_sh_rest, i, inside, all_c, 32, 3 * REST)


@triton.jit(do_not_specialize=["blocks"])
def _add_shares(
    shares, grad_view, grad_centre, grad_camera, blocks, SHARE: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr
):
    """Of a camera's shares [blocks, SHARE] the gradients of view, centre and, if they are there, intrinsics."""
    column, rows = tl.arange(0, PADDED), tl.arange(0, ROWS)
    base = shares + tl.program_id(0).to(tl.int64) * blocks * SHARE
    total = tl.zeros([ROWS, PADDED], tl.float32)
    start = 0
    while start < blocks:
        row = start + rows
        mask = (row < blocks)[:, None] & (column < SHARE)[None, :]
        total += tl.load(base + row[:, None] * SHARE + column[None, :], mask=mask, other=0.0)
        start += ROWS
    total = tl.sum(total, 0)
    # The view's last row never moves.
    tl.store(grad_view + tl.program_id(0) * 16 + column, tl.where(column < 12, total, 0.0), mask=column < 16)
    tl.store(grad_centre + tl.program_id(0) * 3 + column - 12, total, mask=(column >= 12) & (column < 15))
    if SHARE > POSE:
        tl.store(grad_camera + tl.program_id(0) * 4 + column - POSE, total, mask=(column >= POSE) & (column < SHARE))


def _launch(inputs: list[Tensor], degree: int) -> tuple[int, int, dict[str, int]]:
    """Floats from one camera's intrinsics to the next one's, cameras, and sizes known to the compiler."""
    sizes = {"REST": inputs[5].shape[1], "USED": (degree + 1) ** 2, "BLOCK": BLOCK, "num_warps": BLOCK // 32}
    return 4 * (inputs[8].ndim - 1), math.prod(inputs[7].shape[:-1]), sizes


def forward(*inputs_and_frame) -> tuple[Tensor, Tensor]:
    """Six tensors of a scene, views [..., 4, 4], centres [..., 3], intrinsics [4] or [..., 4], frame, degree -> splats
    [..., N, 10], extents [..., N, 2]."""
    *inputs, frame, degree = inputs_and_frame
    inputs = [tensor.detach().contiguous() for tensor in inputs]
    n, cameras = inputs[0].shape[0], inputs[7].shape[:-1]
    splats, extents = inputs[0].new_empty(*cameras, n, constants.SPLAT), inputs[0].new_empty(*cameras, n, 2)
    stride, count, sizes = _launch(inputs, degree)
    size = float(frame.width), float(frame.height), frame.near
    _forward[(max(triton.cdiv(n, BLOCK), 1),)](*inputs, splats, extents, stride, n, count, *size, **sizes)
    return splats, extents


def backward(*inputs_and_gradient, views: bool = True, intrinsics: bool = True) -> tuple[Tensor | None, ...]:
    """The same inputs, then extents and the gradient of splats -> the gradients of the nine tensors; those of views and
    centres, and of intrinsics, only if wanted."""
    *inputs, frame, degree, extents, grad_splats = inputs_and_gradient
    inputs = [tensor.detach().contiguous() for tensor in inputs]
    gradients = [torch.empty_like(tensor) for tensor in inputs[:6]]
    n, blocks = inputs[0].shape[0], max(triton.cdiv(inputs[0].shape[0], BLOCK), 1)
    stride, count, sizes = _launch(inputs, degree)
    share = POSE.value + 4 if intrinsics else POSE.value if views else 0
    shares = inputs[0].new_empty(count, blocks, share)
    size = float(frame.width), float(frame.height)
    given = (*inputs, extents, grad_splats, *gradients, shares, stride, n, count, *size)
    _backward[(blocks,)](*given, SHARE=share, **sizes)
    if not share:
        return (*gradients, None, None, None)
    grad_view, grad_centre = torch.empty_like(inputs[6]), torch.empty_like(inputs[7])
    grad_camera = inputs[8].new_empty(*inputs[7].shape[:-1], 4) if intrinsics else None
    outputs = (grad_view, grad_centre, grad_view if grad_camera is None else grad_camera)
    padded = triton.next_power_of_2(share)
    _add_shares[(count,)](shares, *outputs, blocks, SHARE=share, PADDED=padded, ROWS=1024, num_warps=16)
    if grad_camera is not None and grad_camera.shape != inputs[8].shape:  # one camera's intrinsics, for all views
        grad_camera = grad_camera.sum(0)
    return (*gradients, grad_view, grad_centre, grad_camera)
