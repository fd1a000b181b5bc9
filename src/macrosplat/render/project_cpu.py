"""`project` on a CPU, forward and backward: one pass over the Gaussians each, in fixed chunks, so the bits repeat."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from macrosplat.render import constants
from macrosplat.render.camera import Frame
from macrosplat.render.sh_cpu import Y0, sh_basis, sh_slope
from macrosplat.support.numba import kernel_lock, njit
from macrosplat.support.spread import spread, team

F = np.float32
VARIANCE, ALPHA_MIN, MARGIN = F(constants.PIXEL_VARIANCE), F(constants.ALPHA_MIN), F(constants.FOV_MARGIN)
COMPENSATION_MIN = F(constants.COMPENSATION_MIN)
SPLAT = constants.SPLAT
ONE, TWO, HALF, ZERO = F(1), F(2), F(0.5), F(0)
# Partial sums of the camera's gradients: their number fixes the order of summation, whatever the number of threads.
CHUNKS = 64
OPACITY, OWN = 9, 10  # what a Gaussian has of its own: its opacity's place, and floats in all


@njit(inner=True)
def _axes(quats, log_scales, i, r, q):
    """Rotation of Gaussian i into r [3, 3], rotation times scale into q [3, 3]; returns 1 / |quat|."""
    w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
    inverse = ONE / max(np.sqrt(w * w + x * x + y * y + z * z), F(1e-12))
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    r[0, 0], r[0, 1], r[0, 2] = ONE - TWO * (y * y + z * z), TWO * (x * y - w * z), TWO * (x * z + w * y)
    r[1, 0], r[1, 1], r[1, 2] = TWO * (x * y + w * z), ONE - TWO * (x * x + z * z), TWO * (y * z - w * x)
    r[2, 0], r[2, 1], r[2, 2] = TWO * (x * z - w * y), TWO * (y * z + w * x), ONE - TWO * (x * x + y * y)
    for j in range(3):
        s = np.exp(log_scales[i, j])
        for k in range(3):
            q[k, j] = r[k, j] * s
    return inverse


@njit(inner=True)
def _own(quats, log_scales, logits, first, last, r, q, own):
    """What the Gaussians of a chunk are to any camera, into own [n, OWN]: rotation times scale, opacity."""
    for i in range(first, last):
        _axes(quats, log_scales, i, r, q)
        for k in range(3):
            for j in range(3):
                own[i - first, 3 * k + j] = q[k, j]
        own[i - first, OPACITY] = ONE / (ONE + np.exp(-logits[i]))


@njit(inner=True)
def _half_covariance(view, own, i, m, t, jx, jy, jxz, jyz):
    """m = W q [3, 3], t = J m [2, 3]; the projected covariance is t t^T."""
    for r in range(3):
        for c in range(3):
            m[r, c] = view[r, 0] * own[i, c] + view[r, 1] * own[i, 3 + c] + view[r, 2] * own[i, 6 + c]
    for c in range(3):
        t[0, c] = jx * m[0, c] + jxz * m[2, c]
        t[1, c] = jy * m[1, c] + jyz * m[2, c]


@njit(part=True)
def _forward_some(
    begin, end, means, log_scales, quats, logits, sh0, sh_rest, views, centres, cameras, frame, degree, splats, extents
):
    n = means.shape[0]
    width, height, near = frame
    coefficients = (degree + 1) * (degree + 1)
    for chunk in range(begin, end):
        r, q, wq = np.empty((3, 3), F), np.empty((3, 3), F), np.empty((3, 3), F)
        t, ys = np.empty((2, 3), F), np.empty(16, F)
        first, last = chunk * n // CHUNKS, (chunk + 1) * n // CHUNKS
        own = np.empty((last - first, OWN), F)
        _own(quats, log_scales, logits, first, last, r, q, own)
        for m in range(views.shape[0]):
            view, centre = views[m], centres[m]
            fx, fy, cx, cy = cameras[m, 0], cameras[m, 1], cameras[m, 2], cameras[m, 3]
            lo_x, hi_x = -cx / fx - MARGIN * HALF * width / fx, (width - cx) / fx + MARGIN * HALF * width / fx
            lo_y, hi_y = -cy / fy - MARGIN * HALF * height / fy, (height - cy) / fy + MARGIN * HALF * height / fy
            for i in range(first, last):
                u, v, w = means[i, 0], means[i, 1], means[i, 2]
                z = view[2, 0] * u + view[2, 1] * v + view[2, 2] * w + view[2, 3]
                for c in range(SPLAT):
                    splats[m, i, c] = ZERO
                extents[m, i, 0] = extents[m, i, 1] = ZERO
                if not z > near:
                    continue
                x = (view[0, 0] * u + view[0, 1] * v + view[0, 2] * w + view[0, 3]) / z
                y = (view[1, 0] * u + view[1, 1] * v + view[1, 2] * w + view[1, 3]) / z
                tx, ty = min(max(x, lo_x), hi_x), min(max(y, lo_y), hi_y)
                _half_covariance(view, own, i - first, wq, t, fx / z, fy / z, -fx * tx / z, -fy * ty / z)
                a0 = t[0, 0] * t[0, 0] + t[0, 1] * t[0, 1] + t[0, 2] * t[0, 2]
                b = t[0, 0] * t[1, 0] + t[0, 1] * t[1, 1] + t[0, 2] * t[1, 2]
                c0 = t[1, 0] * t[1, 0] + t[1, 1] * t[1, 1] + t[1, 2] * t[1, 2]
                a, c = a0 + VARIANCE, c0 + VARIANCE
                # |t0 x t1|^2 is the determinant without the cancellation that kills a0 * c0 - b * b for needles.
                k0 = t[0, 1] * t[1, 2] - t[0, 2] * t[1, 1]
                k1 = t[0, 2] * t[1, 0] - t[0, 0] * t[1, 2]
                k2 = t[0, 0] * t[1, 1] - t[0, 1] * t[1, 0]
                det0 = k0 * k0 + k1 * k1 + k2 * k2
                det = det0 + VARIANCE * (a0 + c0 + VARIANCE)
                opacity = np.sqrt(max(det0 / det, COMPENSATION_MIN)) * own[i - first, OPACITY]
                mx, my = fx * x + cx, fy * y + cy
                splats[m, i, 0], splats[m, i, 1] = mx, my
                splats[m, i, 2], splats[m, i, 3], splats[m, i, 4] = c / det, -b / det, a / det
                splats[m, i, 5], splats[m, i, 9] = opacity, z

                dx, dy, dz = u - centre[0], v - centre[1], w - centre[2]
                inverse = ONE / max(np.sqrt(dx * dx + dy * dy + dz * dz), F(1e-12))
                sh_basis(dx * inverse, dy * inverse, dz * inverse, degree, ys)
                for channel in range(3):
                    colour = HALF + Y0 * sh0[i, channel]
                    for k in range(1, coefficients):
                        colour += ys[k] * sh_rest[i, k - 1, channel]
                    splats[m, i, 6 + channel] = max(colour, ZERO)
                if opacity > ALPHA_MIN:
                    reach = TWO * np.log(opacity / ALPHA_MIN)
                    ex, ey = np.sqrt(reach * a), np.sqrt(reach * c)
                    if mx + ex >= ZERO and mx - ex <= width and my + ey >= ZERO and my - ey <= height:
                        extents[m, i, 0], extents[m, i, 1] = ex, ey


@njit
def _forward(team, count, *arguments):
    spread(_forward_some, team, count, arguments)


@njit(part=True)
def _backward_some(
    begin, end, means, log_scales, quats, logits, sh0, sh_rest, views, centres, cameras, frame, degree,
    extents, grad_splats,
    grad_means, grad_log_scales, grad_quats, grad_logits, grad_sh0, grad_sh_rest, grad_view, grad_centre, grad_camera,
):  # fmt: skip
    n = means.shape[0]
    width, height, _ = frame
    coefficients = (degree + 1) * (degree + 1)
    for chunk in range(begin, end):
        r, q, wq = np.empty((3, 3), F), np.empty((3, 3), F), np.empty((3, 3), F)
        grad_r, grad_m = np.empty((3, 3), F), np.empty((3, 3), F)
        t, grad_t, ys = np.empty((2, 3), F), np.empty((2, 3), F), np.empty(16, F)
        first, last = chunk * n // CHUNKS, (chunk + 1) * n // CHUNKS
        own, grad_own = np.empty((last - first, OWN), F), np.zeros((last - first, OWN), F)
        _own(quats, log_scales, logits, first, last, r, q, own)
        grad_means[first:last] = ZERO
        grad_sh0[first:last] = ZERO
        grad_sh_rest[first:last] = ZERO
        for m in range(views.shape[0]):
            view, centre = views[m], centres[m]
            fx, fy, cx, cy = cameras[m, 0], cameras[m, 1], cameras[m, 2], cameras[m, 3]
            lo_x, hi_x = -cx / fx - MARGIN * HALF * width / fx, (width - cx) / fx + MARGIN * HALF * width / fx
            lo_y, hi_y = -cy / fy - MARGIN * HALF * height / fy, (height - cy) / fy + MARGIN * HALF * height / fy
            sum_fx = sum_fy = sum_cx = sum_cy = ZERO
            for i in range(first, last):
                if extents[m, i, 0] <= ZERO:  # drew nothing: no gradient
                    continue
                u, v, w = means[i, 0], means[i, 1], means[i, 2]
                z = view[2, 0] * u + view[2, 1] * v + view[2, 2] * w + view[2, 3]
                x = (view[0, 0] * u + view[0, 1] * v + view[0, 2] * w + view[0, 3]) / z
                y = (view[1, 0] * u + view[1, 1] * v + view[1, 2] * w + view[1, 3]) / z
                tx, ty = min(max(x, lo_x), hi_x), min(max(y, lo_y), hi_y)
                jx, jy, jxz, jyz = fx / z, fy / z, -fx * tx / z, -fy * ty / z
                _half_covariance(view, own, i - first, wq, t, jx, jy, jxz, jyz)
                a0 = t[0, 0] * t[0, 0] + t[0, 1] * t[0, 1] + t[0, 2] * t[0, 2]
                b = t[0, 0] * t[1, 0] + t[0, 1] * t[1, 1] + t[0, 2] * t[1, 2]
                c0 = t[1, 0] * t[1, 0] + t[1, 1] * t[1, 1] + t[1, 2] * t[1, 2]
                a, c = a0 + VARIANCE, c0 + VARIANCE
                k0 = t[0, 1] * t[1, 2] - t[0, 2] * t[1, 1]
                k1 = t[0, 2] * t[1, 0] - t[0, 0] * t[1, 2]
                k2 = t[0, 0] * t[1, 1] - t[0, 1] * t[1, 0]
                det0 = k0 * k0 + k1 * k1 + k2 * k2
                det = det0 + VARIANCE * (a0 + c0 + VARIANCE)

                # Conic X = covariance^-1: d covariance = -X G X, with G symmetric.
                p, s, o = c / det, -b / det, a / det
                grad_a, grad_b, grad_c = grad_splats[m, i, 2], HALF * grad_splats[m, i, 3], grad_splats[m, i, 4]
                h00, h01 = p * grad_a + s * grad_b, p * grad_b + s * grad_c
                h10, h11 = s * grad_a + o * grad_b, s * grad_b + o * grad_c
                grad_a, grad_b, grad_c = -(h00 * p + h01 * s), -TWO * (h00 * s + h01 * o), -(h10 * s + h11 * o)

                ratio = det0 / det
                compensation = np.sqrt(max(ratio, COMPENSATION_MIN))
                grad_own[i - first, OPACITY] += grad_splats[m, i, 5] * compensation
                if ratio > COMPENSATION_MIN:
                    grad_ratio = grad_splats[m, i, 5] * own[i - first, OPACITY] * HALF / (compensation * det)
                    grad_a += grad_ratio * (c0 - ratio * c)
                    grad_c += grad_ratio * (a0 - ratio * a)
                    grad_b += grad_ratio * TWO * b * (ratio - ONE)

                grad_jx = grad_jy = grad_jxz = grad_jyz = ZERO
                for k in range(3):
                    grad_t[0, k] = TWO * grad_a * t[0, k] + grad_b * t[1, k]
                    grad_t[1, k] = TWO * grad_c * t[1, k] + grad_b * t[0, k]
                    grad_m[0, k] = jx * grad_t[0, k]
                    grad_m[1, k] = jy * grad_t[1, k]
                    grad_m[2, k] = jxz * grad_t[0, k] + jyz * grad_t[1, k]
                    grad_jx += grad_t[0, k] * wq[0, k]
                    grad_jxz += grad_t[0, k] * wq[2, k]
                    grad_jy += grad_t[1, k] * wq[1, k]
                    grad_jyz += grad_t[1, k] * wq[2, k]
                # Of J = [fx/z, 0, -fx tx/z] and mean = (fx x + cx, ...), where x and y are already divided by z.
                grad_x, grad_y = grad_splats[m, i, 0] * fx, grad_splats[m, i, 1] * fy
                sum_fx += grad_splats[m, i, 0] * x + grad_jx / z
                sum_fy += grad_splats[m, i, 1] * y + grad_jy / z
                sum_cx += grad_splats[m, i, 0]
                sum_cy += grad_splats[m, i, 1]
                # Beyond the bounds fx tx is a constant less cx.
                if lo_x < x < hi_x:
                    grad_x -= grad_jxz * fx / z
                    sum_fx -= grad_jxz * tx / z
                else:
                    sum_cx += grad_jxz / z
                if lo_y < y < hi_y:
                    grad_y -= grad_jyz * fy / z
                    sum_fy -= grad_jyz * ty / z
                else:
                    sum_cy += grad_jyz / z
                grad_jacobian = grad_jx * jx + grad_jy * jy + grad_jxz * jxz + grad_jyz * jyz
                grad_z = grad_splats[m, i, 9] - grad_jacobian / z - (grad_x * x + grad_y * y) / z
                grad_x, grad_y = grad_x / z, grad_y / z

                dx, dy, dz = u - centre[0], v - centre[1], w - centre[2]
                inverse = ONE / max(np.sqrt(dx * dx + dy * dy + dz * dz), F(1e-12))
                dx, dy, dz = dx * inverse, dy * inverse, dz * inverse
                sh_basis(dx, dy, dz, degree, ys)
                e_x = e_y = e_z = ZERO
                red, green, blue = HALF + Y0 * sh0[i, 0], HALF + Y0 * sh0[i, 1], HALF + Y0 * sh0[i, 2]
                for k in range(1, coefficients):
                    red += ys[k] * sh_rest[i, k - 1, 0]
                    green += ys[k] * sh_rest[i, k - 1, 1]
                    blue += ys[k] * sh_rest[i, k - 1, 2]
                grad_red = grad_splats[m, i, 6] if red > ZERO else ZERO
                grad_green = grad_splats[m, i, 7] if green > ZERO else ZERO
                grad_blue = grad_splats[m, i, 8] if blue > ZERO else ZERO
                grad_sh0[i, 0] += Y0 * grad_red
                grad_sh0[i, 1] += Y0 * grad_green
                grad_sh0[i, 2] += Y0 * grad_blue
                for k in range(1, coefficients):
                    of = sh_rest[i, k - 1]
                    scaled = grad_red * of[0] + grad_green * of[1] + grad_blue * of[2]
                    out = grad_sh_rest[i, k - 1]
                    out[0] += ys[k] * grad_red
                    out[1] += ys[k] * grad_green
                    out[2] += ys[k] * grad_blue
                    e0, e1, e2 = sh_slope(dx, dy, dz, degree, k)
                    e_x += scaled * e0
                    e_y += scaled * e1
                    e_z += scaled * e2
                along = e_x * dx + e_y * dy + e_z * dz
                e_x, e_y, e_z = (e_x - along * dx) * inverse, (e_y - along * dy) * inverse, (e_z - along * dz) * inverse
                grad_centre[m, chunk, 0] -= e_x
                grad_centre[m, chunk, 1] -= e_y
                grad_centre[m, chunk, 2] -= e_z
                grad_means[i, 0] += view[0, 0] * grad_x + view[1, 0] * grad_y + view[2, 0] * grad_z + e_x
                grad_means[i, 1] += view[0, 1] * grad_x + view[1, 1] * grad_y + view[2, 1] * grad_z + e_y
                grad_means[i, 2] += view[0, 2] * grad_x + view[1, 2] * grad_y + view[2, 2] * grad_z + e_z

                grad_cam = (grad_x, grad_y, grad_z)
                for row in range(3):
                    g = grad_cam[row]
                    grad_view[m, chunk, row, 0] += g * u
                    grad_view[m, chunk, row, 1] += g * v
                    grad_view[m, chunk, row, 2] += g * w
                    grad_view[m, chunk, row, 3] += g
                    for k in range(3):
                        grad_view[m, chunk, row, k] += (
                            grad_m[row, 0] * own[i - first, 3 * k]
                            + grad_m[row, 1] * own[i - first, 3 * k + 1]
                            + grad_m[row, 2] * own[i - first, 3 * k + 2]
                        )
                for row in range(3):
                    for k in range(3):
                        grad_own[i - first, 3 * row + k] += (
                            view[0, row] * grad_m[0, k] + view[1, row] * grad_m[1, k] + view[2, row] * grad_m[2, k]
                        )
            grad_camera[m, chunk, 0], grad_camera[m, chunk, 1] = sum_fx, sum_fy
            grad_camera[m, chunk, 2], grad_camera[m, chunk, 3] = sum_cx, sum_cy
        for i in range(first, last):
            of, opacity = grad_own[i - first], own[i - first, OPACITY]
            grad_logits[i] = of[OPACITY] * opacity * (ONE - opacity)
            grad_log_scales[i] = ZERO
            grad_quats[i] = ZERO
            if not extents[:, i, 0].any():
                continue
            norm = _axes(quats, log_scales, i, r, q)
            for k in range(3):  # q = r diag(s)
                scale, grad_scale = np.exp(log_scales[i, k]), ZERO
                for row in range(3):
                    grad_scale += of[3 * row + k] * r[row, k]
                    grad_r[row, k] = of[3 * row + k] * scale
                grad_log_scales[i, k] = grad_scale * scale
            qw, qx, qy, qz = quats[i, 0] * norm, quats[i, 1] * norm, quats[i, 2] * norm, quats[i, 3] * norm
            d10, d02, d21 = grad_r[1, 0] - grad_r[0, 1], grad_r[0, 2] - grad_r[2, 0], grad_r[2, 1] - grad_r[1, 2]
            s10, s02, s21 = grad_r[1, 0] + grad_r[0, 1], grad_r[0, 2] + grad_r[2, 0], grad_r[2, 1] + grad_r[1, 2]
            grad_w = TWO * (qz * d10 + qy * d02 + qx * d21)
            grad_i = TWO * (qy * s10 + qz * s02 + qw * d21 - TWO * qx * (grad_r[1, 1] + grad_r[2, 2]))
            grad_j = TWO * (qx * s10 + qw * d02 + qz * s21 - TWO * qy * (grad_r[0, 0] + grad_r[2, 2]))
            grad_k = TWO * (qw * d10 + qx * s02 + qy * s21 - TWO * qz * (grad_r[0, 0] + grad_r[1, 1]))
            along = grad_w * qw + grad_i * qx + grad_j * qy + grad_k * qz
            grad_quats[i, 0] = (grad_w - along * qw) * norm
            grad_quats[i, 1] = (grad_i - along * qx) * norm
            grad_quats[i, 2] = (grad_j - along * qy) * norm
            grad_quats[i, 3] = (grad_k - along * qz) * norm


@njit
def _backward(team, count, *arguments):
    spread(_backward_some, team, count, arguments)


def _frame(frame: Frame) -> tuple[np.float32, ...]:
    return F(frame.width), F(frame.height), F(frame.near)


def _arrays(tensors: list[Tensor]) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def _several(view: Tensor, centre: Tensor, intrinsics: Tensor) -> list[Tensor]:
    """[M, 4, 4], [M, 3] and [M, 4], also of one camera."""
    views = view.reshape(-1, 4, 4)
    return [views, centre.reshape(-1, 3), intrinsics.expand(len(views), 4)]


def forward(*inputs_and_frame) -> tuple[Tensor, Tensor]:
    """Six tensors of a scene, views [..., 4, 4], centres [..., 3], intrinsics [4] or [..., 4], frame, degree -> splats
    [..., N, 10], extents [..., N, 2]."""
    *inputs, frame, degree = inputs_and_frame
    shape = (*inputs[7].shape[:-1], inputs[0].shape[0])
    splats, extents = torch.empty(*shape, SPLAT), torch.empty(*shape, 2)
    given = _arrays([*inputs[:6], *_several(*inputs[6:])])
    every = len(given[6]), shape[-1]
    outputs = splats.view(*every, SPLAT).numpy(), extents.view(*every, 2).numpy()
    with kernel_lock:
        _forward(team(), CHUNKS, *given, _frame(frame), degree, *outputs)
    return splats, extents


def backward(*inputs_and_gradient, views: bool = True, intrinsics: bool = True) -> tuple[Tensor, ...]:
    """The same inputs, then extents and the gradient of splats -> the gradients of the nine tensors; those of views,
    centres and intrinsics come whether wanted or not."""
    *inputs, frame, degree, extents, grad_splats = inputs_and_gradient
    gradients = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in inputs[:6]]
    cameras = _several(*inputs[6:])
    shares = [torch.zeros(len(cameras[0]), CHUNKS, *shape) for shape in ((4, 4), (3,), (4,))]
    outputs = [tensor.numpy() for tensor in (*gradients, *shares)]
    every = len(cameras[0]), inputs[0].shape[0]
    incoming = extents.view(*every, 2).numpy(), grad_splats.view(*every, SPLAT).numpy()
    with kernel_lock:
        _backward(team(), CHUNKS, *_arrays([*inputs[:6], *cameras]), _frame(frame), degree, *incoming, *outputs)
    grad_view, grad_centre, grad_camera = (share.sum(1) for share in shares)
    # One camera's intrinsics may be those of all views.
    grad_camera = grad_camera.sum(0) if inputs[8].ndim == 1 else grad_camera
    return *gradients, grad_view.view(inputs[6].shape), grad_centre.view(inputs[7].shape), grad_camera
