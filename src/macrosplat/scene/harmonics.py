"""Real spherical harmonics up to degree 3, as 3DGS files use them (signs and order of Sloan 2008, appendix A2).

For numpy arrays and torch tensors alike: files are written without torch.
"""

from __future__ import annotations

from typing import Any

from macrosplat.scene.gaussians import SH_C0

C1 = 0.4886025119029199
C2 = (1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
C3 = (0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154, 1.445305721320277)


def harmonics(x: Any, y: Any, z: Any, degree: int) -> list[Any]:
    """Y_k(direction) of unit directions x, y, z [N], k = 0 .. (degree + 1)^2 - 1."""
    ys = [SH_C0 + 0 * x]
    if degree > 0:
        ys += [-C1 * y, C1 * z, -C1 * x]
    if degree > 1:
        xx, yy, zz = x * x, y * y, z * z
        ys += [C2[0] * x * y, -C2[0] * y * z, C2[1] * (3 * zz - 1), -C2[0] * x * z, C2[2] * (xx - yy)]
        if degree > 2:
            ys += [
                -C3[0] * y * (3 * xx - yy),
                C3[1] * x * y * z,
                -C3[2] * y * (5 * zz - 1),
                C3[3] * z * (5 * zz - 3),
                -C3[2] * x * (5 * zz - 1),
                C3[4] * z * (xx - yy),
                -C3[0] * x * (xx - 3 * yy),
            ]
    return ys
