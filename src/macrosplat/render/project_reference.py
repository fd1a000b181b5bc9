"""`project` in plain torch, any dtype, differentiated by autograd: the specification."""

from __future__ import annotations

import torch
from torch import Tensor

from macrosplat.render import constants, sh
from macrosplat.render.camera import Frame


def rotations(quats: Tensor) -> Tensor:
    """[N, 4] w x y z, any length -> [N, 3, 3]."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def project(
    means: Tensor,
    log_scales: Tensor,
    quats: Tensor,
    opacity_logits: Tensor,
    sh0: Tensor,
    sh_rest: Tensor,
    view: Tensor,
    centre: Tensor,
    intrinsics: Tensor,
    frame: Frame,
    degree: int,
) -> tuple[Tensor, Tensor]:
    """See `macrosplat.render.project.project`; view [4, 4], centre [3] from which colours are seen, intrinsics [4]."""
    fx, fy, cx, cy = intrinsics.unbind()
    w = view[:3, :3]
    means_cam = means @ w.T + view[:3, 3]
    x, y, depth = means_cam.unbind(-1)
    seen = depth > frame.near
    z = torch.where(seen, depth, torch.ones_like(depth))  # culled ones keep finite numbers, and no gradient

    margin_x, margin_y = constants.FOV_MARGIN * 0.5 * frame.width / fx, constants.FOV_MARGIN * 0.5 * frame.height / fy
    tx = (x / z).clamp(-cx / fx - margin_x, (frame.width - cx) / fx + margin_x)
    ty = (y / z).clamp(-cy / fy - margin_y, (frame.height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        [torch.stack([fx / z, zero, -fx * tx / z], -1), torch.stack([zero, fy / z, -fy * ty / z], -1)], -2
    )
    half = jacobian @ w @ (rotations(quats) * log_scales.exp()[:, None, :])  # [N, 2, 3], covariance = half half^T
    covariance = half @ half.mT
    a0, b, c0 = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    a, c = a0 + constants.PIXEL_VARIANCE, c0 + constants.PIXEL_VARIANCE
    det = a * c - b * b
    ratio = ((a0 * c0 - b * b) / det).clamp_min(constants.COMPENSATION_MIN)
    opacity = torch.sigmoid(opacity_logits) * ratio.sqrt()

    direction = torch.nn.functional.normalize(means - centre, dim=-1)
    coefficients = torch.cat([sh0[:, None], sh_rest], 1)[:, : (degree + 1) ** 2]
    colour = (0.5 + (sh.basis(direction, degree)[..., None] * coefficients).sum(1)).clamp_min(0)

    mean = torch.stack([fx * x / z + cx, fy * y / z + cy], -1)
    conic = torch.stack([c, -b, a], -1) / det[:, None]
    splats = torch.cat([mean, conic, opacity[:, None], colour, depth[:, None]], -1)
    splats = torch.where(seen[:, None], splats, torch.zeros_like(splats))

    with torch.no_grad():
        reach = 2 * torch.log((opacity / constants.ALPHA_MIN).clamp_min(1.0))  # largest Mahalanobis distance squared
        extents = torch.stack([(reach * a).sqrt(), (reach * c).sqrt()], -1)
        off = (mean + extents < 0).any(-1) | (mean - extents > mean.new_tensor([frame.width, frame.height])).any(-1)
        extents = torch.where((seen & ~off)[:, None], extents, torch.zeros_like(extents))
    return splats, extents
